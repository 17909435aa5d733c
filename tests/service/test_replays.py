"""Idempotency-Key over a real socket: answered again, not worked on again."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.service.distant import distant_upstream
from tests.service.server import Server, eventually, write_registry
from tests.service.test_disconnects import ask, at_work, leave, statuses
from tests.upstream import Exchange, Upstream, story

CHAT = "/v1/chat/completions"
POEM = [{"role": "user", "content": "write a poem about the sea and the wind"}]
OK = {"model": "poet", "messages": POEM}


@pytest.fixture
def server(start: Callable[..., Server], tmp_path: Path) -> Server:
    return start(write_registry(tmp_path), SHOAL_API_KEYS="first-key-of-ours,second-key-of-ours")


def post(server: Server, body: object, key: str, who: str = "first") -> tuple[int, bytes, dict[str, str]]:
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {who}-key-of-ours",
        "idempotency-key": key,
    }
    return server.send("POST", CHAT, json.dumps(body).encode(), headers)


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_again_is_answered_again(server: Server, stream: bool) -> None:
    body = OK | {"stream": stream}
    status, first, headers = post(server, body, "k-1")
    assert status == 200 and "x-shoal-replayed" not in headers
    status, again, later = post(server, body, "k-1")
    assert (status, again) == (200, first)
    assert later["x-shoal-replayed"] == "true"
    assert later["x-request-id"] != headers["x-request-id"]
    said = {"request_id": later["x-request-id"], "score": 0.5}
    status, heard, _ = server.post("/v1/feedback", said, {"authorization": "Bearer first-key-of-ours"})
    assert (status, heard["request_id"]) == (200, headers["x-request-id"]), "what is said of it is said of the first"
    assert post(server, body, "k-1")[2]["x-request-id"] not in (later["x-request-id"], headers["x-request-id"])
    assert later["content-type"] == headers["content-type"]
    assert later["x-shoal-expert"] == "poet"
    assert statuses(server) == {"OK": 1}
    assert post(server, body, "k-2")[2].get("x-shoal-replayed") is None
    assert statuses(server) == {"OK": 2}


def test_another_body_is_refused_and_not_tried_again(server: Server) -> None:
    post(server, OK, "k-1")
    status, body, headers = post(server, OK | {"model": "cook"}, "k-1")
    error = json.loads(body)["error"]
    assert (status, error["code"], headers["x-should-retry"]) == (409, "idempotency_key_reused", "false")
    client = server.client(api_key="first-key-of-ours", max_retries=2)
    with pytest.raises(openai.ConflictError):
        client.chat.completions.create(**OK, temperature=1, extra_headers={"idempotency-key": "k-1"})
    client.close()
    assert statuses(server) == {"OK": 1}


def test_two_of_them_are_refused(server: Server) -> None:
    connection = http.client.HTTPConnection(server.base.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", CHAT)
    body = json.dumps(OK).encode()
    for name, value in (
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("authorization", "Bearer first-key-of-ours"),
        ("idempotency-key", "k-1"),
        ("idempotency-key", "k-2"),
    ):
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    assert answer.status == 400
    assert "idempotency-key came twice" in json.loads(answer.read())["error"]["message"]
    connection.close()
    assert statuses(server) == {}


def test_keys_of_different_callers_never_meet(server: Server) -> None:
    _, first, _ = post(server, OK, "k-1")
    status, other, headers = post(server, OK, "k-1", who="second")
    assert status == 200 and "x-shoal-replayed" not in headers
    assert json.loads(first)["shoal"]["request_id"] != json.loads(other)["shoal"]["request_id"]


def test_duplicates_at_once_run_once(server: Server) -> None:
    body = {"model": "poet", "messages": [{"role": "user", "content": "LATE"}]}
    answers: list[tuple[int, bytes, dict[str, str]]] = []
    threads = [threading.Thread(target=lambda: answers.append(post(server, body, "k-1"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in answers} == {200}
    assert len({answer for _, answer, _ in answers}) == 1
    assert sum("x-shoal-replayed" in headers for _, _, headers in answers) == 5
    assert statuses(server) == {"OK": 1}


def test_what_failed_is_tried_anew(server: Server) -> None:
    for text, status in (("BREAK", 502), ("CUT", 200), ("LATEFAIL", 200)):
        body: dict[str, Any] = {"model": "poet", "messages": [{"role": "user", "content": text}]}
        body["stream"] = status == 200
        for _ in range(2):
            got, answer, headers = post(server, body, text)
            assert (got, "x-shoal-replayed" in headers) == (status, False)
            assert b'"error"' in answer
        assert post(server, OK, f"well-{text}")[0] == 200  # or its breaker opens
    assert statuses(server) == {"OK": 3, "ERROR": 4, "PARTIAL": 2}


def test_what_lost_its_client_is_tried_anew(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    body = {"model": "poet", "messages": [{"role": "user", "content": "SLOW"}], "stream": True}
    connection = ask(server, "poet", True, "SLOW")
    eventually(lambda: at_work(server, "poet")[0] == 1)
    leave(connection, "fin")
    eventually(lambda: at_work(server, "poet") == (0, 0))
    headers = {"content-type": "application/json", "idempotency-key": "k"}
    status, answer, told = server.send("POST", CHAT, json.dumps(body).encode(), headers)
    assert (status, "x-shoal-replayed" in told) == (200, False)
    assert answer.endswith(b"data: [DONE]\n\n")


FAR = """
  - id: far
    kind: openai
    description: Somewhere else
    url: {url}
    model: held
    params_b: 0.01
    context: 4096
    capabilities: [stream]
"""


@dataclass
class Held:
    """A server whose expert `far` begins every answer and waits in it until it is let go."""

    server: Server
    upstream: Upstream
    go: threading.Event = field(default_factory=threading.Event)
    well: bool = True

    def ask(self, path: str = CHAT, **more: Any) -> http.client.HTTPResponse:
        """A stream of `far` under one Idempotency-Key; returns with the head."""
        body = {"model": "far", "stream": True, "messages": POEM, **more}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        headers = {"content-type": "application/json", "idempotency-key": "k", "connection": "close"}
        connection.request("POST", path, json.dumps(body), headers)
        return connection.getresponse()

    async def answer(self, exchange: Exchange) -> None:
        begun, *rest = story(model="held")
        await exchange.stream(begun, end=False)
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        for part in rest if self.well else [b"data: {nonsense\n\n"]:
            await exchange.part(part)
        await exchange.write(b"0\r\n\r\n")


@pytest.fixture
def held(start: Callable[..., Server], tmp_path: Path) -> Iterator[Held]:
    with distant_upstream() as upstream:
        path = write_registry(tmp_path)
        path.write_text(path.read_text() + FAR.format(url=upstream.url))
        held = Held(start(path), upstream)
        upstream.behaviours["held"] = held.answer
        yield held
        held.go.set()


def spoken_of(server: Server, answer: http.client.HTTPResponse) -> str:
    """The request that feedback about an answer reaches."""
    status, said, _ = server.post("/v1/feedback", {"request_id": answer.headers["x-request-id"], "score": 1})
    assert status == 200, said
    return str(said["request_id"])


def test_a_duplicate_stream_lives_while_it_waits(held: Held) -> None:
    first = held.ask()
    twin = held.ask()
    assert (twin.status, twin.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert twin.readline().startswith(b":")  # and the first is still under way
    assert at_work(held.server, "far") == (1, 0)
    held.go.set()
    told = first.read()
    assert told.endswith(b"data: [DONE]\n\n")
    assert twin.read().endswith(told)
    assert spoken_of(held.server, twin) == first.headers["x-request-id"]
    assert statuses(held.server) == {"OK": 1}


def test_a_duplicate_that_leaves_is_not_waited_for(held: Held) -> None:
    first = held.ask()
    twin = held.ask()
    twin.readline()
    twin.close()
    held.go.set()
    assert first.read().endswith(b"data: [DONE]\n\n")
    again = held.ask()
    assert again.headers["x-shoal-replayed"] == "true"
    assert again.read().endswith(b"data: [DONE]\n\n")
    assert statuses(held.server) == {"OK": 1}


def test_a_duplicate_takes_over_when_the_first_loses_its_client(held: Held) -> None:
    first = held.ask()
    twin = held.ask()
    twin.readline()
    first.close()
    eventually(lambda: len(held.upstream.seen) == 2)
    third = held.ask()
    third.readline()
    held.go.set()
    told = twin.read()
    assert told.endswith(b"data: [DONE]\n\n")
    assert b"Hel" in told
    assert twin.headers["x-request-id"] == f"{first.headers['x-request-id']}.{spoken_of(held.server, twin)}"
    assert told.endswith(third.read().lstrip(b"\n"))
    again = held.ask()
    assert again.headers["x-shoal-replayed"] == "true"
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.read().endswith(b"data: [DONE]\n\n")
    assert statuses(held.server) == {"OK": 1, "CANCELLED": 1}


def test_feedback_finds_whoever_took_over_also_for_others_that_waited(held: Held) -> None:
    first = held.ask()
    waiting = [held.ask(), held.ask()]
    for each in waiting:
        each.readline()  # their heads name the first, which will have no answer
    first.close()
    eventually(lambda: len(held.upstream.seen) == 2)
    held.go.set()
    assert all(each.read().endswith(b"data: [DONE]\n\n") for each in waiting)
    assert len({spoken_of(held.server, each) for each in waiting}) == 1
    assert statuses(held.server) == {"OK": 1, "CANCELLED": 1}


@pytest.mark.parametrize(("path", "more"), [(CHAT, {}), ("/v1/messages", {"max_tokens": 9})])
def test_a_duplicate_of_what_breaks_fails_by_itself_with_an_event(held: Held, path: str, more: dict[str, int]) -> None:
    first = held.ask(path, **more)
    twin = held.ask(path, **more)
    twin.readline()
    held.well = False
    held.go.set()
    for answer in (first, twin):
        last = answer.read().strip().rsplit(b"data: ", 1)[1]
        assert json.loads(last)["error"]["code"] == "upstream_error"
    assert sum(statuses(held.server).values()) == 2


@pytest.mark.parametrize("key", ["a b", "x" * 256, "é", " "])
def test_a_key_that_is_none(server: Server, key: str) -> None:
    status, body, _ = post(server, OK, key)
    error = json.loads(body)["error"]
    assert (status, error["param"], error["code"]) == (400, "Idempotency-Key", "invalid_value")


def test_a_body_that_is_wrong_is_wrong_with_a_key_too(server: Server) -> None:
    assert post(server, {"model": "poet"}, "k")[0] == 400
    assert post(server, OK, "k")[0] == 200
