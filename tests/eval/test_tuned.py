"""Encoders tuned on examples: made once of the same rows, and served from the folder they are kept in."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.samples import Labelled
from eval.tuned import Tuner
from experts.factory.lessons import LessonsError
from experts.factory.packages import PACKAGES
from experts.registry import load_registry
from experts.spec import Encoder as EncoderSpec
from router.encode import Encoder
from tests.experts.factory.toys import random_weights, topical

ROOT = Path(__file__).resolve().parents[2]
TORCH = all(importlib.util.find_spec(name) for name in PACKAGES)
ROWS = [Labelled(str(row["input"]), str(row["label"]), "train") for row in topical(9)]


@pytest.fixture
def spec() -> EncoderSpec:
    return load_registry(ROOT / "registry.yaml", {}).registry.encoder


def test_the_same_rows_are_tuned_on_once(spec: EncoderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def copied(self: Tuner, texts: Sequence[str], labels: Sequence[str], out: Path) -> None:
        """Stands for the training, which needs torch: the shipped encoder in its place."""
        made.append(shutil.copytree(spec.path, out, dirs_exist_ok=True))

    monkeypatch.setattr(Tuner, "_make", copied)
    tuner = Tuner(spec, tmp_path, lambda *_: None)
    first, again = tuner(ROWS), tuner(list(ROWS))
    assert len(made) == 1 and first.fingerprint == again.fingerprint == Encoder.of(spec).fingerprint
    tuner(ROWS[1:])
    tuner([Labelled(ROWS[0].input, "another label", "train"), *ROWS[1:]])
    assert len(set(made)) == 3, "another row, and another label of a row, are other examples"
    shutil.rmtree(made[0])
    made[0].mkdir()
    (made[0] / "model.onnx").write_bytes(b"half")
    tuner(ROWS)
    assert made[3] == made[0], "what was cut off before its card was written is made again"


@pytest.mark.timeout(900)
@pytest.mark.skipif(
    not TORCH, reason="training needs the packages of the extra train: torch, sentence-transformers, onnx"
)
def test_rows_make_an_encoder_of_their_own(spec: EncoderSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.numpy import save_file

    from experts.factory import tuning
    from experts.factory.quantise_encoder import open_tokenizer

    async def base(tokenizer: Path, cache: Path, progress: object) -> tuning.Base:
        """Random weights, so that nothing is downloaded."""
        save_file(random_weights(open_tokenizer(tokenizer).get_vocab_size()), tmp_path / "model.safetensors")
        return tuning.Base(tmp_path / "model.safetensors", tokenizer)

    monkeypatch.setattr(tuning, "fetch_base", base)
    told: list[tuple[str, int, int]] = []
    tuner = Tuner(spec, tmp_path, lambda *said: told.append(said))
    with pytest.raises(LessonsError, match="its examples: needs two labels of 5 rows"):
        tuner(ROWS[:6])
    with pytest.raises(LessonsError, match="two labels of 5 rows or more once one of 3 parts is left out"):
        tuner([row for at, row in enumerate(ROWS) if at % 9 < 6])
    encoder = tuner(ROWS)
    assert [what for what, done, of in told if done == of] == ["training without a third", "training"]
    assert told[-1][0] == "training" and told[-1][1] == told[-1][2] > 1
    vectors = encoder.encode_all([row.input for row in ROWS])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    (card,) = tmp_path.glob("tuned/*/card.yaml")
    trained = yaml.safe_load(card.read_text())["trained"]
    assert trained["data"] == [{**trained["data"][0], "file": "its examples", "rows": 36, "labels": 4}]
    assert trained["course"]["left_out"] == 0.2
    assert trained["sureness"]["rows"] == 12 and trained["sureness"]["times"] == encoder.sureness > 0
