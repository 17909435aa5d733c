"""Streamed calls that an upstream mixes with one another or with text, as each API's official client reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest

from tests.experts.http.test_calls import STREAMS, first, part, streamed
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.service.test_disconnects import FAR
from tests.upstream import Exchange, chunk, event

TEXTED = [
    event(chunk({"role": "assistant", "tool_calls": [first("{")]})),
    event(chunk({"content": "One "})),
    event(chunk({"tool_calls": [part("}")]})),
    event(chunk({"content": "moment."})),
    event(chunk({}, "tool_calls")),
    b"data: [DONE]\n\n",
]
CASES = {name: streamed(parts) for name, (parts, _) in STREAMS.items()} | {"text within": TEXTED}
ASK: Any = [{"role": "user", "content": "What is the weather in two cities?"}]
SCHEMA: Any = {"type": "object"}


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with distant_upstream() as far:

        @far.behave("endless")
        async def answer(exchange: Exchange) -> None:
            await exchange.stream(*CASES[exchange.body["messages"][0]["content"]])

        path = write_registry(tmp_path_factory.mktemp("registry"))
        path.write_text(path.read_text() + FAR.format(url=far.url) + "    capabilities: [stream, tools]\n")
        yield start(path)


def chat(server: Server, case: str) -> tuple[str, list[str]]:
    """The text and the arguments of each call."""
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}]
    asked: Any = [{"role": "developer", "content": case}, *ASK]
    with server.client().chat.completions.stream(model="far", messages=asked, tools=tools) as stream:
        said = stream.get_final_completion().choices[0].message
    return said.content or "", [call.function.arguments for call in said.tool_calls or []]


def messages(server: Server, case: str) -> tuple[str, list[str]]:
    tools: Any = [{"name": "f", "input_schema": SCHEMA}]
    arguments, text, open_block = {}, "", None
    with anthropic.Anthropic(base_url=server.base, api_key="unused", max_retries=0) as client:
        asked: Any = {"model": "far", "max_tokens": 9, "system": case, "messages": ASK, "tools": tools}
        for each in client.messages.create(**asked, stream=True):
            if each.type == "content_block_start":
                assert open_block is None
                open_block = (each.index, each.content_block.type)
                if each.content_block.type == "tool_use":
                    arguments[each.index] = ""
            elif each.type == "content_block_delta":
                kinds = {"text_delta": "text", "input_json_delta": "tool_use"}
                assert open_block == (each.index, kinds[each.delta.type])
                if each.delta.type == "text_delta":
                    text += each.delta.text
                else:
                    arguments[each.index] += each.delta.partial_json
            elif each.type == "content_block_stop":
                assert open_block is not None and open_block[0] == each.index
                open_block = None
    return text, [*arguments.values()]


def responses(server: Server, case: str) -> tuple[str, list[str]]:
    tools: Any = [{"type": "function", "name": "f", "parameters": SCHEMA, "strict": False}]
    asked: Any = {"model": "far", "instructions": case, "input": ASK, "tools": tools}
    client = server.client()
    told = list(client.responses.create(**asked, stream=True))
    final = told[-1].response
    again = list(client.responses.retrieve(final.id, stream=True))
    assert [(each.type, getattr(each, "delta", None)) for each in again] == [
        (each.type, getattr(each, "delta", None)) for each in told
    ], "what is streamed again has the same events, of which clients may have read some"
    return final.output_text, [item.arguments for item in final.output if item.type == "function_call"]


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("surface", [chat, messages, responses])
def test_every_call_has_its_own_arguments(server: Server, surface: Callable[..., Any], case: str) -> None:
    assert surface(server, case) == ("", [said for _, said in STREAMS[case][1]])


@pytest.mark.parametrize("surface", [chat, messages, responses])
def test_text_within_a_call_leaves_it_whole(server: Server, surface: Callable[..., Any]) -> None:
    assert surface(server, "text within") == ("One moment.", ["{}"])
