"""Prompts that are all different and all of one length, so that no cache helps and every request costs the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from eval.bench.errors import BenchError

TOKENS: Final = 12
"""Of every prompt, as all-MiniLM-L6-v2 cuts it; the encoder adds [CLS] and [SEP]."""

_QUALITIES: Final = (
    "old", "new", "big", "small", "red", "blue", "green", "dark", "quiet", "loud", "happy", "sad", "young", "cold",
    "warm", "long", "short", "bright", "strong", "gentle",
)  # fmt: skip
_THINGS: Final = (
    "river", "house", "garden", "dog", "horse", "train", "city", "forest", "mountain", "ship", "winter", "summer",
    "storm", "bird", "teacher", "doctor", "king", "bridge", "castle", "village",
)  # fmt: skip
_SLOTS: Final = (_QUALITIES, _THINGS, _QUALITIES, _THINGS, _QUALITIES, _THINGS)

REPEATED: Final = "write a small story about the old house and a gentle dog"


def distinct_prompts(seed: int) -> Iterator[str]:
    """Prompts of `TOKENS` tokens in an order given by `seed`; the first repeat comes after 64 million.

    They count through all combinations of the words with a step that shares no factor with their number.
    """
    total = 1
    for words in _SLOTS:
        total *= len(words)
    step = random.Random(seed).randrange(total // 4, total // 2) * 10 + 1  # noqa: S311 - an order, not a secret
    at = seed % total
    while True:
        at = (at + step) % total
        rest, picked = at, []
        for words in _SLOTS:
            rest, index = divmod(rest, len(words))
            picked.append(words[index])
        yield "write a {} {} about the {} {} and a {} {}".format(*picked)


def check_length(prompts: list[str], tokenizer: Path) -> None:
    """Raises BenchError when a prompt is not of `TOKENS` tokens for the tokenizer in this file."""
    from tokenizers import Tokenizer

    counts = Tokenizer.from_file(str(tokenizer))
    counts.no_padding()
    for prompt in prompts:
        found = len(counts.encode(prompt, add_special_tokens=False).ids)
        if found != TOKENS:
            raise BenchError(f"{prompt!r} has {found} tokens for {tokenizer}, not {TOKENS}. Remedy: choose other words")
