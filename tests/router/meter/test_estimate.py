"""Tokens of an answer whose upstream counts none: all that a model wrote, whole or in events."""

from __future__ import annotations

from typing import Any

import pytest

from experts.wire import ChatId, Event
from router.meter.attempt import NO_USAGE
from router.meter.estimate import StreamedTokens, begins, characters, says

SAID = ChatId("far", "chatcmpl-1", 1)
LONG = "a sentence that is longer than any token of any vocabulary"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"content": "four"}, 4),
        ({"content": None}, 0),
        ({"content": None, "refusal": "I cannot"}, 8),
        ({"content": "yes", "reasoning_content": "because"}, 10),
        ({"content": "yes", "reasoning_content": "because", "reasoning": "because"}, 10),
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}] * 2}, 6),
        ({"content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}}, 9),
        ({"content": 4, "refusal": [], "tool_calls": "f", "function_call": None}, 0),
        ({"tool_calls": [None, {"function": None}, {"function": {"name": None}}]}, 0),
    ],
)
def test_all_that_was_written_counts(said: dict[str, Any], found: int) -> None:
    assert characters(said) == found


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"content": " "},
        {"role": "assistant", "content": "Yes"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"refusal": "I"},
        {"reasoning_content": "Hm"},
        {"reasoning": "Hm"},
        {"function_call": {"name": "f", "arguments": ""}},
        {"audio": {"id": "audio_1"}},
    ],
)
def test_an_answer_begins_with_what_says_something(delta: dict[str, Any]) -> None:
    assert says(SAID.chunk(delta)) and begins(SAID.chunk(delta))
    assert StreamedTokens().of([SAID.chunk(delta)]) == 1


@pytest.mark.parametrize(
    "delta", [{}, {"content": ""}, {"content": None, "tool_calls": []}, {"reasoning_content": "", "refusal": None}]
)
def test_who_speaks_and_why_it_ended_says_nothing(delta: dict[str, Any]) -> None:
    opening, ending = SAID.chunk({"role": "assistant", **delta}), SAID.chunk(delta, "stop")
    assert not (says(SAID.chunk(delta)) or says(opening) or says(ending) or says(SAID.usage(NO_USAGE)))
    assert not (begins(SAID.chunk(delta)) or begins(opening))
    assert begins(ending) and begins(SAID.usage(NO_USAGE)), "that there is nothing to say is an answer"


def test_an_event_is_a_token_and_one_that_says_more_is_as_many_as_its_characters_make() -> None:
    stream = StreamedTokens()
    assert stream.of([SAID.chunk({"content": "word "}) for _ in range(9)]) == 9
    assert stream.of([SAID.chunk({"content": LONG}), SAID.chunk({"content": "."}, "stop")]) == len(LONG) // 4 + 1


def test_a_call_in_one_event_is_as_many_tokens_as_in_a_whole_answer() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": LONG}}
    assert StreamedTokens().of([SAID.chunk({"role": "assistant", "tool_calls": [call]})]) == (1 + len(LONG)) // 4
    reasoned = SAID.chunk({"role": "assistant", "reasoning_content": LONG})
    assert StreamedTokens().of([reasoned, reasoned]) == 2 * (len(LONG) // 4)


def test_only_what_is_longer_than_the_others_is_read() -> None:
    stream = StreamedTokens()
    stream.of([SAID.chunk({"role": "assistant", "content": "The "})])
    (later,) = (SAID.chunk({"content": "word "}),)
    assert stream.of([later]) == 1
    assert later._chunk is None


@pytest.mark.parametrize(
    "raw", [b"no JSON" * 9, b'{"choices": 7}', b'{"choices": [null, {"delta": 1}]}', b"[[1, 2, 3]]"]
)
def test_an_event_that_says_nothing_known_is_one_token(raw: bytes) -> None:
    event = Event(b"data: " + raw + b" " * 60 + b"\n\n")
    assert says(event) and begins(event)
    assert StreamedTokens().of([event]) == 1
