"""Vectors of the encoder that routes requests, made in turns, so that nobody else waits until all of them are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experts.wire import Prompt, Usage, Vector
from router.api.embeddings.schema import check_sum, param_of
from router.api.errors import ApiError, invalid
from router.encode import AsyncEncoder, Encoder, Tokens

READ_AT_ONCE: Final = 16
"""Texts turned into tokens in one turn at the encoder."""

TOKENS_AT_ONCE: Final = 1_024
"""Encoded in one turn, some 50 ms of a core; between two, others have theirs and a client that left is noticed."""


async def tokens_of(
    encoder: AsyncEncoder, given: Any, inputs: Sequence[Prompt], dimensions: int | None
) -> list[Tokens]:
    """Each of the inputs, which were sent as `given`, as tokens. Raises `ApiError` about what cannot be encoded."""
    _check_encodable(encoder.encoder, inputs, dimensions)
    read: list[Tokens] = []
    for start in range(0, len(inputs), READ_AT_ONCE):
        read += await encoder.in_turn(_read, encoder.encoder, given, inputs, start)
    check_sum(sum(map(len, read)))
    return read


def _check_encodable(encoder: Encoder, inputs: Sequence[Prompt], dimensions: int | None) -> None:
    if dimensions is not None and dimensions > encoder.dimensions:
        wants = f"Expected a value <= {encoder.dimensions}, but got {dimensions} instead."
        message = f"Invalid 'dimensions': integer above maximum value. {wants}"
        raise invalid(message, "dimensions", "integer_above_max_value")
    vocabulary = encoder.vocabulary_size
    for one in inputs:
        if not isinstance(one, str) and max(one) >= vocabulary:
            message = (
                f"'input' holds a token id that is not in the encoder's vocabulary of {vocabulary}. Token ids are "
                "those of the model that reads them; send text if they come from another tokenizer."
            )
            raise invalid(message, "input", "invalid_value")


def _read(encoder: Encoder, given: Any, inputs: Sequence[Prompt], start: int) -> list[Tokens]:
    """The tokens of a slice of the inputs. Raises `ApiError` about the first one that is longer than can be read."""
    read = []
    for at, one in enumerate(inputs[start : start + READ_AT_ONCE], start):
        ids, counted = encoder.whole(one) if isinstance(one, str) else (one, True)
        if len(ids) + 2 > encoder.max_tokens:
            raise _too_long(param_of(given, at), len(ids) + 2, counted, encoder.max_tokens)
        read.append(encoder.framed(ids))
    return read


def _too_long(param: str, tokens: int, counted: bool, most: int) -> ApiError:
    holds = f"holds {tokens}" if counted else f"holds more than {tokens}"
    message = f"This model's maximum context length is {most} tokens, two of its own among them; '{param}' {holds}."
    return invalid(f"{message} Please shorten it, or send it in parts.", param, "context_length_exceeded")


async def encode(
    encoder: AsyncEncoder, read: list[Tokens], dimensions: int | None
) -> tuple[NDArray[np.float32], Usage]:
    """Vectors, shape (texts, dimensions), each of length 1, and the tokens they took."""
    vectors: list[Vector] = []
    for some in _slices(read):
        vectors += await encoder.in_turn(_embedded, encoder.encoder, some)
    return _cut(np.stack(vectors), dimensions), Usage(sum(map(len, read)), source="tokenizer")


def _slices(read: list[Tokens]) -> Iterator[list[Tokens]]:
    """Texts in their order, in lists of at most `TOKENS_AT_ONCE` tokens."""
    some: list[Tokens] = []
    size = 0
    for tokens in read:
        if some and size + len(tokens) > TOKENS_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(tokens)
        size += len(tokens)
    yield some


def _embedded(encoder: Encoder, some: list[Tokens]) -> list[Vector]:
    return [encoder.embed(tokens) for tokens in some]


def _cut(vectors: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """Shorter vectors of length 1.

    The encoder was not trained for it: of 600 support tickets the nearest neighbour has the same label for 65 % with
    all 384 dimensions, 62 % with 256, 58 % with 128 and 52 % with 64 (2026-11-25).
    """
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    short = vectors[:, :dimensions]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return np.asarray(short / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
