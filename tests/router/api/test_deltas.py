"""What is read from a stream's events, in which order, and what is not taken for text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from experts.errors import ExpertFailed
from experts.wire import Event
from router.api.deltas import Arguments, CallBegun, Delta, Deltas, Finished, Refusal, Text
from tests.steps import steps


def event(finish: str | None = None, /, **delta: Any) -> Event:
    return Event.of({"model": "far", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def call(arguments: object, index: int = 0) -> dict[str, Any]:
    return {"index": index, "id": f"c{index}", "type": "function", "function": {"name": "f", "arguments": arguments}}


def more(arguments: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments}}


def read(events: Iterable[Event]) -> list[Delta]:
    deltas = Deltas()
    return [told for event in events for told in deltas.read([event], "far")]


def said(deltas: Iterable[Delta]) -> str:
    """What is told, in short: a call as its index in brackets, everything else as its words."""
    told: list[str] = []
    for delta in deltas:
        match delta:
            case CallBegun(index, _, _):
                told.append(f"[{index}]")
            case Text(words, _) | Refusal(words) | Arguments(_, words) | Finished(words):
                told.append(words.strip())
    return " ".join(filter(None, told))


def test_text_and_calls_are_read() -> None:
    told = read([event(content="Hi"), event(tool_calls=[call("{}")])])
    assert told == [Text("Hi", []), CallBegun(0, "c0", "f"), Arguments(0, "{}")]


BOTH = [call("", 0), call("", 1)]
ORDERS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "one after the other": (
        [{"tool_calls": [call("")]}, {"tool_calls": [more("{}")]}, {"tool_calls": [call("{}", 1)]}, {"content": "a"}],
        "[0] {} [1] {} a",
    ),
    "both begun at once": (
        [{"tool_calls": BOTH}, {"tool_calls": [more("{0}", 0)]}, {"tool_calls": [more("{1}", 1)]}],
        "[0] {0} [1] {1}",
    ),
    "in turns": (
        [{"tool_calls": [each]} for each in (call("{"), call("[", 1), more("}"), more("]", 1), call("{}", 2))],
        "[0] { } [1] [ ] [2] {}",
    ),
    "text within a call": (
        [{"tool_calls": [call("{")]}, {"content": "a"}, {"tool_calls": [more("}")]}, {"content": "b"}],
        "[0] { } a b",
    ),
    "text among those that wait": (
        [{"tool_calls": BOTH}, {"content": "a"}, {"refusal": "b"}, {"tool_calls": [more("{}", 1), call("{}", 2)]}],
        "[0] [1] {} a b [2] {}",
    ),
    "blanks behind a whole call": (
        [{"tool_calls": [call("{}"), call("{", 1)]}, {"tool_calls": [more(" ")]}, {"tool_calls": [more("}", 1)]}],
        "[0] {} [1] { }",
    ),
}


@pytest.mark.parametrize("name", ORDERS)
def test_a_call_has_its_own_arguments_in_one_piece(name: str) -> None:
    deltas, wanted = ORDERS[name]
    assert said(read([*(event(**delta) for delta in deltas), event("stop")])) == f"{wanted} stop"


def test_a_call_that_is_whole_waits_for_nothing() -> None:
    told = read([event(tool_calls=[call("{}")]), event(content="a"), event(tool_calls=[call("{", 1), more("}", 1)])])
    assert said(told) == "[0] {} a [1] { }", "without a finish reason"


def test_a_whole_call_that_is_gone_on_with_is_the_experts_fault() -> None:
    with pytest.raises(ExpertFailed, match="that were whole"):
        read([event(tool_calls=[call("{}"), call("{", 1)]), event(tool_calls=[more("}")])])


def test_four_times_the_calls_are_four_times_the_work() -> None:
    def work(calls: int) -> int:
        begun = [event(tool_calls=[call("{", index)]) for index in range(calls)]
        ended = [event(tool_calls=[more("}", index)]) for index in range(calls)]
        return steps(lambda: read([*begun, *ended, event("stop")]))

    assert work(128) < 5 * work(32)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": [{"type": "text", "text": "Hi"}]},
        {"refusal": 7},
        {"tool_calls": [call({"city": "Paris"})]},
        {"tool_calls": [{**call("{}"), "index": "0"}]},
    ],
)
def test_what_is_no_text_is_the_experts_fault(delta: dict[str, Any]) -> None:
    with pytest.raises(ExpertFailed, match=r"no chat\.completion\.chunk") as failed:
        read([event(**delta)])
    assert failed.value.expert == "far"
