"""OpenAIExpert against a real server on loopback that misbehaves in every way servers do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertRefused,
    ExpertTimedOut,
    ExpertUnauthorised,
    ExpertUnavailable,
)
from experts.openai_http import OpenAIExpert
from experts.spec import Timeouts
from experts.wire import Call, Event, Usage
from tests.upstream import SSE, USAGE, Exchange, Upstream, chunk, completion, event, running, story

QUICK = Timeouts(connect_s=0.3, first_byte_s=0.3, idle_s=0.3, total_s=5)
TEXT = "Hello wörld 🐟"


@dataclass
class Lab:
    """A misbehaving upstream and a way to ask it."""

    upstream: Upstream

    def expert(self, model: str, timeouts: Timeouts = QUICK, **more: Any) -> OpenAIExpert:
        expert = OpenAIExpert("small", self.upstream.url, model, timeouts=timeouts, **more)
        self.opened.append(expert)
        return expert

    def __post_init__(self) -> None:
        self.opened: list[OpenAIExpert] = []

    def streams(self, *parts: bytes, end: bool = True, headers: dict[str, str] | None = None) -> OpenAIExpert:
        """An expert whose stream consists of `parts`, each in a packet of its own."""

        @self.upstream.behave("parts")
        async def behave(exchange: Exchange) -> None:
            if headers is not None:
                await exchange.send(b"".join(parts), headers=headers)
                return
            await exchange.stream(*parts, end=end, pause_s=0.001)
            if not end:
                exchange.writer.close()

        return self.expert("parts")

    def says(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> OpenAIExpert:
        """An expert that answers every request with `body`."""

        @self.upstream.behave("fixed")
        async def behave(exchange: Exchange) -> None:
            await exchange.send(body, status, headers or {"content-type": "application/json"})

        return self.expert("fixed")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running() as upstream:
        lab = Lab(upstream)
        yield lab
        for expert in lab.opened:
            await expert.aclose()


def call(**body: Any) -> Call:
    return Call({"model": "small", "messages": [{"role": "user", "content": "hi"}], **body}, "r-1")


async def events(expert: OpenAIExpert, **body: Any) -> list[Event]:
    return [event async for arrived in expert.stream(call(**body)) for event in arrived]


def text(events: list[Event], index: int = 0) -> str:
    choices = [choice for event in events for choice in event.chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices if choice["index"] == index)


def check_stream(stream: list[Event], usage: dict[str, Any] = USAGE) -> None:
    """What the protocol promises of every stream."""
    for one in stream:
        ChatCompletionChunk.model_validate(one.chunk, strict=True)
        assert one.raw.startswith(b"data: {") and one.raw.endswith(b"}\n\n") and one.raw.count(b"\n") == 2
    assert {event.chunk["model"] for event in stream} == {"small"}
    assert len({event.chunk["id"] for event in stream}) == 1
    *middle, last = stream
    assert all("usage" not in event.chunk and event.usage is None for event in middle)
    assert last.chunk["choices"] == [] and last.usage is not None
    assert {name: last.chunk["usage"][name] for name in usage} == usage
    assert any(choice["finish_reason"] for event in middle for choice in event.chunk["choices"])


# --- whole answers


async def test_a_whole_answer_names_the_expert_and_its_tokens(lab: Lab) -> None:
    expert = lab.expert("ok", key="k-123")
    answer = await expert.complete(call(stream=True, stream_options={"include_usage": True}, temperature=0.5))
    assert answer.body == completion("small") and answer.usage == Usage(12, 3, source="upstream")
    ChatCompletion.model_validate(answer.body, strict=True)
    seen = lab.upstream.seen[0]
    assert seen.path == "/v1/chat/completions" and seen.headers["authorization"] == "Bearer k-123"
    assert seen.body == {"model": "ok", "messages": call().body["messages"], "stream": False, "temperature": 0.5}


async def test_the_callers_body_is_left_alone(lab: Lab) -> None:
    asked = call(stream_options={"include_obfuscation": False})
    before = orjson.dumps(asked.body)
    await lab.expert("ok").complete(asked)
    assert [event async for event in lab.expert("ok").stream(asked)]
    assert orjson.dumps(asked.body) == before
    options = lab.upstream.seen[1].body["stream_options"]
    assert options == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize(
    "usage", [None, "absent", {}, {"prompt_tokens": "many"}, {"prompt_tokens": -4}, [1], {"completion_tokens": 3}]
)
async def test_an_answer_without_sound_usage_counts_nothing_and_says_so(lab: Lab, usage: Any) -> None:
    body = completion(usage=usage)
    if usage == "absent":
        del body["usage"]
    answer = await lab.says(orjson.dumps(body)).complete(call())
    assert answer.usage == Usage(source="none") and answer.body["usage"]["total_tokens"] == 0


async def test_zero_tokens_stay_zero_and_subsets_are_read(lab: Lab) -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert (await lab.says(orjson.dumps(completion(usage=zero))).complete(call())).usage == Usage(source="upstream")
    fine = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = await lab.says(orjson.dumps(completion(usage=fine))).complete(call())
    assert answer.usage == Usage(12, 3, 5, 2, "upstream")


BROKEN = {
    "a web page": (b"<html>Bad gateway</html>", {"content-type": "text/html"}),
    "a web page called JSON": (b"<html>", None),
    "empty": (b"", None),
    "an empty object": (b"{}", None),
    "cut JSON": (orjson.dumps(completion())[:-9], None),
    "no choices": (orjson.dumps(completion(choices=[])), None),
    "choices of the wrong type": (orjson.dumps(completion(choices={"0": {}})), None),
    "no message": (orjson.dumps(completion(choices=[{"index": 0, "finish_reason": "stop"}])), None),
    "an empty message": (orjson.dumps(completion(choices=[{"index": 0, "message": {}}])), None),
    "content of the wrong type": (orjson.dumps(completion(choices=[{"message": {"content": 7}}])), None),
    "another object": (orjson.dumps(completion(object="list")), None),
    "a list": (b"[]", None),
    "not UTF-8": (b'{"choices":[{"message":{"content":"\xff"}}]}', None),
    "an error in a 200": (b'{"error":{"message":"CUDA out of memory","type":"server_error"}}', None),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_is_no_completion_is_never_passed_on(lab: Lab, name: str) -> None:
    body, headers = BROKEN[name]
    expert = lab.says(body, headers=headers)
    with pytest.raises(ExpertFailed):
        await expert.complete(call())
    with pytest.raises(ExpertFailed):
        await events(expert)


# --- streams


async def test_a_stream_keeps_its_bytes_but_for_the_models_name(lab: Lab) -> None:
    stream = await events(lab.expert("ok"))
    check_stream(stream)
    assert text(stream) == "Hello wörld 🐟"
    sent = [part.replace(b'"model":"ok"', b'"model":"small"') for part in story()[:-1]]
    assert [event.raw for event in stream][1:-2] == sent[1:-2]
    assert [event.plain for event in stream] == [True, True, True, True, False, False]
    body = lab.upstream.seen[0].body
    assert body["stream"] is True and body["stream_options"] == {"include_usage": True} and body["model"] == "ok"


async def test_the_text_may_speak_of_models_usage_and_finish_reasons(lab: Lab) -> None:
    words = ('{"model":"parts"}', '"finish_reason":null,"prompt_tokens":1', ',"usage":null', "data: [DONE]\n\n", "\r")
    stream = await events(lab.streams(*story(words, model="parts")))
    check_stream(stream)
    assert text(stream) == "".join(words)


SPACED_CHUNK = (
    '{"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "parts", "choices": '
    '[{"index": 0, "delta": %s, "finish_reason": %s}], "usage": null}'
)
SPACED = [f"data: {part}\n\n".encode() for part in (
    SPACED_CHUNK % ('{"role": "assistant", "content": "Hello"}', "null"),
    SPACED_CHUNK % ('{"content": " wörld 🐟"}', "null"),
    SPACED_CHUNK % ("{}", '"stop"'),
    '{"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "parts", "choices": [], '
    '"usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}}',
    "[DONE]",
)]  # fmt: skip
LLAMA = [b"data: " + part for part in (
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],'
    b'"created":1,"id":"c","model":"parts","object":"chat.completion.chunk"}\n\n',
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"Hello"}}],'
    b'"created":1,"id":"c","model":"parts","object":"chat.completion.chunk"}\n\n',
    b'{"choices":[{"finish_reason":null,"index":0,"delta":{"content":" w\xc3\xb6rld \xf0\x9f\x90\x9f"},'
    b'"logprobs":{"content":[]}}],"created":1,"id":"c","model":"parts","object":"chat.completion.chunk"}\n\n',
    b'{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],'
    b'"created":1,"id":"c","model":"parts","object":"chat.completion.chunk"}\n\n',
    b'{"choices":[],"created":1,"id":"c","model":"parts","object":"chat.completion.chunk",'
    b'"usage":{"completion_tokens":3,"prompt_tokens":12,"total_tokens":15},"timings":{"predicted_n":3}}\n\n',
    b"[DONE]\n\n",
)]  # fmt: skip
RELABELLED = story(("Hello", " wörld 🐟"), model="parts")
DIALECTS = {
    "compact": RELABELLED,
    "spaced": SPACED,
    "llama.cpp": LLAMA,
    "usage null on every chunk": [part.replace(b'null}]}', b'null}],"usage":null}') for part in RELABELLED],
    "CRLF": [part.replace(b"\n", b"\r\n") for part in RELABELLED],
    "CR": [part.replace(b"\n", b"\r") for part in RELABELLED],
    "no space after data:": [part.replace(b"data: ", b"data:") for part in RELABELLED],
    "comments and other fields": [b": ping\n\nevent: x\nid: 7\nretry: 9\n" + part for part in RELABELLED],
    "byte-order mark": [b"\xef\xbb\xbf" + RELABELLED[0], *RELABELLED[1:]],
    "a chunk over two data lines": [part.replace(b',"choices"', b'\ndata: ,"choices"') for part in RELABELLED],
    "no model": [part.replace(b'"model":"parts",', b"") for part in RELABELLED],
    "another model's name": [part.replace(b'"parts"', b'"meta\\/llama"') for part in RELABELLED],
    "our own name": [part.replace(b'"parts"', b'"small"') for part in RELABELLED],
    "the name changes": [RELABELLED[0], *(part.replace(b'"parts"', b'"x"') for part in RELABELLED[1:])],
    "no [DONE]": RELABELLED[:-1],
    "no empty line at the end": [*RELABELLED[:-1], b"data: [DONE]"],
    "after [DONE] comes rubbish": [*RELABELLED, b"data: {nonsense\n\n"],
    "all in one packet": [b"".join(RELABELLED)],
    "an empty first chunk": [event({"choices": [], "prompt_filter_results": []}), *RELABELLED],
    "usage on the finish chunk": [
        *RELABELLED[:-3], event(chunk({}, "stop", "parts", usage=USAGE)), RELABELLED[-1],
    ],
    "usage twice": [
        *RELABELLED[:-2], event(chunk({}, model="parts", choices=[], usage={**USAGE, "prompt_tokens": 99})),
        *RELABELLED[-2:],
    ],
    "running usage on every chunk": [
        part.replace(b"null}]}", b'null}],"usage":{"prompt_tokens":12,"completion_tokens":1}}') for part in RELABELLED
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
async def test_every_dialect_comes_out_the_same(lab: Lab, name: str) -> None:
    stream = await events(lab.streams(*DIALECTS[name]))
    check_stream(stream)
    assert text(stream) == TEXT


@pytest.mark.parametrize("name", DIALECTS)
async def test_packets_may_tear_events_and_characters_apart(lab: Lab, name: str) -> None:
    whole = b"".join(DIALECTS[name])
    stream = await events(lab.streams(*(whole[at : at + 37] for at in range(0, len(whole), 37))))
    check_stream(stream)
    assert text(stream) == TEXT


async def test_two_chunks_on_two_lines_of_one_event_are_two(lab: Lab) -> None:
    first, second, *rest = RELABELLED
    stream = await events(lab.streams(first[:-1] + second, *rest))
    check_stream(stream)
    assert text(stream) == TEXT


async def test_usage_of_zero_stays_zero(lab: Lab) -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    stream = await events(
        lab.streams(*RELABELLED[:-2], event(chunk({}, model="parts", choices=[], usage=zero)), RELABELLED[-1])
    )
    check_stream(stream, zero)
    assert stream[-1].usage == Usage(source="upstream")


async def test_missing_usage_is_zero_and_said_to_be_uncounted(lab: Lab) -> None:
    stream = await events(lab.streams(*RELABELLED[:-2], RELABELLED[-1]))
    check_stream(stream, {"prompt_tokens": 0, "completion_tokens": 0})
    assert stream[-1].usage == Usage(source="none")


async def test_done_without_a_finish_reason_is_a_stop(lab: Lab) -> None:
    stream = await events(lab.streams(*RELABELLED[:-3], *RELABELLED[-2:]))
    check_stream(stream)
    assert text(stream) == TEXT and stream[-2].chunk["choices"][0]["finish_reason"] == "stop"


async def test_interleaved_choices_end_when_all_have_finished(lab: Lab) -> None:
    def part(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        return event(chunk(delta, model="parts", choices=[{"index": index, "delta": delta, "finish_reason": finish}]))

    parts = [part(0, {"content": "a"}), part(1, {"content": "b"}), part(0, {}, "stop"), part(1, {"content": "c"})]
    stream = await events(lab.streams(*parts, part(1, {}, "length")), n=2)
    assert (text(stream, 0), text(stream, 1)) == ("a", "bc")
    with pytest.raises(ExpertFailed, match="cut"):
        await events(lab.streams(*parts), n=2)


async def test_a_server_that_does_not_stream_is_turned_into_a_stream(lab: Lab) -> None:
    tool = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": TEXT, "refusal": None, "tool_calls": [tool]}
    body = completion("x", choices=[{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}])
    stream = await events(lab.says(orjson.dumps(body)))
    check_stream(stream)
    assert text(stream) == TEXT and stream[0].chunk["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **tool}]
    assert stream[1].chunk["choices"][0]["finish_reason"] == "tool_calls"


CUTS = {
    "after a middle chunk": RELABELLED[:3],
    "in the middle of an event": [*RELABELLED[:2], RELABELLED[2][:40]],
    "before any event": [],
    "[DONE] first": [RELABELLED[-1]],
    "only comments": [b": ping\n\n"],
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("end", [True, False], ids=["ended properly", "FIN"])
async def test_a_cut_stream_is_an_error(lab: Lab, name: str, end: bool) -> None:
    with pytest.raises(ExpertFailed):
        await events(lab.streams(*CUTS[name], end=end))


async def test_what_came_before_the_cut_is_handed_out(lab: Lab) -> None:
    @lab.upstream.behave("reset")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="reset")[:2], end=False, pause_s=0.02)
        exchange.reset()

    got: list[Event] = []
    with pytest.raises(ExpertFailed):
        async for arrived in lab.expert("reset").stream(call()):
            got += arrived
    assert text(got) == "Hel"


async def test_a_cut_whole_answer_is_an_error(lab: Lab) -> None:
    @lab.upstream.behave("cut")
    async def behave(exchange: Exchange) -> None:
        exchange.head(200, {"content-type": "application/json", "content-length": "1000"})
        await exchange.write(b'{"choices":[')
        exchange.writer.close()

    with pytest.raises(ExpertFailed):
        await lab.expert("cut").complete(call())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "boom", "type": "server_error"}, ExpertFailed),
        ({"message": "too long", "type": "invalid_request_error", "param": "messages"}, ExpertRefused),
        ("boom", ExpertFailed),
    ],
)
async def test_an_error_inside_a_stream_is_raised(lab: Lab, error: object, kind: type[ExpertError]) -> None:
    with pytest.raises(kind, match=r"boom|too long"):
        await events(lab.streams(*RELABELLED[:2], event({"error": error}), *RELABELLED[2:]))


@pytest.mark.parametrize("rubbish", [b"data: {nonsense\n\n", b"data: 7\n\n", b'data: {"choices":[{"text":"x"}]}\n\n'])
async def test_rubbish_inside_a_stream_is_an_error(lab: Lab, rubbish: bytes) -> None:
    with pytest.raises(ExpertFailed):
        await events(lab.streams(*RELABELLED[:2], rubbish, *RELABELLED[2:]))


async def test_an_endless_event_is_given_up(lab: Lab) -> None:
    @lab.upstream.behave("endless")
    async def behave(exchange: Exchange) -> None:
        exchange.head(200, {**SSE, "transfer-encoding": "chunked"})
        await exchange.part(b"data: ")
        while True:
            await exchange.part(b"x" * 65536)

    with pytest.raises(ExpertFailed, match="more than 10485760 bytes"):
        await events(lab.expert("endless"))


async def test_a_web_page_instead_of_a_stream_is_an_error(lab: Lab) -> None:
    with pytest.raises(ExpertFailed, match="web page"):
        await events(lab.streams(b"<html>", headers={"content-type": "text/html; charset=utf-8"}))


# --- statuses


def problem(message: str = "no", **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, **more}})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, problem(), ExpertRefused),
        (422, b'{"detail":[{"msg":"bad"}]}', ExpertRefused),
        (400, b"<html>", ExpertFailed),
        (401, problem(), ExpertUnauthorised),
        (402, problem(), ExpertUnauthorised),
        (403, b"", ExpertUnauthorised),
        (404, problem(code="model_not_found"), ExpertUnavailable),
        (408, b"", ExpertTimedOut),
        (429, problem(), ExpertOverloaded),
        (503, b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', ExpertOverloaded),
        (500, problem(), ExpertFailed),
        (502, b"<html>Bad gateway</html>", ExpertFailed),
        (302, b"", ExpertFailed),
        (204, b"", ExpertFailed),
    ],
)
async def test_a_status_becomes_the_right_error(lab: Lab, status: int, body: bytes, kind: type[ExpertError]) -> None:
    expert = lab.says(body, status, {"content-type": "application/json", "location": lab.upstream.url})
    with pytest.raises(kind) as whole:
        await expert.complete(call())
    with pytest.raises(kind) as streamed:
        await events(expert)
    assert whole.type is streamed.type is kind and whole.value.expert == "small"
    assert len(lab.upstream.seen) == 2, "neither retried nor redirected"


async def test_a_refusal_keeps_the_upstreams_words(lab: Lab) -> None:
    expert = lab.says(problem("too long", param="messages", code="context_length_exceeded"), 400)
    with pytest.raises(ExpertRefused) as refused:
        await expert.complete(call())
    error = refused.value
    assert (error.status, error.param, error.code, error.message) == (
        400, "messages", "context_length_exceeded", "too long",
    )  # fmt: skip


@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcdef123456", "Bearer abc.def.ghi", "AIzaSyA1234567890abcdef", "0123456789abcdef" * 4, "my-own-key"],
)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_no_secret_leaves_in_a_message(lab: Lab, secret: str, status: int) -> None:
    lab.says(problem(f"Incorrect API key provided: {secret} (and more) " + "x" * 9000), status)
    with pytest.raises(ExpertError) as failed:
        await lab.expert("fixed", key="my-own-key").complete(call())
    assert secret.removeprefix("Bearer ") not in str(failed.value) and "[redacted]" in str(failed.value)
    assert len(str(failed.value)) < 600


def http_date(delta: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + delta, usegmt=True)


@pytest.mark.parametrize(
    ("advice", "low", "high"),
    [
        ("1", 1, 1),
        ("0", 0, 0),
        ("2.5", 2.5, 2.5),
        ("300", 60, 60),
        (http_date(timedelta(seconds=40)), 20, 40),
        (http_date(timedelta(days=40)), 60, 60),
    ],
)
async def test_advice_to_wait_is_followed_within_reason(lab: Lab, advice: str, low: float, high: float) -> None:
    with pytest.raises(ExpertOverloaded) as overloaded:
        await lab.says(b"", 429, {"Retry-After": advice}).complete(call())
    assert overloaded.value.retry_after_s is not None and low <= overloaded.value.retry_after_s <= high


@pytest.mark.parametrize("advice", ["soon", "-5", "nan", "inf", "", "Wed, 99 Foo", http_date(-timedelta(days=1))])
async def test_senseless_advice_is_no_advice(lab: Lab, advice: str) -> None:
    with pytest.raises(ExpertOverloaded) as overloaded:
        await lab.says(b"", 503, {"Retry-After": advice}).complete(call())
    assert overloaded.value.retry_after_s is None


# --- connections and time


async def test_a_server_that_is_down_is_unavailable() -> None:
    with socket.socket() as bound:  # bound but not listening: the kernel refuses
        bound.bind(("127.0.0.1", 0))
        expert = OpenAIExpert("small", f"http://127.0.0.1:{bound.getsockname()[1]}/v1", "ok", timeouts=QUICK)
        with pytest.raises(ExpertUnavailable):
            await expert.complete(call())
        with pytest.raises(ExpertUnavailable):
            await events(expert)
        await expert.aclose()


async def test_a_host_that_does_not_exist_is_unavailable() -> None:
    expert = OpenAIExpert("small", "http://nowhere.invalid/v1", "ok", timeouts=Timeouts(connect_s=10))
    with pytest.raises(ExpertUnavailable):
        await expert.complete(call())
    await expert.aclose()


async def test_a_server_that_does_not_accept_times_out() -> None:
    with socket.socket() as listening, socket.socket() as filler, socket.socket() as more:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for occupant in (filler, more):  # the backlog is full: further connections hang
            occupant.setblocking(False)
            occupant.connect_ex(listening.getsockname())
        expert = OpenAIExpert("small", f"http://127.0.0.1:{listening.getsockname()[1]}/v1", "ok", timeouts=QUICK)
        with pytest.raises(ExpertTimedOut, match="connect_s"):
            await expert.complete(call())
        await expert.aclose()


async def test_a_black_hole_times_out_before_the_first_byte(lab: Lab) -> None:
    left = asyncio.Event()

    @lab.upstream.behave("hang")
    async def behave(exchange: Exchange) -> None:
        await exchange.gone()
        left.set()

    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await lab.expert("hang").complete(call())
    await asyncio.wait_for(left.wait(), 5)
    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await events(lab.expert("hang"))


async def test_slow_headers_count_as_no_first_byte(lab: Lab) -> None:
    @lab.upstream.behave("slow headers")
    async def behave(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type: ")
        await exchange.gone()

    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await lab.expert("slow headers").complete(call())


async def test_silence_in_the_middle_is_an_idle_timeout(lab: Lab) -> None:
    @lab.upstream.behave("silent")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="silent")[:2], end=False)
        await exchange.gone()

    got: list[Event] = []
    with pytest.raises(ExpertTimedOut, match="idle_s"):
        async for arrived in lab.expert("silent").stream(call()):
            got += arrived
    assert text(got) == "Hel"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_drip_is_stopped_by_the_total(lab: Lab, stream: bool) -> None:
    left = asyncio.Event()

    @lab.upstream.behave("drip")
    async def behave(exchange: Exchange) -> None:
        kind = SSE if stream else {"content-type": "application/json"}
        exchange.head(200, {**kind, "transfer-encoding": "chunked"})
        try:
            while True:
                await exchange.part(b" ")
                await asyncio.sleep(0.02)
        finally:
            left.set()

    expert = lab.expert("drip", Timeouts(idle_s=5, total_s=0.3))
    with pytest.raises(ExpertTimedOut, match="total_s"):
        await (events(expert) if stream else expert.complete(call()))
    await asyncio.wait_for(left.wait(), 5)


async def test_a_slow_reader_is_not_a_silent_upstream(lab: Lab) -> None:
    @lab.upstream.behave("steady")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="steady"), pause_s=0.05)

    stream: list[Event] = []
    async for arrived in lab.expert("steady", Timeouts(idle_s=0.1)).stream(call()):
        await asyncio.sleep(0.15)
        stream += arrived
    check_stream(stream)


async def test_connections_are_used_again(lab: Lab) -> None:
    expert = lab.expert("ok")
    for _ in range(3):
        await expert.complete(call())
        check_stream(await events(expert))
    assert lab.upstream.connections == 1


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_stale_connection_is_replaced_unnoticed(lab: Lab, reset: bool) -> None:
    expert = lab.expert("once")

    @lab.upstream.behave("once")
    async def behave(exchange: Exchange) -> None:
        if len(lab.upstream.seen) != 2:
            await exchange.send(orjson.dumps(completion()))
        elif reset:
            exchange.reset()
        else:
            exchange.writer.close()

    await expert.complete(call())
    assert (await expert.complete(call())).usage.input == 12
    first, broken, again = lab.upstream.seen
    assert first.connection == broken.connection != again.connection


async def test_a_new_connection_that_breaks_is_no_stale_one(lab: Lab) -> None:
    @lab.upstream.behave("hang up")
    async def behave(exchange: Exchange) -> None:
        exchange.reset()

    expert = lab.expert("hang up")
    with pytest.raises(ExpertFailed):
        await expert.complete(call())
    assert len(lab.upstream.seen) == 1, "the request may be what broke it"


async def test_rubbish_instead_of_http_is_a_failure(lab: Lab) -> None:
    @lab.upstream.behave("rubbish")
    async def behave(exchange: Exchange) -> None:
        await exchange.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        exchange.writer.close()

    with pytest.raises(ExpertFailed):
        await lab.expert("rubbish").complete(call())


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_closes_the_upstream_at_once(lab: Lab, stream: bool) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    @lab.upstream.behave("long")
    async def behave(exchange: Exchange) -> None:
        if stream:
            await exchange.stream(*story(model="long")[:2], end=False)
        begun.set()
        await exchange.gone()
        left.set()

    expert = lab.expert("long", Timeouts())
    task = asyncio.create_task(events(expert) if stream else expert.complete(call()))  # type: ignore[arg-type]
    await begun.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(left.wait(), 5)


async def test_leaving_a_stream_closes_the_upstream_at_once(lab: Lab) -> None:
    left = asyncio.Event()

    @lab.upstream.behave("long")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="long")[:2], end=False)
        await exchange.gone()
        left.set()

    stream = lab.expert("long", Timeouts()).stream(call())
    async for _ in stream:
        break
    await stream.aclose()
    await asyncio.wait_for(left.wait(), 5)


async def test_many_at_once_share_a_bounded_pool(lab: Lab) -> None:
    expert = lab.expert("ok", Timeouts(), max_concurrency=4)
    answers = await asyncio.gather(*(expert.complete(call()) for _ in range(40)))
    assert len(answers) == 40 and lab.upstream.connections <= 4


async def test_a_unix_socket_is_reached_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "child.sock"
    async with running(str(path)) as upstream:
        expert = OpenAIExpert("small", upstream.url, "ok", timeouts=QUICK, unix_socket=path)
        assert (await expert.complete(call())).body["model"] == "small"
        check_stream(await events(expert))
        await expert.aclose()
    path.unlink(missing_ok=True)
    gone = OpenAIExpert("small", upstream.url, "ok", timeouts=QUICK, unix_socket=path)
    with pytest.raises(ExpertUnavailable):
        await gone.complete(call())
    await gone.aclose()


async def test_a_closed_expert_says_so(lab: Lab) -> None:
    expert = lab.expert("ok")
    await expert.complete(call())
    await expert.aclose()
    await expert.aclose()
    with pytest.raises(ExpertUnavailable):
        await expert.complete(call())


async def test_the_environment_sends_no_request_elsewhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await lab.expert("ok").complete(call())).usage.input == 12
