"""A word sent in every place that a client or an upstream may write in is in no log, ledger, metric or trace."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from router.api.edge import BrokenOff, Edge, Hosts
from router.api.errors import as_api_error
from router.keys.ring import KeyRing
from router.tally import Tally
from tests.collector import Collector
from tests.service.distant import distant_upstream
from tests.service.server import Server
from tests.service.test_otel import CANARY, serve
from tests.service.test_privacy import everything
from tests.upstream import Exchange, chunk, completion, event

BARE = "zebrafink"
"""As it is in names that allow no digits or dashes."""

HEAD = {
    "content-type": "application/json", "authorization": f"Bearer {CANARY}", "user-agent": CANARY, "referer": CANARY,
    "cookie": CANARY, "x-request-id": CANARY, "x-client-request-id": CANARY, "baggage": CANARY,
}  # fmt: skip
POSTS = ("chat/completions", "completions", "responses", "messages", "embeddings", "route", "feedback")


def asked(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A request of each kind that is answered."""
    said = [{"role": "system", "content": CANARY}, {"role": "user", "content": text}]
    marked = {"user": CANARY, "safety_identifier": CANARY, "metadata": {CANARY: CANARY}}
    for stream in (False, True):
        yield "chat/completions", {"model": "auto", "messages": said, "stream": stream, **marked}
        yield "responses", {"model": "auto", "input": text, "instructions": CANARY, "stream": stream, "store": False}
        yield "messages", {
            "model": "auto", "max_tokens": 9, "system": CANARY, "messages": said[1:], "stream": stream,
            "metadata": {"user_id": CANARY},
        }  # fmt: skip
        yield "completions", {"model": "poet", "prompt": text, "stream": stream, "user": CANARY}
    yield "embeddings", {"model": "encoder", "input": text}
    yield "route", {"model": "auto", "messages": said}


def refused() -> Iterator[bytes]:
    """Bodies in which something is wrong, for most surfaces."""
    user = {"role": "user", "content": CANARY}
    call = {"id": CANARY, "type": "function", "function": {"name": CANARY, "arguments": json.dumps({CANARY: CANARY})}}
    tool = {"type": "function", "function": {"name": BARE, "description": CANARY, "parameters": {"title": CANARY}}}
    schema = {"name": BARE, "strict": True, "schema": {"type": "object", "properties": {CANARY: {"pattern": CANARY}}}}
    yield b'{"model": "%b' % CANARY.encode()
    yield b"\xff%b" % CANARY.encode()
    for body in (
        {"model": CANARY, "messages": [user], "input": CANARY, "prompt": CANARY},
        {"model": "auto", "messages": CANARY, "input": 7, "prompt": {CANARY: 1}},
        {"model": "auto", "messages": [{"role": CANARY, "content": CANARY}], CANARY: CANARY},
        {"model": "auto", "messages": [user], "tools": [tool]},
        {"model": "auto", "messages": [user, {"role": "assistant", "tool_calls": [call]}, user]},
        {"model": "poet", "messages": [user], "response_format": {"type": "json_schema", "json_schema": schema}},
        {"model": "auto", "input": CANARY, "previous_response_id": f"resp_{CANARY}"},
        {"request_id": CANARY, "score": CANARY, "comment": CANARY},
    ):
        yield json.dumps(body).encode()


def test_no_surface_lets_a_word_out(start: Callable[..., Server], tmp_path: Path) -> None:
    with Collector() as collector:
        server = serve(start, tmp_path, collector)
        answered = [
            server.send("POST", f"/v1/{path}?{CANARY}", json.dumps(body).encode(), HEAD)[0]
            for text in (f"write a poem about the {CANARY}", f"{CANARY} COOKFAIL recipe", f"{CANARY} CUT poem")
            for path, body in asked(text)
        ]
        wrong = [server.send("POST", f"/v1/{path}?{CANARY}", body, HEAD)[0] for path in POSTS for body in refused()]
        for path in (CANARY, f"v1/models/{CANARY}", f"v1/responses/resp_{CANARY}", f"v1/meter?group_by={CANARY}"):
            assert server.send("GET", f"/{path}", None, HEAD)[0] in (400, 404)
        seen = b"".join(server.get(path)[1] for path in ("/metrics", "/v1/dashboard", "/v1/meter", "/readyz"))
        server.stop()
    assert answered.count(200) >= 20
    assert {400, 404} <= set(wrong) <= {200, 400, 404}, wrong  # what one surface refuses another may take
    assert wrong.count(200) <= len(wrong) // 4
    assert len(collector.spans()) >= 20
    kept = {"answers": seen, "collector": collector.everything, "data folder and log": everything(server)}
    for name, found in kept.items():
        assert BARE.encode() not in found, name


async def _ends_by_its_own_words(exchange: Exchange) -> None:
    if exchange.body.get("stream"):
        last = {**chunk({}, CANARY), "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        await exchange.stream(event(chunk({"content": "well"})), event(last), b"data: [DONE]\n\n")
    else:
        answer = completion()
        answer["choices"][0]["finish_reason"] = CANARY
        await exchange.send(orjson.dumps(answer))


async def _refuses_by_its_own_words(exchange: Exchange) -> None:
    error = {"message": CANARY, "type": "invalid_request_error", "code": f"{CANARY} is wrong", "param": CANARY}
    await exchange.send(orjson.dumps({"error": error}), 400)


def test_what_an_upstream_calls_an_end_or_an_error_is_of_a_few_names(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    with Collector() as collector, distant_upstream() as upstream:
        upstream.behave("words")(_ends_by_its_own_words)
        upstream.behave("refusal")(_refuses_by_its_own_words)
        for model in ("words", "refusal"):
            folder = tmp_path / model
            folder.mkdir()
            server = serve(
                start, folder, collector, SHOAL_FALLBACK_URL=upstream.url, SHOAL_FALLBACK_MODEL=model,
                SHOAL_FALLBACK_KEY="secret",
            )  # fmt: skip
            for stream in (False, True):
                said = [{"role": "user", "content": "hello"}]
                body = json.dumps({"model": "fallback", "messages": said, "stream": stream}).encode()
                server.send("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            told = server.get("/metrics")[1]
            server.stop()
            assert CANARY.encode() not in everything(server) + told
    assert len(upstream.seen) == 4
    assert CANARY.encode() not in collector.everything
    assert b"refused_400" in collector.everything


def test_a_bug_is_logged_by_its_place_and_not_by_its_words(caplog: pytest.LogCaptureFixture) -> None:
    def convert(text: str) -> float:
        try:
            return float(text)
        except ValueError as error:
            raise KeyError(text) from error

    with caplog.at_level(logging.ERROR), pytest.raises(KeyError) as raised:
        convert(CANARY)
    answer = as_api_error(raised.value)
    assert answer.status == 500
    assert CANARY not in caplog.text + answer.message
    assert "bug: KeyError\n" in caplog.text
    assert "ValueError\n" in caplog.text
    assert caplog.text.count(f'File "{__file__}"') >= 2


async def test_a_bug_behind_the_head_of_an_answer_is_raised_without_its_words() -> None:
    """The server logs what is raised there, whole."""

    async def inside(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(CANARY)

    async def nothing(*_: Any) -> Any:
        """Neither asks nor answers."""

    keys = KeyRing((), None, Path("no keys"))
    edge = Edge(inside, keys, Hosts({"localhost"}, lambda: False), Tally(["/healthz"]))
    scope = {"type": "http", "method": "GET", "path": "/healthz", "headers": [(b"host", b"localhost")]}
    with pytest.raises(BrokenOff) as raised:
        await edge(scope, nothing, nothing)
    assert CANARY not in "".join(traceback.format_exception(raised.value))
