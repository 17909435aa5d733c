"""Upstreams whose answers are JSON and no chat completions: their error on every surface, never one of Shoal's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from router.meter.record import Status
from router.meter.ulid import ulid_bytes
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.service.test_fault_surfaces import entry
from tests.upstream import Exchange, chunk, completion, event

ODD = "ODD"
"""A request that says so is answered oddly; any other closes the breaker again."""

Body = dict[str, Any]


def token(**more: Any) -> Body:
    return {"content": [{"token": "a", "logprob": -1, "top_logprobs": [], **more}]}


CHOICES: dict[str, Body] = {
    "index-list": {"index": [1]},
    "index-text": {"index": "0"},
    "index-far": {"index": 10**9},
    "finish-list": {"finish_reason": ["stop"]},
    "logprobs-text": {"logprobs": "x"},
    "logprobs-list": {"logprobs": [1]},
    "logprobs-no-tokens": {"logprobs": {"content": [1]}},
    "logprobs-number": {"logprobs": token(token=1)},
    "logprobs-words": {"logprobs": token(logprob="x")},
    "logprobs-top": {"logprobs": token(top_logprobs=[1])},
    "lists-no-text": {"logprobs": {"tokens": [1], "token_logprobs": [-1], "top_logprobs": []}},
    "lists-no-list": {"logprobs": {"tokens": ["a"], "token_logprobs": 5}},
    "lists-no-number": {"logprobs": {"tokens": ["a"], "token_logprobs": [-1], "top_logprobs": [{"a": "x", "b": 1}]}},
}
"""What is odd about a choice, whole or streamed."""

SAID: dict[str, Body] = {
    "content-list": {"content": [1]},
    "refusal-number": {"refusal": 5},
    "calls-text": {"tool_calls": "abc"},
    "calls-number": {"tool_calls": 5},
    "calls-object": {"tool_calls": {"a": 1}},
    "calls-null": {"tool_calls": [None]},
    "calls-function": {"tool_calls": [{"id": "a", "function": "f"}]},
    "calls-bare": {"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f"}}]},
    "calls-no-function": {"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": ""}}]},
    "calls-arguments": {"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"b": 1}}}]},
}
"""What is odd about what it says."""

ROUGH: dict[str, bytes] = {
    "delta-null": b'"choices": [{"index": 0, "delta": null, "finish_reason": null}]',
    "choices-text": b'"choices": "a", "x": {"finish_reason": null}',
    "choices-number": b'"choices": 5, "x": {"finish_reason": null}',
    "no-json": b'"choices":[{"index":0,"delta":{"content":b},"logprobs":null,"finish_reason":null}]',
    "no-utf-8": b'"choices":[{"index":0,"delta":{"content":"\xff"},"logprobs":null,"finish_reason":null}]',
}
"""Events that pass for middle ones, which nobody reads on their way to a chat."""


def odd(name: str) -> Callable[[Exchange], Any]:
    """A behaviour that answers as `name` says, whole or streamed, in the words of the endpoint that is asked."""

    async def behave(exchange: Exchange) -> None:
        text, asked = exchange.path.endswith("/v1/completions"), ODD in orjson.dumps(exchange.body).decode()
        choice, said = CHOICES.get(name, {}) if asked else {}, SAID.get(name, {}) if asked else {}
        if not exchange.body.get("stream"):
            whole = completion(exchange.body["model"])
            whole["choices"][0] |= choice
            whole["choices"][0]["message"] |= said
            answer = told(whole, "message") if text else whole
            answer["choices"] *= 2 if name == "choices-two" else 1
            await exchange.send(orjson.dumps(answer))
            return
        head, middle, last = chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"}), chunk({}, "stop")
        middle["choices"][0] |= choice
        middle["choices"][0]["delta"] |= said
        events = [event(told(each, "delta") if text else each) for each in (head, middle, last)]
        if asked and name in ROUGH and not text:
            start = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"ok",'
            events[1] = start + ROUGH[name] + b"}\n\n"
        # What is found as it comes ends the answer before its first word, unless that came in a piece of its own.
        await exchange.stream(*events, b"data: [DONE]\n\n", pause_s=0.3 if asked and name == "content-list" else 0)

    return behave


def told(body: Body, key: str) -> Body:
    """A chat completion, or a chunk of one, as one of text."""
    (choice,) = body["choices"]
    said = choice.pop(key)
    return {**body, "object": "text_completion", "choices": [{**choice, "text": said.get("content") or ""}]}


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with distant_upstream() as far:
        far.behaviours.update({name: odd(name) for name in (*CHOICES, *SAID, *ROUGH, "choices-two")})
        path = write_registry(tmp_path_factory.mktemp("registry"))
        experts = "".join(entry(name, far, 30) for name in far.behaviours)
        path.write_text(
            path.read_text() + experts.replace("[stream, completions]", "[stream, tools, completions, logprobs]")
        )
        yield start(path)


def asked(model: str, text: str, stream: bool) -> Iterator[tuple[str, Body]]:
    """The same on every surface."""
    messages = [{"role": "user", "content": text}]
    head = {"model": model, "stream": stream}
    yield "/v1/chat/completions", {**head, "messages": messages}
    yield "/v1/chat/completions", {**head, "messages": messages, "functions": [{"name": "f"}]}
    yield "/v1/messages", {**head, "messages": messages, "max_tokens": 9}
    yield "/v1/responses", {**head, "input": text, "include": ["message.output_text.logprobs"]}
    yield "/v1/completions", {**head, "prompt": text, "logprobs": 1}
    yield "/v1/completions", {**head, "prompt": text, "echo": True}


@pytest.mark.parametrize(
    ("name", "stream"),
    [(name, stream) for name in (*CHOICES, *SAID) for stream in (False, True)] + [(name, True) for name in ROUGH],
)
def test_an_odd_answer_is_the_upstreams_fault(server: Server, name: str, stream: bool) -> None:
    for (path, body), (_, fine) in zip(asked(name, ODD, stream), asked(name, "fine", stream), strict=True):
        for one, statuses in ((body, (200, 502)), (fine, (200,))):
            status, answer, _ = server.send("POST", path, orjson.dumps(one), {"content-type": "application/json"})
            assert status in statuses, (path, answer)
            assert b"Shoal made an error" not in answer, path


@pytest.mark.parametrize(
    "name", ["content-list", "index-list", "logprobs-text", "calls-null", "no-json", "choices-text"]
)
def test_what_cannot_be_told_on_is_the_experts_failure_in_the_ledger_too(server: Server, name: str) -> None:
    for path, body in list(asked(name, ODD, True))[1:4]:
        status, answer, headers = server.send("POST", path, orjson.dumps(body), {"content-type": "application/json"})
        assert status == 200 and b"upstream_error" in answer, path
        assert ended(server, headers["x-request-id"]) is Status.PARTIAL, path
        line = f"request {headers['x-request-id']}: {name}: the upstream sent an event that is no chat.completion.chunk"
        assert line in server.log()


def ended(server: Server, request_id: str) -> Status:
    ((status,),) = server.query("SELECT status FROM requests WHERE request_id = ?", ulid_bytes(request_id))
    return Status(status)


def test_more_choices_than_were_asked_for_are_the_upstreams_fault_in_the_ledger_too(server: Server) -> None:
    body = {"model": "choices-two", "prompt": ODD, "echo": True}
    status, answer, headers = server.post("/v1/completions", body)
    assert (status, answer["error"]["code"]) == (502, "upstream_error")
    assert ended(server, headers["x-request-id"]) is Status.ERROR


def test_the_books_are_right_afterwards(server: Server) -> None:
    assert server.shoal("meter", "audit").returncode == 0
    assert "Traceback" not in server.log()
