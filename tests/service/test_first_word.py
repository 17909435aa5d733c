"""An upstream that says who speaks and then no word: nothing was said yet, so the fallback answers in its place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from router.meter.record import Status
from router.meter.ulid import ulid_bytes
from tests.service.distant import distant_upstream
from tests.service.server import Server
from tests.service.test_faults import POEM, closes, ends, far_poet, resets, stalls
from tests.upstream import Exchange, Upstream, chunk, event, story

SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": POEM}),
    "responses": ("/v1/responses", {"input": POEM}),
    "messages": ("/v1/messages", {"messages": POEM, "max_tokens": 50}),
}
ROLE = event(chunk({"role": "assistant", "content": ""}))


def silent(*parts: bytes, then: Callable[[Exchange], Any] = ends) -> Callable[[Exchange], Any]:
    """An upstream that opens its stream at once and then sends these parts."""

    async def behave(exchange: Exchange) -> None:
        await exchange.stream(ROLE, *parts, end=False, pause_s=0.002)
        await then(exchange)

    return behave


BEFORE_A_WORD: dict[str, Callable[[Exchange], Any]] = {
    "ends": silent(),
    "fin": silent(then=closes),
    "rst": silent(then=resets),
    "stall": silent(then=stalls),
    "error": silent(event({"error": {"message": "out of memory", "type": "server_error"}})),
    "garbage": silent(b"data: {nonsense\n\n"),
    "empty words": silent(*[event(chunk({"content": ""}))] * 3, then=closes),
    "no finish key": silent(event({"choices": [{"index": 0, "delta": {}}]}), then=closes),
}


@pytest.fixture(scope="module")
def far() -> Iterator[Upstream]:
    with distant_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def server(far: Upstream, start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    return start(far_poet(tmp_path_factory.mktemp("registry"), far.url), FAR_KEY="key")


def streamed(server: Server, surface: str, **more: Any) -> tuple[list[dict[str, Any]], str]:
    """The events of an answer, and the id of its request."""
    path, body = SURFACES[surface]
    told = json.dumps({"model": "auto", **body, "stream": True, **more}).encode()
    status, answer, headers = server.send("POST", path, told, {"content-type": "application/json"})
    assert status == 200, answer
    lines = [line.removeprefix(b"data: ") for line in answer.split(b"\n") if line.startswith(b"data: {")]
    return [json.loads(line) for line in lines], headers["x-request-id"]


def attempts(server: Server, request_id: str) -> list[tuple[str, int]]:
    """How each attempt ended, and the tokens it is charged for saying."""
    query = "SELECT status, output_tokens FROM attempts WHERE request_id = ? ORDER BY n"
    return [(Status(status).name, tokens) for status, tokens in server.query(query, ulid_bytes(request_id))]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("how", BEFORE_A_WORD)
def test_who_has_only_opened_its_stream_is_replaced(far: Upstream, server: Server, surface: str, how: str) -> None:
    far.behaviours.pop("far", None)
    assert server.post(SURFACES["chat"][0], {"model": "far", "messages": POEM})[0] == 200  # no breaker opens
    far.behaviours["far"] = BEFORE_A_WORD[how]
    events, request_id = streamed(server, surface)
    shoal = [part["shoal"] for part in (each.get("response", each) for each in events) if part.get("shoal")][-1]
    assert (shoal["escalated"]["from"], shoal["escalated"]["to"]) == ("far", "big")
    (first, none), (second, some) = attempts(server, request_id)
    assert (first, none, second, some > 0) == ("ERROR", 0, "OK", True)
    if surface == "chat":
        roles = [each["choices"][0]["delta"].get("role") for each in events if each["choices"]]
        assert (roles[0], {each["model"] for each in events}) == ("assistant", {"big"}), "one answer is told, not two"
        assert roles.count("assistant") == 1


def test_whoever_named_it_gets_a_clear_status(far: Upstream, server: Server) -> None:
    far.behaviours["far"] = BEFORE_A_WORD["fin"]
    asked = json.dumps({"model": "far", "messages": POEM, "stream": True}).encode()
    status, answer, headers = server.send("POST", SURFACES["chat"][0], asked, {"content-type": "application/json"})
    assert (status, json.loads(answer)["error"]["code"]) == (502, "upstream_error")
    assert attempts(server, headers["x-request-id"]) == [("ERROR", 0)]


EMPTY = [ROLE, event(chunk({}, "stop")), event({**chunk({}), "choices": []}), b"data: [DONE]\n\n"]
"""A proper end without a word, as a model gives that has nothing to add."""


@pytest.mark.parametrize(
    ("parts", "said"), [(story(), "Hello wörld 🐟"), (EMPTY, ""), (story(("a",) * 3)[:-2] + EMPTY[-1:], "aaa")]
)
def test_what_opens_a_stream_is_told_with_the_answer(
    far: Upstream, server: Server, parts: list[bytes], said: str
) -> None:
    far.behaviours["far"] = silent(*parts[1:])
    events, request_id = streamed(server, "chat", model="far")
    deltas = [each["choices"][0]["delta"] for each in events if each["choices"]]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(delta.get("content") or "" for delta in deltas) == said
    assert attempts(server, request_id) == [("OK", 3 if said else 0)], "a token a word, none for what says nothing"
