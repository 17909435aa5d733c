from __future__ import annotations

from typing import Any

import pytest

from router.prompt import CODE_LINES, request_text


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def test_the_last_user_message_is_the_task() -> None:
    messages = [
        user("write a poem about the sea please"),
        assistant("..."),
        user("now explain how tides work to a child"),
    ]
    assert request_text(messages) == "now explain how tides work to a child"


@pytest.mark.parametrize("short", ["commit it", "and in French?", "why?", "ok, do it now"])
def test_a_message_that_cannot_stand_alone_brings_the_one_before(short: str) -> None:
    messages = [user("refactor the parser and add tests for it"), assistant("Done."), user(short)]
    assert request_text(messages) == f"refactor the parser and add tests for it\n{short}"


def test_only_the_end_of_a_long_earlier_message_comes_along() -> None:
    text = request_text([user("x " * 5000 + "translate this"), user("and in French?")])
    assert text.endswith("translate this\nand in French?")
    assert len(text) < 500


def test_system_assistant_and_tool_messages_are_left_out() -> None:
    messages = [
        {"role": "system", "content": "You are a coding agent. " * 200},
        {"role": "developer", "content": "Be terse."},
        user("which of these files is the largest one"),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "a.py 4000\n" * 500},
    ]
    assert request_text(messages) == "which of these files is the largest one"


def test_harness_wrappers_are_removed() -> None:
    text = "<system-reminder>The TODO list is empty.</system-reminder>\nfix the failing login test for me"
    assert request_text([user(text)]) == "fix the failing login test for me"
    wrapped = "<environment_details>\ncwd: /x\n</environment_details>"
    assert request_text([user("find the bug in the date parser"), user(wrapped)]) == "find the bug in the date parser"


def test_pasted_code_is_cut_to_its_first_lines() -> None:
    code = "\n".join(f"line {n}" for n in range(100))
    text = request_text([user(f"what does this code do?\n```python\n{code}\n```")])
    assert f"line {CODE_LINES - 1}\n" in text
    assert f"line {CODE_LINES}\n" not in text
    assert text.startswith("what does this code do?")


def test_parts_are_joined_and_other_parts_ignored() -> None:
    parts = [
        {"type": "text", "text": "describe"},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "it"},
    ]
    assert request_text([user(parts)]) == "describe\nit"


@pytest.mark.parametrize("messages", [[user("")], [user(None)], [user([])], [assistant("hi")], [user("  \n ")]])
def test_nothing_said_is_an_empty_text(messages: list[dict[str, Any]]) -> None:
    assert request_text(messages) == ""


def test_an_unclosed_wrapper_is_text() -> None:
    assert request_text([user("what does <context> mean in this React code")]).startswith("what does <context>")
