"""The scripted expert does what its script says, to the letter, every time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertTimedOut,
    ExpertUnavailable,
    RegistryError,
)
from experts.scripted import END_CHARS, ScriptedExpert
from experts.spec import ScriptedSpec
from experts.wire import Call, Event, Usage

SCRIPT: list[dict[str, Any]] = [
    {"match": "(?i)^hello", "reply": "Hi there,  friend.\n"},
    {"match": "chunks", "chunks": ["a", "", "b c"], "logprobs": [-0.1, -2, 0]},
    {"match": "slow", "reply": "at last", "delay_s": 30},
    {"match": "down", "fail": "unavailable"},
    {"match": "busy", "fail": "overloaded"},
    {"match": "late", "fail": "timeout"},
    {"match": "broken", "fail": "failed"},
    {"match": "cut", "reply": "one two three", "fail": "cut"},
    {"match": "hello|again", "reply": "second"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> ScriptedSpec:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return ScriptedSpec(kind="scripted", id="demo", description="d", params_b=0, context=4096, script=path)


@pytest.fixture
def expert(tmp_path: Path) -> ScriptedExpert:
    return ScriptedExpert.load(write(tmp_path / "script.jsonl", SCRIPT))


def call(text: str, **body: Any) -> Call:
    before = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "busy"}]
    return Call({"messages": [*before, {"role": "user", "content": text}], **body}, "r-1")


async def events(expert: ScriptedExpert, asked: Call) -> list[Event]:
    return [event async for arrived in expert.stream(asked) for event in arrived]


def said(events: list[Event]) -> list[str]:
    deltas = [choice["delta"] for event in events for choice in event.chunk["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content") is not None and "role" not in delta]


async def test_the_first_match_on_the_last_user_message_wins(expert: ScriptedExpert) -> None:
    answer = await expert.complete(call("Hello you"))
    ChatCompletion.model_validate(answer.body, strict=True)
    assert answer.body["choices"][0]["message"]["content"] == "Hi there,  friend.\n"
    assert answer.body["id"] == "chatcmpl-r-1" and answer.body["model"] == "demo"
    assert answer.usage == Usage(input=4, output=3, source="tokenizer")
    again = await expert.complete(call("again"))
    assert again.body["choices"][0]["message"]["content"] == "second"


async def test_a_stream_says_the_same_word_by_word(expert: ScriptedExpert) -> None:
    stream = await events(expert, call("hello"))
    for event in stream:
        ChatCompletionChunk.model_validate(event.chunk, strict=True)
    assert said(stream) == ["Hi ", "there,  ", "friend.\n"]
    *_, finish, last = stream
    assert finish.chunk["choices"][0]["finish_reason"] == "stop" and last.chunk["choices"] == []
    assert last.usage == (await expert.complete(call("hello"))).usage


async def test_chunks_and_logprobs_are_as_written(expert: ScriptedExpert) -> None:
    assert said(await events(expert, call("chunks"))) == ["a", "", "b c"]
    stream = await events(expert, call("chunks", logprobs=True))
    told = [event.chunk["choices"][0]["logprobs"] for event in stream[1:-2]]
    assert [token["logprob"] for logprobs in told for token in logprobs["content"]] == [-0.1, -2, 0]
    whole = await expert.complete(call("chunks", logprobs=True))
    ChatCompletion.model_validate(whole.body, strict=True)
    tokens = whole.body["choices"][0]["logprobs"]["content"]
    assert [(token["token"], token["logprob"]) for token in tokens] == [("a", -0.1), ("", -2), ("b c", 0)]
    assert (await expert.complete(call("chunks"))).body["choices"][0]["logprobs"] is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("down", ExpertUnavailable),
        ("busy", ExpertOverloaded),
        ("late", ExpertTimedOut),
        ("broken", ExpertFailed),
        ("cut", ExpertFailed),
        ("nobody wrote this", ExpertFailed),
    ],
)
async def test_it_fails_as_told(expert: ScriptedExpert, text: str, kind: type[ExpertError]) -> None:
    with pytest.raises(kind) as whole:
        await expert.complete(call(text))
    got: list[Event] = []
    with pytest.raises(kind) as streamed:
        async for arrived in expert.stream(call(text)):
            got += arrived
    assert whole.type is streamed.type is kind
    assert said(got) == (["one "] if text == "cut" else [])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_delay_can_be_cancelled(expert: ScriptedExpert, stream: bool) -> None:
    waiting = events(expert, call("slow")) if stream else expert.complete(call("slow"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 0.02)  # type: ignore[arg-type]
    await expert.aclose()


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b|c$", r"(\w+\s*)+:$"])
async def test_no_text_keeps_a_pattern_busy(tmp_path: Path, pattern: str) -> None:
    """One that tries again and again is still at it after years."""
    expert = ScriptedExpert.load(write(tmp_path / "script.jsonl", [{"match": pattern, "reply": "x"}]))
    with pytest.raises(ExpertFailed, match="no row"):
        await expert.complete(call("a" * 200 + "!"))


async def test_of_a_long_message_both_ends_are_looked_at(tmp_path: Path) -> None:
    rows = [{"match": "^first", "reply": "1"}, {"match": "last$", "reply": "2"}, {"match": "MIDST", "reply": "3"}]
    expert = ScriptedExpert.load(write(tmp_path / "script.jsonl", rows))
    blank = " " * END_CHARS

    async def answer(text: str) -> str:
        return str((await expert.complete(call(text))).body["choices"][0]["message"]["content"])

    assert await answer(f"first{blank}{blank}{blank}") == "1"
    assert await answer(f"{blank}{blank}{blank}last") == "2"
    assert await answer(f"{blank}MIDST{blank[5:]}") == "3"
    with pytest.raises(ExpertFailed, match="no row"):
        await answer(f"{blank}MIDST{blank}")


async def test_no_messages_match_nothing_but_everything() -> None:
    empty = Call({"messages": []}, "r")
    with pytest.raises(ExpertFailed, match="no row"):
        await ScriptedExpert("demo", []).complete(empty)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"match": "(", "reply": "x"}, "match: unclosed group. "),
        (
            {"match": "(?!a)b", "reply": "x"},
            "match: look-around, including look-ahead and look-behind, is not supported. ",
        ),
        ({"match": r"(a)\1", "reply": "x"}, "match: backreferences are not supported. "),
        ({"match": r"\w{1000}{1000}", "reply": "x"}, "match: Compiled regex exceeds size limit of "),
        ({"match": "x"}, "neither a reply nor"),
        ({"match": "x", "reply": 7}, "reply: "),
        ({"match": "x", "chunks": "ab"}, "chunks: "),
        ({"match": "x", "reply": "y", "delay_s": -1}, "delay_s: "),
        ({"match": "x", "reply": "y", "logprobs": [1, 2]}, "1 numbers"),
        ({"match": "x", "fail": "explode"}, "fail: "),
        ({"match": "x", "reply": "y", "extra": 1}, "extra: "),
        ({"reply": "x"}, "match is missing"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], what: str) -> None:
    with pytest.raises(RegistryError) as refused:
        ScriptedExpert.load(write(tmp_path / "script.jsonl", [SCRIPT[0], row]))
    (problem,) = refused.value.problems
    assert "script.jsonl:2: " in problem and what in problem and "Remedy" in problem
