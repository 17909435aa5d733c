"""A stream through a real connection, torn by the network in any way, is the same stream."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.experts.lab import call, open_lab
from tests.upstream import USAGE, chunk, event

ARGUMENTS = ('{"city":"Trom', 'sø 🐟",', '"days":2}')


def calls(*told: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": list(told)}


CHUNKS = [
    chunk({"role": "assistant", "content": ""}, model="torn"),
    chunk({"content": "Grüße, "}, model="torn"),
    chunk({"content": "漢字 🏴‍☠️\r\n\n\u2028data: "}, model="torn", system_fingerprint="fp_ä"),
    chunk(
        calls({"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}), model="torn"
    ),
    *(chunk(calls({"index": 0, "function": {"arguments": part}}), model="torn") for part in ARGUMENTS),
    chunk({}, "tool_calls", model="torn"),
    {**chunk({}, model="torn"), "choices": [], "usage": USAGE},
]
WHOLE = b"".join([*map(event, CHUNKS), b"data: [DONE]\n\n"])


async def heard(parts: list[bytes]) -> list[dict[str, Any]]:
    async with open_lab() as lab:

        @lab.upstream.behave("torn")
        async def behave(exchange: Any) -> None:
            await exchange.stream(*parts, pause_s=0.0005)

        stream = lab.expert("torn").stream(call())
        return [event.chunk async for arrived in stream for event in arrived]


def cut(places: set[int]) -> list[bytes]:
    ends = [0, *sorted(places), len(WHOLE)]
    return [WHOLE[start:end] for start, end in pairwise(ends)]


@pytest.fixture(scope="module")
def wanted() -> list[dict[str, Any]]:
    found = asyncio.run(heard([WHOLE]))
    said = [choice["delta"] for told in found for choice in told["choices"]]
    assert "".join(delta.get("content") or "" for delta in said) == "Grüße, 漢字 🏴‍☠️\r\n\n\u2028data: "
    functions = [made["function"] for delta in said for made in delta.get("tool_calls") or ()]
    assert "".join(function["arguments"] for function in functions) == "".join(ARGUMENTS)
    assert found[-1]["usage"]["total_tokens"] == USAGE["total_tokens"]
    return found


SPLIT = {at for at, byte in enumerate(WHOLE) if byte & 0xC0 == 0x80}
"""Places in the middle of a character."""


@settings(max_examples=60)
@example(places=set(range(1, len(WHOLE))))
@example(places=SPLIT)
@given(places=st.sets(st.integers(1, len(WHOLE) - 1), max_size=40))
def test_pieces_do_not_matter(wanted: list[dict[str, Any]], places: set[int]) -> None:
    assert asyncio.run(heard(cut(places))) == wanted
