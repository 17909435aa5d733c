"""A tuned encoder is written whole and good, or not at all; needs the extra train."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from experts.factory.packages import PACKAGES
from tests.experts.factory.toys import random_weights
from tests.router.meter.test_ledger_faults import no_file_over

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in PACKAGES),
        reason="training needs the packages of the extra train: torch, sentence-transformers, onnx",
    ),
]

TOKENIZER = Path(__file__).parents[3] / "router/encoder/tokenizer.json"


def test_an_encoder_whose_bits_change_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experts.factory import quantise_encoder
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.tuned_file import UnstableBits, export

    monkeypatch.setattr(quantise_encoder, "same_bits", lambda *_: False)
    tokenizer = open_tokenizer(TOKENIZER)
    weights = random_weights(tokenizer.get_vocab_size())
    with pytest.raises(UnstableBits, match="nothing was written"):
        export(weights, tokenizer, TOKENIZER, tmp_path / "out", {"data": []})
    assert not (tmp_path / "out").exists()


def test_of_an_encoder_that_does_not_fit_on_the_disk_nothing_is_left(tmp_path: Path) -> None:
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.tuned_file import export

    tokenizer, out = open_tokenizer(TOKENIZER), tmp_path / "out"
    weights = random_weights(tokenizer.get_vocab_size())
    with no_file_over(1_000_000), pytest.raises(OSError, match="File too large") as caught:
        export(weights, tokenizer, TOKENIZER, out, {"data": []})
    assert caught.value.filename == str(out)
    assert not out.exists()
