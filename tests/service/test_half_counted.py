"""An upstream whose usage lacks a count, or says 0 of what is there: that is estimated, and the answer says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.service.test_uncounted import ASKED, CALLED, CALLED_TOKENS, MUTE, charged, told
from tests.upstream import Exchange, chunk, completion, event

WORDS = tuple(f"word{n} " for n in range(20))
ESTIMATE = (len(ASKED) // 4, len("".join(WORDS)) // 4, len(WORDS))
"""Tokens of the prompt, of the answer in one piece, and of its events."""

USAGES: dict[str, tuple[dict[str, Any], int | None, int | None]] = {
    "prompt-only": ({"prompt_tokens": 10}, 10, None),
    "null-answer": ({"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 10}, 10, None),
    "zero-answer": ({"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}, 10, None),
    "answer-only": ({"completion_tokens": 7}, None, 7),
    "zero-prompt": ({"prompt_tokens": 0, "completion_tokens": 7, "total_tokens": 7}, None, 7),
    "zeros": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None, None),
    "both": ({"prompt_tokens": 10, "completion_tokens": 7, "total_tokens": 17}, 10, 7),
}
"""What it tells, and what of it is a count of the prompt and of the answer."""

PATHS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": ASKED}]}),
    "response": ("/v1/responses", {"input": ASKED}),
    "message": ("/v1/messages", {"messages": [{"role": "user", "content": ASKED}], "max_tokens": 50}),
}


def telling(usage: dict[str, Any], *deltas: dict[str, Any]) -> Callable[[Exchange], Any]:
    """An upstream that says these deltas, whole or streamed, and this usage."""

    async def behave(exchange: Exchange) -> None:
        if exchange.body.get("stream"):
            parts = [chunk(delta) for delta in ({"role": "assistant", "content": ""}, *deltas)]
            parts += [chunk({}, "stop"), {**chunk({}), "choices": [], "usage": usage}]
            await exchange.stream(*map(event, parts), b"data: [DONE]\n\n")
            return
        whole = completion(text="".join(delta.get("content") or "" for delta in deltas), usage=usage)
        for delta in deltas:
            whole["choices"][0]["message"] |= {name: value for name, value in delta.items() if name != "content"}
        await exchange.send(orjson.dumps(whole))

    return behave


SAID = [{"content": word} for word in WORDS]
CALL = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": CALLED}]}


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with distant_upstream() as upstream:
        for name, (usage, _, _) in USAGES.items():
            upstream.behave(name)(telling(usage, *SAID))
        upstream.behave("empty")(telling(USAGES["zero-answer"][0]))
        upstream.behave("calls")(telling(USAGES["zero-answer"][0], CALL))
        path = write_registry(tmp_path_factory.mktemp("registry"))
        experts = [MUTE.format(url=upstream.url).replace("mute", name) for name in upstream.behaviours]
        path.write_text(path.read_text() + "".join(experts))
        yield start(path)


def answered(server: Server, surface: str, model: str, stream: bool) -> tuple[tuple[int, int, str], str]:
    """What an answer tells of its tokens in and out and of who counted them, and the id of its request."""
    path, body = PATHS[surface]
    options = {"stream_options": {"include_usage": True}} if stream and surface == "chat" else {}
    asked = json.dumps({**body, **options, "model": model, "stream": stream}).encode()
    status, answer, headers = server.send("POST", path, asked, {"content-type": "application/json"})
    assert status == 200, answer
    lines = [line.removeprefix(b"data: ") for line in answer.split(b"\n") if line.startswith(b"data: {")]
    parts = [part.get("response", part) for part in map(json.loads, lines if stream else [answer])]
    usage = [part["usage"] for part in parts if part.get("usage")][-1]
    shoal = [part["shoal"] for part in parts if part.get("shoal")][-1]
    return (*told(usage), shoal["token_source"]), headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", PATHS)
@pytest.mark.parametrize("model", USAGES)
def test_what_was_not_counted_is_estimated_and_told(server: Server, model: str, surface: str, stream: bool) -> None:
    found, request_id = answered(server, surface, model, stream)
    assert found == charged(server, request_id)
    asked, said = USAGES[model][1:]
    source = "upstream" if asked and said else "estimate"
    assert found == (asked or ESTIMATE[0], said or ESTIMATE[1 + stream], source)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_a_word_has_no_tokens(server: Server, stream: bool) -> None:
    found, request_id = answered(server, "chat", "empty", stream)
    assert found == charged(server, request_id) == (10, 0, "upstream")


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_is_something_said(server: Server, stream: bool) -> None:
    found, request_id = answered(server, "chat", "calls", stream)
    assert found == charged(server, request_id) == (10, CALLED_TOKENS, "estimate")


def test_the_books_add_up(server: Server) -> None:
    assert server.shoal("meter", "audit").returncode == 0
