"""The first event of a stream: who speaks, and whether there is a text before the first call of a tool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from experts.wire import Event
from tests.experts.lab import Lab, events, open_lab
from tests.upstream import chunk, event, story

HEAD = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS: dict[str, tuple[dict[str, Any], str | None]] = {
    "OpenAI, one call": ({"content": None, "tool_calls": [HEAD]}, None),
    "OpenAI, several": ({"content": None}, None),
    "Google": ({"tool_calls": [HEAD]}, None),
    "vLLM": ({"content": ""}, ""),
}
"""What servers say first, and the text that is told of it."""


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as lab:
        yield lab


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_begins_with_a_text_only_where_the_server_says_one(lab: Lab, name: str) -> None:
    """Vercel's AI SDK makes of "" a text of its own, which a page shows as an empty answer before the call."""
    told, text = CALLS[name]
    parts = [chunk({"role": "assistant", **told}), chunk({"tool_calls": [HEAD]}), chunk({}, "tool_calls")]
    stream = await events(lab.streams(*map(event, parts), b"data: [DONE]\n\n"), tools=[{"type": "function"}])
    said = {name: value for name, value in told.items() if value}
    assert _delta(stream) == {"role": "assistant", "content": text, "refusal": None, **said}


async def test_an_unsaid_text_is_empty_where_no_tool_is_offered(lab: Lab) -> None:
    """llama.cpp says null before every answer, and clients that add texts up without a look would write "null"."""
    first = event(chunk({"role": "assistant", "content": None}))
    assert _delta(await events(lab.streams(first, *story()[1:]))) == {
        "role": "assistant",
        "content": "",
        "refusal": None,
    }


def _delta(stream: list[Event]) -> dict[str, Any]:
    (choice,) = stream[0].chunk["choices"]
    return choice["delta"]
