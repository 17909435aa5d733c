"""Every way an upstream goes wrong, seen by a client: a right answer from the fallback, or one well-formed error."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from router.meter.record import Status
from router.meter.ulid import ulid_bytes
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.upstream import JSON, Exchange, Upstream, chunk, completion, event, story

POEM = [{"role": "user", "content": "write a poem about the sea and the wind"}]
CHAT = "/v1/chat/completions"
SECRET = "sk-upstream-0123456789abcdef"

EXPERT = """
  - id: {id}
    kind: openai
    description: Somewhere else
    url: {url}
    model: {id}
    key_env: FAR_KEY
    examples: poems.jsonl
    params_b: 0.01
    context: 4096
    capabilities: [stream, n, logprobs]
    timeouts: {{connect_s: 1, first_byte_s: 1.5, idle_s: 1.5, total_s: 5}}
"""


async def refused(exchange: Exchange, status: int, body: bytes = b"", **headers: str) -> None:
    await exchange.send(body, status, {"content-type": "application/json", **headers})


def said(message: str, **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "server_error", "param": None, "code": None, **more}})


async def answer_500(e: Exchange) -> None:
    await refused(e, 500, said(f"broken, and the key is {SECRET}"))


async def answer_502_page(e: Exchange) -> None:
    await e.send(b"<html>Bad Gateway</html>", 502, {"content-type": "text/html"})


async def answer_200_page(e: Exchange) -> None:
    await e.send(b"<html>Welcome</html>", 200, {"content-type": "text/html"})


async def answer_empty_object(e: Exchange) -> None:
    await e.send(b"{}")


async def answer_no_choices(e: Exchange) -> None:
    await e.send(orjson.dumps(completion() | {"choices": []}))


async def answer_wrong_types(e: Exchange) -> None:
    await e.send(orjson.dumps(completion() | {"choices": "none"}))


async def answer_half_json(e: Exchange) -> None:
    await e.send(orjson.dumps(completion())[:-20])


def answer_refusal(status: int) -> Callable[[Exchange], Any]:
    async def behave(exchange: Exchange) -> None:
        await refused(exchange, status, said("no", type="invalid_request_error", code=f"because_{status}"))

    return behave


async def answer_429(e: Exchange) -> None:
    await refused(e, 429, said("slow down"), **{"retry-after": "300"})


async def answer_404(e: Exchange) -> None:
    await refused(e, 404, said(f"no model for {SECRET}", code="model_not_found"))


async def answer_401(e: Exchange) -> None:
    await refused(e, 401, said(f"Incorrect API key provided: {SECRET}"))


async def answer_black_hole(e: Exchange) -> None:
    await e.gone()


async def answer_reset(e: Exchange) -> None:
    e.reset()


async def answer_cut(e: Exchange) -> None:
    e.head(200, {**JSON, "content-length": "1000"})
    await e.write(b'{"id":')
    e.writer.close()


FAULTS: dict[str, tuple[Callable[[Exchange], Any], int, str]] = {
    "status-500": (answer_500, 502, "upstream_error"),
    "page-502": (answer_502_page, 502, "upstream_error"),
    "page-200": (answer_200_page, 502, "upstream_error"),
    "empty-object": (answer_empty_object, 502, "upstream_error"),
    "no-choices": (answer_no_choices, 502, "upstream_error"),
    "wrong-types": (answer_wrong_types, 502, "upstream_error"),
    "half-json": (answer_half_json, 502, "upstream_error"),
    "status-429": (answer_429, 503, "overloaded"),
    "status-404": (answer_404, 503, "upstream_unavailable"),
    "status-401": (answer_401, 502, "upstream_auth"),
    "black-hole": (answer_black_hole, 504, "upstream_timeout"),
    "reset": (answer_reset, 502, "upstream_error"),
    "cut": (answer_cut, 502, "upstream_error"),
}
"""What an upstream does before it has said anything, and what a client is told who asked for nobody else."""


def streams(*parts: bytes, pause_s: float = 0.002) -> Callable[[Exchange], Any]:
    """An upstream that sends these parts of a stream."""

    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*parts, pause_s=pause_s)

    return behave


HEARD = threading.Event()
"""The client has the beginning, so that what breaks the stream is not read together with it."""


async def ends(exchange: Exchange) -> None:
    """The body ends as it should."""
    await exchange.write(b"0\r\n\r\n")


async def closes(exchange: Exchange) -> None:
    """The connection is closed in the middle of the body."""
    exchange.writer.close()


async def resets(exchange: Exchange) -> None:
    """The connection is reset."""
    exchange.reset()


async def stalls(exchange: Exchange) -> None:
    """Nothing more comes."""
    await exchange.gone()


def breaks(*parts: bytes, then: Callable[[Exchange], Any] = ends) -> Callable[[Exchange], Any]:
    """An upstream that sends the beginning of a stream, and once the client has heard it these parts."""

    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story()[:3], end=False)
        await asyncio.to_thread(HEARD.wait, 10)
        for part in parts:
            await exchange.part(part)
        await then(exchange)

    return behave


BROKEN: dict[str, Callable[[Exchange], Any]] = {
    "fin": breaks(then=closes),
    "rst": breaks(then=resets),
    "no-finish": breaks(),
    "no-done": breaks(*story()[3:-1]),
    "stall": breaks(then=stalls),
    "garbage": breaks(b"data: {nonsense\n\n"),
    "no-chunk": breaks(event({"hello": 1, "choices": [{"x": 1}]})),
    "error-object": breaks(event({"error": {"message": f"out of memory {SECRET}", "type": "server_error"}})),
    "huge-event": breaks(*[b"data: " + b"x" * 1_000_000] * 11),
}
"""What an upstream does in the middle of a stream."""

REFUSALS = {409: 400, 413: 413, 418: 400, 422: 400}
"""What an upstream says of a request, and what its client is told."""

LONG = "".join(f"wörd{number}🐟 " for number in range(100))
WELL: dict[str, Callable[[Exchange], Any]] = {
    "crlf": streams(*[part.replace(b"\n", b"\r\n") for part in story()]),
    "byte-by-byte": streams(*[bytes([byte]) for part in story() for byte in part], pause_s=0),
    "comments": streams(b": hello\n\n", *[b": x\nevent: y\nid: 3\n" + part for part in story()], b": bye\n\n"),
    "no-space": streams(*[part.replace(b"data: ", b"data:") for part in story()]),
    "no-usage": streams(*story()[:-2], b"data: [DONE]\n\n"),
    "usage-twice": streams(*story()[:-1], story()[-2], story()[-1]),
    "usage-zero": streams(
        *story()[:-2],
        event({**chunk({}), "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}}),
        b"data: [DONE]\n\n",
    ),
    "whole-json": lambda e: e.send(orjson.dumps(completion(text="Hello wörld 🐟"))),
}
"""Odd, but an answer."""


@pytest.fixture(scope="module")
def far() -> Iterator[Upstream]:
    with distant_upstream() as upstream:
        behaviours = {name: fault[0] for name, fault in FAULTS.items()} | BROKEN | WELL
        behaviours |= {f"refusal-{status}": answer_refusal(status) for status in REFUSALS}
        upstream.behaviours.update({name.replace("_", "-"): behave for name, behave in behaviours.items()})
        yield upstream


@pytest.fixture(scope="module")
def nobody() -> Iterator[str]:
    """An address where nobody listens, nor can while this holds its port."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"


@pytest.fixture(scope="module")
def server(
    far: Upstream, nobody: str, start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> Server:
    path = write_registry(tmp_path_factory.mktemp("registry"))
    experts = [EXPERT.format(id=name, url=far.url) for name in far.behaviours]
    experts.append(EXPERT.format(id="down", url=nobody))
    path.write_text(path.read_text() + "".join(experts).replace("    examples: poems.jsonl\n", ""))
    return start(path, FAR_KEY=SECRET)


def entry(server: Server, request_id: str) -> tuple[str, int]:
    """How a request ended in the ledger, and how many attempts it took. Fails unless it is there once."""
    key = ulid_bytes(request_id)
    ((status,),) = server.query("SELECT status FROM requests WHERE request_id = ?", key)
    ((attempts,),) = server.query("SELECT count(*) FROM attempts WHERE request_id = ?", key)
    return Status(status).name, attempts


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_is_told_with_a_status_of_ours(server: Server, status: int, stream: bool) -> None:
    body = json.dumps({"model": f"refusal-{status}", "messages": POEM, "stream": stream}).encode()
    got, answer, _ = server.send("POST", CHAT, body, {"content-type": "application/json"})
    error = json.loads(answer)["error"]
    assert (got, error["type"], error["code"]) == (REFUSALS[status], "invalid_request_error", f"because_{status}")


EARLY = [(name, stream) for name in (*FAULTS, "down") for stream in (False, True) if name != "black-hole"]


@pytest.mark.parametrize(("name", "stream"), EARLY)
def test_a_fault_before_the_first_byte_is_one_clear_status(server: Server, name: str, stream: bool) -> None:
    _, status, code = FAULTS.get(name, (None, 503, "upstream_unavailable"))
    body = json.dumps({"model": name, "messages": POEM, "stream": stream}).encode()
    got, answer, headers = server.send("POST", CHAT, body, {"content-type": "application/json"})
    error = json.loads(answer)["error"]
    assert (got, error["type"], error["code"]) == (status, "server_error", code)
    assert set(error) == {"message", "type", "param", "code"}
    assert SECRET not in answer.decode()
    what, _, remedy = error["message"].partition(". ")
    assert name in what and remedy
    assert got != 503 or 1 <= int(headers["retry-after"]) <= 60
    assert entry(server, headers["x-request-id"]) == ("ERROR", 1)
    assert server.get("/readyz")[0] == 200


def test_a_whole_answer_of_a_server_that_lives_ends_with_its_total(server: Server) -> None:
    status, body, headers = server.post(CHAT, {"model": "black-hole", "messages": POEM})
    assert (status, body["error"]["code"]) == (504, "upstream_timeout")
    assert entry(server, headers["x-request-id"]) == ("ERROR", 1)


def test_a_black_hole_in_a_stream_ends_with_its_first_byte(server: Server) -> None:
    body = json.dumps({"model": "black-hole", "messages": POEM, "stream": True}).encode()
    _, answer, headers = server.send("POST", CHAT, body, {"content-type": "application/json"})
    comment, error = answer.strip().split(b"\n\n")
    assert comment.startswith(b":")
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "upstream_timeout"
    assert entry(server, headers["x-request-id"]) == ("ERROR", 1)


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_ends_in_an_event_the_client_raises_on(server: Server, name: str) -> None:
    HEARD.clear()
    client = server.client()
    raw = client.chat.completions.with_raw_response.create(model=name, messages=POEM, stream=True)
    heard = ""
    with pytest.raises(openai.APIError) as caught:
        for part in raw.parse():
            heard += part.choices[0].delta.content or ""
            if heard:
                HEARD.set()
    assert heard.startswith("Hel")
    assert SECRET not in str(caught.value)
    assert caught.value.code in ("upstream_error", "upstream_timeout")
    assert entry(server, raw.headers["x-request-id"]) == ("PARTIAL", 1)
    client.close()


@pytest.mark.parametrize("name", WELL)
def test_an_odd_stream_is_an_answer_all_the_same(server: Server, name: str) -> None:
    client = server.client()
    chunks = list(
        client.chat.completions.create(model=name, messages=POEM, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello wörld 🐟"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert usage is not None
    uncounted = name in ("usage-zero", "no-usage")
    assert usage.prompt_tokens == (len(POEM[0]["content"]) // 4 if uncounted else 12)
    source = chunks[-1].model_extra["shoal"]["token_source"]
    assert source == ("estimate" if uncounted else "upstream")
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    client.close()


def far_poet(folder: Path, url: str) -> Path:
    """A registry whose expert for poems is far away."""
    path = write_registry(folder)
    text = path.read_text()
    poet = text[text.index("  - id: poet") : text.index("  - id: cook")]
    path.write_text(text.replace(poet, EXPERT.format(id="far", url=url)[1:]).replace("gpt-small: poet, ", ""))
    return path


@pytest.fixture(scope="module")
def routed(far: Upstream, start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server whose expert for poems is far away."""
    return start(far_poet(tmp_path_factory.mktemp("registry"), far.url), FAR_KEY=SECRET)


@pytest.mark.parametrize("name", FAULTS)
def test_a_routed_request_gets_the_fallback_before_the_first_byte(far: Upstream, routed: Server, name: str) -> None:
    client = routed.client()
    far.behaviours.pop("far", None)
    assert client.chat.completions.create(model="auto", messages=POEM).model == "far"
    far.behaviours["far"] = FAULTS[name][0]
    for stream in (False, True):
        answer = client.chat.completions.create(model="auto", messages=POEM, stream=stream)
        last = list(answer)[-1] if stream else answer
        assert last.model == "big"
        told = last.model_extra["shoal"]
        assert (told["escalated"]["from"], told["escalated"]["to"]) == ("far", "big")
        assert entry(routed, told["request_id"]) == ("OK", 2)
    client.close()


def test_counting_where_the_server_cannot_closes_nobody(far: Upstream, routed: Server) -> None:
    """OpenAI itself has no such path: an estimate is told, and the expert answers as before."""

    async def no_such_path(exchange: Exchange) -> None:
        if exchange.path == CHAT:
            await exchange.send(orjson.dumps(completion()))
        else:
            await refused(exchange, 404, said(f"Invalid URL (POST {exchange.path})"))

    far.behaviours["far"] = no_such_path
    asked = {"model": "far", "messages": POEM}
    for _ in range(6):  # a breaker opens after fewer
        status, counted, _ = routed.post("/v1/messages/count_tokens", asked)
        assert (status, counted["shoal"]) == (200, {"expert": "far", "source": "estimate"})
        assert counted["input_tokens"] > 0
    assert routed.post(CHAT, asked)[0] == 200


def test_of_a_model_that_an_upstream_does_not_have_both_sides_are_told_what_to_do(server: Server) -> None:
    status, answer, _ = server.post(CHAT, {"model": "status-404", "messages": POEM})
    assert status == 503 and "knows no such model" in answer["error"]["message"]
    assert "status-404: the upstream answered 404; correct `model` or `url` of the expert" in server.log()


def test_no_secret_of_an_upstream_is_logged_or_kept(server: Server) -> None:
    server.post(CHAT, {"model": "status-401", "messages": POEM})
    assert SECRET not in server.log()
    kept = b"".join(path.read_bytes() for path in (server.folder / "data").glob("ledger.sqlite*") if path.is_file())
    assert SECRET.encode() not in kept


def test_a_breaker_spares_an_upstream_that_is_broken(far: Upstream, routed: Server) -> None:
    far.behaviours.pop("far", None)
    assert routed.post(CHAT, {"model": "far", "messages": POEM})[0] == 200
    far.behaviours["far"] = FAULTS["status-500"][0]
    seen = len(far.seen)
    answers = [routed.post(CHAT, {"model": "auto", "messages": POEM})[1]["model"] for _ in range(12)]
    assert set(answers) == {"big"}
    assert len(far.seen) - seen == 5  # then it is not asked any more
    assert routed.post(CHAT, {"model": "far", "messages": POEM})[0] == 503


def test_an_upstream_that_comes_and_goes_is_asked_hardly_more_often_than_clients_ask(
    far: Upstream, start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(far_poet(tmp_path, far.url), FAR_KEY=SECRET)
    seen, statuses = len(far.seen), []
    for turn in range(10):
        far.behaviours.pop("far", None)
        if turn % 2:
            far.behaviours["far"] = FAULTS["status-500"][0]
        statuses += [server.post(CHAT, {"model": "auto", "messages": POEM})[0] for _ in range(10)]
    assert set(statuses) == {200}
    assert 10 <= len(far.seen) - seen <= 1.2 * len(statuses)
