"""The items of a conversation as messages of a chat: every output stands behind the calls it belongs to."""

from __future__ import annotations

from typing import Any

import pytest

from router.api.errors import ApiError
from router.api.responses.items import as_messages

SAID: dict[str, dict[str, Any]] = {
    "u": {"type": "message", "role": "user", "content": "weather?"},
    "a": {"type": "message", "role": "assistant", "content": "Let me look."},
}
ORDERS = {
    "output next to its call": ("u A> >A u", "u A >A u"),
    "the question again before the output": ("u A> u >A", "u u A >A"),
    "text of the same answer after its calls": ("u A> B> a >A >B", "u aAB >A >B"),
    "text among the calls": ("u A> a B> u >A >B", "u a u AB >A >B"),
    "text before the calls": ("u a A> u >A", "u a u A >A"),
    "text of the next answer": ("u A> >A a B> >B", "u A >A aB >B"),
    "an output early, the other late": ("u A> B> >B u >A u", "u B >B u A >A u"),
    "another call before an output": ("u A> B> >A C> >B >C", "u A >A BC >B >C"),
    "a round after the other": ("u A> >A B> >B u", "u A >A B >B u"),
    "an id that is used again": ("u A> >A A> >A u", "u A >A A >A u"),
    "an output that is said again": ("u A> >A B> u >A >B", "u A >A u B >B"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_output_is_found_by_the_id_of_its_call(name: str) -> None:
    """Semantic Kernel says the question and older outputs again, others the text of an answer after its calls.

    The newest output stays last, for a model goes on from there.
    """
    items, messages = ORDERS[name]
    assert " ".join(_short(message) for message in as_messages(_items(items))) == messages


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ("u A> u", "No tool output found for function call A."),
        ("u A> B> u >B u", "No tool output found for function call A."),
        ("u >A A> u", "No tool call found for function call output with call_id A."),
        ("u A> >A >B", "No tool call found for function call output with call_id B."),
        ("u A> A> >A", "No tool output found for function call A."),
    ],
)
def test_calls_and_outputs_without_each_other_are_refused(items: str, said: str) -> None:
    with pytest.raises(ApiError) as caught:
        as_messages(_items(items))
    assert caught.value.message == said


def test_another_output_of_a_call_that_has_one_is_refused() -> None:
    other = {"type": "function_call_output", "call_id": "A", "output": "snow"}
    with pytest.raises(ApiError, match="No tool call found"):
        as_messages([*_items("u A> >A u"), other])


def _items(told: str) -> list[dict[str, Any]]:
    """`A>` is a call with the id A, `>A` its output."""
    return [SAID[each] if each in SAID else _of_call(each) for each in told.split()]


def _of_call(told: str) -> dict[str, Any]:
    if told.startswith(">"):
        return {"type": "function_call_output", "call_id": told[1:], "output": "rain"}
    return {"type": "function_call", "call_id": told[:-1], "name": "f", "arguments": "{}"}


def _short(message: dict[str, Any]) -> str:
    if message["role"] == "tool":
        return ">" + str(message["tool_call_id"])
    text = message["role"][0] if message["content"] is not None else ""
    return text + "".join(call["id"] for call in message.get("tool_calls", ()))
