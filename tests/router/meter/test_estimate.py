"""Tokens of an answer whose upstream counts none: all that a model wrote, whole or in events."""

from __future__ import annotations

from typing import Any

import pytest

from experts.wire import ChatId, Event
from router.meter.estimate import StreamedTokens, characters

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


@pytest.mark.parametrize("content", [{"content": ""}, {"content": None}, {}])
def test_an_event_that_only_opens_a_stream_is_no_token(content: dict[str, Any]) -> None:
    stream = StreamedTokens()
    assert stream.of([SAID.chunk({"role": "assistant", **content})]) == 0, "who breaks off here was told nothing"
    assert stream.of([SAID.chunk({"role": "assistant", "content": "word "})]) == 1
    assert stream.of([SAID.chunk({"content": "a"}), SAID.chunk({}, "stop")]) == 2
    assert StreamedTokens().of([SAID.chunk({"role": "assistant", "content": "Yes"})]) == 1
    assert StreamedTokens().of([SAID.chunk({"content": ""})]) == 1


def test_an_event_is_a_token_and_one_that_says_more_is_as_many_as_its_characters_make() -> None:
    stream = StreamedTokens()
    words = [SAID.chunk({"role": "assistant", "content": ""}), *(SAID.chunk({"content": "word "}) for _ in range(9))]
    assert stream.of(words) == 9
    assert stream.of([SAID.chunk({"content": LONG}), SAID.chunk({}, "stop")]) == len(LONG) // 4 + 1


def test_a_call_in_one_event_is_as_many_tokens_as_in_a_whole_answer() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": LONG}}
    assert StreamedTokens().of([SAID.chunk({"role": "assistant", "tool_calls": [call]})]) == (1 + len(LONG)) // 4
    reasoned = SAID.chunk({"role": "assistant", "reasoning_content": LONG})
    assert StreamedTokens().of([reasoned, reasoned]) == 2 * (len(LONG) // 4)


def test_only_what_is_longer_than_the_others_is_read() -> None:
    stream = StreamedTokens()
    stream.of([SAID.chunk({"role": "assistant", "content": ""})])
    (later,) = (SAID.chunk({"content": "word "}),)
    assert stream.of([later]) == 1
    assert later._chunk is None


@pytest.mark.parametrize(
    "raw", [b"no JSON" * 9, b'{"choices": 7}', b'{"choices": [null, {"delta": 1}]}', b"[[1, 2, 3]]"]
)
def test_an_event_that_says_nothing_known_is_one_token(raw: bytes) -> None:
    assert StreamedTokens().of([Event(b"data: " + raw + b" " * 60 + b"\n\n")]) == 1
