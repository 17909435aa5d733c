"""An upstream that tells no usage: the answer tells what the ledger charges, and that it is an estimate."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from router.meter.ulid import ulid_bytes
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.upstream import Exchange, chunk, completion, event

MUTE = """
  - id: mute
    kind: openai
    description: Counts nothing
    url: {url}
    model: mute
    params_b: 0.1
    context: 4096
    capabilities: [stream, tools, n, embeddings, completions]
    price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 2, source: its bill, as_of: 2026-11-01}}
"""
ASKED = "write a poem about the sea and the wind"
SAID = "The sea is wide, the wind is cold."
CALLED = {"name": "wind_at", "arguments": json.dumps({"place": "Skagen, at the very end of Denmark", "hour": 6})}
CALLED_TOKENS = sum(map(len, CALLED.values())) // 4
TOOL = {"type": "function", "function": {"name": "wind_at", "parameters": {"type": "object", "properties": {}}}}


async def answer_without_usage(exchange: Exchange) -> None:
    """An answer on any of its paths, or its events."""
    many, text = exchange.body.get("n") or 1, exchange.path.endswith("/completions") and "prompt" in exchange.body
    if exchange.body.get("tools"):
        await call_without_usage(exchange)
    elif exchange.path.endswith("/embeddings"):
        rows = [{"index": at, "embedding": [1.0, 0.0]} for at in range(len(exchange.body["input"]))]
        await exchange.send(orjson.dumps({"object": "list", "data": rows}))
    elif exchange.body.get("stream"):
        await exchange.stream(*(event(_worded(each, text)) for each in _chunks(many)), b"data: [DONE]\n\n")
    else:
        whole = completion("mute", SAID)
        choices = [{**whole["choices"][0], "index": index} for index in range(many)]
        told = {name: value for name, value in whole.items() if name != "usage"} | {"choices": choices}
        await exchange.send(orjson.dumps(_worded(told, text)))


async def call_without_usage(exchange: Exchange) -> None:
    """A call and no word beside it, whole or as one event."""
    call = {"id": "call_1", "type": "function", "function": CALLED}
    if exchange.body.get("stream"):
        begun = chunk({"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}, model="mute")
        ended = chunk({}, "tool_calls", model="mute")
        await exchange.stream(event(begun), event(ended), b"data: [DONE]\n\n")
    else:
        whole = completion("mute", "")
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
        told = {name: value for name, value in whole.items() if name != "usage"}
        await exchange.send(orjson.dumps({**told, "choices": [choice]}))


def _chunks(many: int) -> Iterator[dict[str, Any]]:
    for index in range(many):
        deltas = [
            ({"role": "assistant", "content": ""}, None),
            *(({"content": f"{word} "}, None) for word in SAID.split()),
        ]
        for delta, finish in [*deltas, ({}, "stop")]:
            told = chunk(delta, finish, model="mute")
            yield {**told, "choices": [{**told["choices"][0], "index": index}]}


def _worded(told: dict[str, Any], text: bool) -> dict[str, Any]:
    """As the endpoint for texts says it, where that was asked."""
    if not text:
        return told
    (choice, *more) = told["choices"]
    said = {"text": choice.get("delta", choice.get("message")).get("content") or "", "index": choice["index"]}
    assert not more
    return {**told, "choices": [{**said, "finish_reason": choice["finish_reason"], "logprobs": None}]}


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with distant_upstream() as upstream:
        upstream.behave("mute")(answer_without_usage)
        path = write_registry(tmp_path_factory.mktemp("registry"))
        path.write_text(path.read_text() + MUTE.format(url=upstream.url))
        yield start(path)


CHAT = {"model": "mute", "messages": [{"role": "user", "content": ASKED}]}
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "two choices": ("/v1/chat/completions", {**CHAT, "n": 2}),
    "a text": ("/v1/completions", {"model": "mute", "prompt": ASKED}),
    "a response": ("/v1/responses", {"model": "mute", "input": ASKED}),
    "a message": ("/v1/messages", {**CHAT, "max_tokens": 50}),
}


def charged(server: Server, request_id: str) -> tuple[int, int, str]:
    """Tokens in and out of a request's one attempt in the ledger, and who counted them."""
    query = """SELECT input_tokens, output_tokens, n.name FROM attempts a JOIN names n ON n.id = a.token_source
               WHERE request_id = ? AND cost_nusd = 1000 * input_tokens + 2000 * output_tokens"""
    ((asked, answered, source),) = server.query(query, ulid_bytes(request_id))
    return asked, answered, source


def told(usage: dict[str, Any]) -> tuple[int, int]:
    """Tokens in and out, in whosever words."""
    asked = usage.get("prompt_tokens", usage.get("input_tokens"))
    answered = usage.get("completion_tokens", usage.get("output_tokens"))
    assert isinstance(asked, int) and isinstance(answered, int)
    assert usage.get("total_tokens", asked + answered) == asked + answered
    return asked, answered


@pytest.mark.parametrize("what", ASKS)
def test_an_answer_tells_the_estimate_that_is_charged(server: Server, what: str) -> None:
    path, body = ASKS[what]
    status, answer, headers = server.post(path, body)
    assert status == 200, answer
    found = (*told(answer["usage"]), answer["shoal"]["token_source"])
    assert found == charged(server, headers["x-request-id"])
    assert found == (len(ASKED) // 4, body.get("n", 1) * len(SAID) // 4, "estimate")


@pytest.mark.parametrize("what", ASKS)
def test_a_stream_tells_the_estimate_that_is_charged(server: Server, what: str) -> None:
    path, body = ASKS[what]
    options = {"stream_options": {"include_usage": True}} if path.endswith("/completions") else {}
    asked = json.dumps(body | options | {"stream": True}).encode()
    status, answer, headers = server.send("POST", path, asked, {"content-type": "application/json"})
    assert status == 200, answer
    lines = [line.removeprefix(b"data: ") for line in answer.split(b"\n") if line.startswith(b"data: {")]
    events = [json.loads(line) for line in lines]
    parts = [part.get("response", part) for part in events]
    usage = [part["usage"] for part in parts if part.get("usage")][-1]
    shoal = [part["shoal"] for part in parts if part.get("shoal")][-1]
    found = (*told(usage), shoal["token_source"])
    assert found == charged(server, headers["x-request-id"])
    # A token a word: what begins a choice or ends it says nothing.
    assert found == (len(ASKED) // 4, body.get("n", 1) * len(SAID.split()), "estimate")


@pytest.mark.parametrize("streamed", [False, True])
def test_a_call_is_charged_by_what_it_says(server: Server, streamed: bool) -> None:
    body = {**CHAT, "tools": [TOOL], "stream": streamed}
    asked = json.dumps(body).encode()
    status, answer, headers = server.send("POST", "/v1/chat/completions", asked, {"content-type": "application/json"})
    assert status == 200, answer
    _, written, source = charged(server, headers["x-request-id"])
    assert (written, source) == (CALLED_TOKENS, "estimate")


def test_vectors_tell_the_estimate_that_is_charged(server: Server) -> None:
    status, answer, headers = server.post("/v1/embeddings", {"model": "mute", "input": [ASKED, SAID]})
    assert status == 200, answer
    estimate = (len(ASKED) + len(SAID)) // 4
    assert answer["usage"] == {"prompt_tokens": estimate, "total_tokens": estimate}
    assert answer["shoal"]["token_source"] == "estimate"
    assert charged(server, headers["x-request-id"]) == (estimate, 0, "estimate")


def test_who_counted_is_told_of_other_answers_too(server: Server) -> None:
    _, answer, _ = server.post("/v1/chat/completions", {**CHAT, "model": "auto"})
    assert answer["shoal"]["token_source"] == "tokenizer"
    assert server.shoal("meter", "audit").returncode == 0
