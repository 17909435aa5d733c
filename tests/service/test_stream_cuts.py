"""Every kind of stream we send, cut into every pair of pieces, read as the official clients read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from anthropic._streaming import SSEDecoder as AnthropicDecoder
from openai._streaming import SSEDecoder as OpenAIDecoder

from experts.http.sse import SseDecoder
from tests.service.server import Server, rows, write_registry

FISH = "Grüße, wörld 🐟 漢字 🏴‍☠️"
CALLS = [{"name": "get_fish", "arguments": {"place": "Tromsø 🐟"}}]
ASK = [{"role": "user", "content": "FISH"}]
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}}
FUNCTION = {"name": "get_fish", "parameters": PARAMETERS}


def chat(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/chat/completions", {"model": "big", "messages": ASK, "stream_options": {"include_usage": True}, **more}


def completion(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/completions", {"model": "big", "prompt": "FISH", "stream_options": {"include_usage": True}, **more}


def response(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/responses", {"model": "big", "input": "FISH", **more}


def message(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/v1/messages", {"model": "big", "messages": ASK, "max_tokens": 99, **more}


BROKEN = {"model": "broken"}
STREAMS = {
    "chat": chat(),
    "chat padded": chat(stream_options={"include_obfuscation": True}),
    "chat tools": chat(tools=[{"type": "function", "function": FUNCTION}]),
    "chat error": chat(**BROKEN),
    "completion": completion(),
    "completion error": completion(**BROKEN),
    "response": response(),
    "response tools": response(tools=[{"type": "function", **FUNCTION}]),
    "response error": response(**BROKEN),
    "message": message(),
    "message tools": message(tools=[{"name": "get_fish", "input_schema": PARAMETERS}]),
    "message error": message(**BROKEN),
}


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("registry")
    path = write_registry(folder)
    text = path.read_text()
    big = text[text.index("  - id: big") :]
    path.write_text(text + big.replace("big", "broken"))
    parts = [word + " " for word in FISH.split(" ")]
    rows(folder / "big.jsonl", [{"match": "FISH", "tool_calls": CALLS, "chunks": parts}])
    rows(folder / "broken.jsonl", [{"match": "FISH", "chunks": parts, "fail": "cut"}])
    return start(path)


def official(decoder: type[OpenAIDecoder] | type[AnthropicDecoder]) -> Callable[[Iterable[bytes]], list[Any]]:
    def read(pieces: Iterable[bytes]) -> list[Any]:
        return [(event.event, event.data) for event in decoder().iter_bytes(iter(pieces))]

    return read


def ours(pieces: Iterable[bytes]) -> list[Any]:
    decoder = SseDecoder()
    return [payload for piece in pieces for payload in decoder.feed(piece)] + decoder.close()


def cuts(raw: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((raw[:at], raw[at:]) for at in range(len(raw) + 1))


@pytest.mark.parametrize("name", STREAMS)
def test_where_a_stream_is_cut_changes_nothing(server: Server, name: str) -> None:
    path, body = STREAMS[name]
    data = json.dumps({**body, "stream": True}).encode()
    status, raw, headers = server.send("POST", path, data, {"content-type": "application/json"})
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    for read in (official(OpenAIDecoder), official(AnthropicDecoder), ours):
        wanted = read([raw])
        assert len(wanted) > 2
        for pieces in cuts(raw):
            assert read(pieces) == wanted
        assert read([bytes([byte]) for byte in raw]) == wanted
    check(name, [json.loads(data) for data in ours([raw]) if data != b"[DONE]"])


def check(name: str, told: list[Any]) -> None:
    """The stream said what it was meant to say."""
    said = json.dumps(told, ensure_ascii=False)
    assert any("error" in event and event["error"] for event in told) == name.endswith("error")
    pieces = {"tools": ["Tromsø", "🐟"], "error": ["Grüße, "]}.get(name.rpartition(" ")[2], FISH.split(" "))
    assert all(piece in said for piece in pieces)
    assert "\ufffd" not in said
    assert name.endswith(("error", "padded")) or "_tokens" in said
