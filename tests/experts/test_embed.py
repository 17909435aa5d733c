"""Embeddings of a server behind an expert, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import orjson
import pytest

from experts.errors import ExpertFailed, ExpertRefused
from experts.openai_http import OpenAIExpert
from experts.spec import Timeouts
from experts.wire import Usage
from tests.upstream import Exchange, Upstream, running

GOOD = {
    "object": "list",
    "data": [{"index": 1, "embedding": [0, 1, 0]}, {"index": 0, "embedding": [1, 0, 0]}],
    "usage": {"prompt_tokens": 7, "total_tokens": 7},
}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running() as upstream:
        yield upstream


async def embed(upstream: Upstream, answer: bytes, status: int = 200) -> tuple[np.ndarray, Usage]:
    @upstream.behave("m")
    async def _(exchange: Exchange) -> None:
        await exchange.send(answer, status)

    expert = OpenAIExpert("vectors", upstream.url, "m", timeouts=Timeouts())
    try:
        vectors, usage = await expert.embed(["a", [1, 2]], 3)
    finally:
        await expert.aclose()
    return vectors, usage


async def test_vectors_come_by_their_index(upstream: Upstream) -> None:
    vectors, tokens = await embed(upstream, orjson.dumps(GOOD))
    assert vectors.tolist() == [[1, 0, 0], [0, 1, 0]] and tokens == Usage(7, source="upstream")
    (asked,) = upstream.seen
    assert asked.path == "/v1/embeddings"
    assert asked.body == {"model": "m", "input": ["a", [1, 2]], "encoding_format": "float", "dimensions": 3}


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[]",
        b"{}",
        orjson.dumps({**GOOD, "data": GOOD["data"][:1]}),
        orjson.dumps({"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]}),
        orjson.dumps({"data": [{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": [1]}]}),
    ],
)
async def test_what_is_no_vectors_is_a_failure(upstream: Upstream, answer: bytes) -> None:
    with pytest.raises(ExpertFailed):
        await embed(upstream, answer)


async def test_a_refusal_is_one(upstream: Upstream) -> None:
    error = {"error": {"message": "no such size", "type": "invalid_request_error", "param": "dimensions", "code": None}}
    with pytest.raises(ExpertRefused) as caught:
        await embed(upstream, orjson.dumps(error), 400)
    assert caught.value.param == "dimensions"
