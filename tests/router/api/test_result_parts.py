"""What tools gave back beside text: behind all results, in their order, and never in the way of what the user wrote."""

from __future__ import annotations

from typing import Any

import pytest

from router.api.messages.translation import chat_body
from router.api.responses.items import as_messages
from router.prompt import request_texts

Body = dict[str, Any]

ASKED = "What is the weather where I live?"
URLS = ("https://a.example/1.png", "https://a.example/2.png", "https://a.example/3.png")


def messages(*more: str) -> list[Body]:
    """Two results: an image between words, and two images alone; behind them what the user says `more`."""
    images = [{"type": "image", "source": {"type": "url", "url": url}} for url in URLS]
    first = [{"type": "text", "text": "here:"}, images[0], {"type": "text", "text": "there."}]
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": first, "is_error": True},
        {"type": "tool_result", "tool_use_id": "b", "content": images[1:]},
    ]
    calls = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in "ab"]
    turns = [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": calls},
        {"role": "user", "content": [*results, *({"type": "text", "text": each} for each in more)]},
    ]
    told: list[Body] = chat_body({"model": "auto", "messages": turns})["messages"]
    return told


def responses(*more: str) -> list[Body]:
    """The same as items."""
    images = [{"type": "input_image", "image_url": url} for url in URLS]
    first = [{"type": "input_text", "text": "here:"}, images[0], {"type": "input_text", "text": "there."}]
    calls = [{"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"} for name in "ab"]
    outputs = [
        {"type": "function_call_output", "call_id": name, "output": output}
        for name, output in (("a", first), ("b", images[1:]))
    ]
    said = [{"type": "message", "role": "user", "content": each} for each in more]
    return as_messages([{"type": "message", "role": "user", "content": ASKED}, *calls, *outputs, *said])


@pytest.mark.parametrize("surface", [messages, responses])
def test_images_follow_the_results(surface: Any) -> None:
    *before, first, second, shown = surface()
    assert [message["role"] for message in before] == ["user", "assistant"]
    assert [part["image_url"]["url"] for part in shown["content"]] == [*URLS]
    assert (first["role"], second["role"], shown["role"]) == ("tool", "tool", "user")
    said = ["Error: here:\n[image 1]\nthere.", "[image 2]\n[image 3]"]
    if surface is responses:
        assert {part["type"] for part in first["content"] + second["content"]} == {"text"}
        texts = ["\n".join(part["text"] for part in result["content"]) for result in (first, second)]
        assert texts == [said[0].removeprefix("Error: "), said[1]]
    else:
        assert [first["content"], second["content"]] == said


@pytest.mark.parametrize("surface", [messages, responses])
def test_what_is_judged_is_what_the_user_wrote(surface: Any) -> None:
    assert request_texts(surface()) == (ASKED,)
    again = "And what about the place where my parents live now?"
    assert request_texts(surface(again)) == (again,)


def test_a_file_is_carried_as_an_image_is() -> None:
    items = [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_file", "file_id": "file-1"}]},
    ]
    _, result, shown = as_messages(items)
    assert result["content"] == [{"type": "text", "text": "[file 1]"}]
    assert shown == {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
