"""OpenAIExpert makes one kind of stream of every dialect that servers speak, and no stream of a broken one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertRefused,
)
from experts.wire import Event, Usage
from tests.experts.lab import TEXT, Lab, call, check_stream, events, open_lab, text
from tests.upstream import SSE, USAGE, Exchange, chunk, completion, event, story


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as lab:
        yield lab


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
    "no empty line at the end": [*RELABELLED[:-1], b"data: [DONE]"],
    "after [DONE] comes rubbish": [*RELABELLED, b"data: {nonsense\n\n"],
    "all in one packet": [b"".join(RELABELLED)],
    "an empty first chunk": [event({"choices": [], "prompt_filter_results": []}), *RELABELLED],
    "a finish reason at the end alone": [part.replace(b',"finish_reason":null', b"") for part in RELABELLED],
    "empty finish reasons": [part.replace(b'"finish_reason":null', b'"finish_reason":""') for part in RELABELLED],
    "usage on the finish chunk": [
        *RELABELLED[:-3], event(chunk({}, "stop", "parts", usage=USAGE)), RELABELLED[-1],
    ],
    "usage twice": [
        *RELABELLED[:-2], event(chunk({}, model="parts", choices=[], usage={**USAGE, "prompt_tokens": 99})),
        *RELABELLED[-2:],
    ],
    "empty usage on every chunk": [part.replace(b'null}]}', b'null}],"usage":{}}') for part in RELABELLED],
    "running usage on every chunk": [
        part.replace(b"null}]}", b'null}],"usage":{"prompt_tokens":12,"completion_tokens":1}}') for part in RELABELLED
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
async def test_every_dialect_comes_out_the_same(lab: Lab, name: str) -> None:
    stream = await events(lab.streams(*DIALECTS[name]))
    check_stream(stream)
    assert text(stream) == TEXT
    words = [each for each in stream if text([each])]
    assert words and all(each.plain for each in words), "one that is not sure to be a middle one waits for the end"


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


@pytest.mark.parametrize("usage", [b"null", b'"n/a"', b'{"total_tokens":5}', b'{"total_tokens": 5, "x": {}}'])
@pytest.mark.parametrize("key", [b'"usage":', b'"usage" : '])
async def test_usage_in_the_middle_of_a_stream_is_not_passed_on(lab: Lab, key: bytes, usage: bytes) -> None:
    odd = RELABELLED[1].replace(b"null}]}", b"null}]," + key + usage + b"}")
    assert odd != RELABELLED[1]
    stream = await events(lab.streams(RELABELLED[0], odd, *RELABELLED[2:]))
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
    stream = await events(lab.streams(*parts, part(1, {}, "length"), RELABELLED[-1]), n=2)
    assert (text(stream, 0), text(stream, 1)) == ("a", "bc")
    with pytest.raises(ExpertFailed, match="DONE"):
        await events(lab.streams(*parts), n=2)


async def test_a_server_that_does_not_stream_is_turned_into_a_stream(lab: Lab) -> None:
    tool = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": TEXT, "refusal": None, "tool_calls": [tool]}
    body = completion("x", choices=[{"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls"}])
    stream = await events(lab.says(orjson.dumps(body)))
    check_stream(stream)
    assert text(stream) == TEXT and stream[0].chunk["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **tool}]
    assert stream[1].chunk["choices"][0]["finish_reason"] == "tool_calls"


async def test_calls_that_are_not_numbered_are_numbered(lab: Lab) -> None:
    """As Google's servers stream them: without the `index` that clients put the parts of a call together by."""

    def part(*calls: dict[str, Any]) -> bytes:
        return event(
            {"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": calls}}], "model": "gemini"}
        )

    def call_of(identity: str, name: str, arguments: str) -> dict[str, Any]:
        return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}

    more = {"function": {"arguments": "}"}}
    parts = [part(call_of("a", "f", "{}")), part(call_of("b", "f", "{"), more), part(more), part(call_of("c", "g", ""))]
    ending = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "model": "gemini"})
    stream = await events(lab.streams(*parts, ending, RELABELLED[-1]))
    told = [choice["delta"].get("tool_calls", []) for each in stream for choice in each.chunk["choices"]]
    assert [[call["index"] for call in calls] for calls in told] == [[0], [1, 1], [1], [2], []]


CUTS = {
    "after a middle chunk": RELABELLED[:3],
    "in the middle of an event": [*RELABELLED[:2], RELABELLED[2][:40]],
    "before any event": [],
    "[DONE] first": [RELABELLED[-1]],
    "only comments": [b": ping\n\n"],
    "no [DONE]": RELABELLED[:-1],
    "no [DONE] and no usage": RELABELLED[:-2],
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


@pytest.mark.parametrize("at", [1, 2])
async def test_bytes_that_are_no_text_are_not_passed_on(lab: Lab, at: int) -> None:
    """Official clients break off on them, with an error of their own."""
    odd = RELABELLED[at].replace(b'"content":"', b'"content":"\xff')
    with pytest.raises(ExpertFailed, match="not JSON"):
        await events(lab.streams(*RELABELLED[:at], odd, *RELABELLED[at + 1 :]))


@pytest.mark.parametrize("rubbish", [b"data: {nonsense\n\n", b"data: 7\n\n", b'data: {"choices":[{"text":"x"}]}\n\n'])
async def test_rubbish_inside_a_stream_is_an_error(lab: Lab, rubbish: bytes) -> None:
    with pytest.raises(ExpertFailed):
        await events(lab.streams(*RELABELLED[:2], rubbish, *RELABELLED[2:]))


@pytest.mark.parametrize("parts", [RELABELLED, SPACED], ids=["compact", "spaced"])
@pytest.mark.parametrize("at", [0, 1])
async def test_arguments_that_are_no_text_are_an_error(lab: Lab, parts: list[bytes], at: int) -> None:
    called = b'"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments" : %b}}],"content":'
    for arguments in (b'"{}"', b'{"city":"Paris"}'):
        odd = parts[at].replace(b'"content":', called % arguments)
        stream = lab.streams(*parts[:at], odd, *parts[at + 1 :])
        if arguments == b'"{}"':
            check_stream(await events(stream))
        else:
            with pytest.raises(ExpertFailed, match=r"no chat\.completion\.chunk"):
                await events(stream)


@pytest.mark.parametrize("at", [0, 2])
async def test_more_choices_than_can_be_asked_for_are_an_error(lab: Lab, at: int) -> None:
    """A hundred thousand in one event kept the event loop for a second and more."""
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}
    many, most = ({**chunk({}), "choices": [choice] * number} for number in (129, 128))
    with pytest.raises(ExpertFailed, match="129 choices"):
        await events(lab.streams(*RELABELLED[:at], event(many), *RELABELLED[at:]))
    await events(lab.streams(*RELABELLED[:at], event(most), *RELABELLED[at:]))


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


THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
PARTS: dict[str, tuple[list[Any], str | None]] = {
    "words": ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "ab"),
    "words after a thought": ([THOUGHT, {"type": "text", "text": "a"}], "a"),
    "a thought": ([THOUGHT], ""),
    "no parts": ([1], None),
    "a part without its text": ([{"type": "text"}], None),
}


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("dump", [orjson.dumps, lambda said: json.dumps(said).encode()], ids=["compact", "spaced"])
async def test_a_content_in_parts_is_one_text_whole_and_streamed(lab: Lab, name: str, dump: Any) -> None:
    """It passed in a stream, where clients expect a text, and was an error in a whole answer."""
    content, wanted = PARTS[name]
    said = {"role": "assistant", "content": content}
    whole = completion("x", choices=[{"index": 0, "message": said, "finish_reason": "stop"}])
    middle = [chunk({"content": content}, model="parts", choices=[{"index": 0, "delta": said, "finish_reason": None}])]
    deltas = [chunk({"role": "assistant", "content": "x"}, model="parts"), *middle, chunk({}, "stop", model="parts")]
    logprobs = [{"token": "x", "logprob": -1, "top_logprobs": []}]
    for first in ({}, {"logprobs": {"content": logprobs}}):
        deltas[0]["choices"][0] |= first
        streamed = lab.streams(*(b"data: " + dump(each) + b"\n\n" for each in deltas), b"data: [DONE]\n\n")
        if wanted is None:
            with pytest.raises(ExpertFailed, match=r"no chat\.completion\.chunk"):
                await events(streamed)
        else:
            assert text(await events(streamed)) == f"x{wanted}"
    if wanted is None:
        with pytest.raises(ExpertFailed, match=r"no chat\.completion"):
            await lab.says(dump(whole)).complete(call())
    else:
        assert (await lab.says(dump(whole)).complete(call())).text == wanted
