"""An encoder is measured as it serves."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from experts.factory.encoder_figures import encoder
from router.encode import MODEL, TOKENIZER, Encoder
from router.session import sha256_of

FOLDER = Path(__file__).parents[3] / "router/encoder"
TEXTS = ("hello", "", "Where is my order 4411, and why was I charged twice?", "short words " * 60)


def test_what_is_measured_has_the_bits_that_serve() -> None:
    """Without VNNI it was another arithmetic, whose products saturate; with it there is only one."""
    served = Encoder.open(FOLDER, sha256_of(FOLDER / MODEL))
    tokenizer = Tokenizer.from_file(str(FOLDER / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    measured = encoder((FOLDER / MODEL).read_bytes(), tokenizer, served.max_tokens)
    for text in TEXTS:
        assert measured(text).tobytes() == served.encode(text).tobytes()
