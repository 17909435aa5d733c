from __future__ import annotations

from typing import Any

import pytest

from router.own_words import CODE_LINES, END_CHARS
from router.prompt import CONTEXT_CHARS, READ_CHARS, request_text, request_texts


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


def test_short_messages_lean_on_each_other_back_to_one_that_stands_alone() -> None:
    messages = [
        user("an old topic that was settled long before"),
        user("let us make up a hero for my book"),
        assistant("An animal?"),
        user("yes, a badger"),
        assistant("Nice."),
        user("what is he called"),
    ]
    assert request_text(messages) == "let us make up a hero for my book\nyes, a badger\nwhat is he called"


def test_many_short_messages_do_not_swamp_the_last() -> None:
    text = request_text([user(f"short {n}") for n in range(2000)])
    assert text.endswith("short 1998\nshort 1999")
    assert len(text) < 2 * CONTEXT_CHARS


@pytest.mark.parametrize("ending", ["thanks!", "ok, thank you", "Bye", "thanks, now a recipe?", "great, cheers"])
def test_thanks_and_goodbyes_end_the_task_before(ending: str) -> None:
    assert request_text([user("my parcel has not arrived for three weeks"), user(ending)]) == ending


def test_thanks_that_goes_on_with_the_task_leans_on_it() -> None:
    messages = [user("write a poem about the sea please"), user("thanks! and in French?")]
    assert request_text(messages) == "write a poem about the sea please\nthanks! and in French?"


DOCUMENTS = "The canteen opens at noon. Boats hold four persons. " * 20
ASKED = "how do I change the port of the server"


@pytest.mark.parametrize(
    "template",
    [
        "Use these passages.\n\n{documents}\n\nQuestion: {asked}",
        "### Retrieved\n{documents}\n### User question\n{asked}",
        "<documents><document index='1'>{documents}</document></documents>\n{asked}",
        "{asked}\n<search_results>{documents}</search_results>",
        "<attached_files>\n{documents}</attached_files>\n<user_query>\n{asked}\n</user_query>",
        "<task>{asked}</task>\n<environment_details>{documents}</environment_details>",
        "{asked}\n\nOn Tuesday, Bea wrote:\n> {documents}\n> Yours, Bea",
        "{asked}\n\n-----Original Message-----\nFrom: Bea\n\n{documents}",
    ],
)
def test_what_a_message_carries_is_left_out(template: str) -> None:
    assert request_text([user(template.format(documents=DOCUMENTS, asked=ASKED))]) == ASKED


@pytest.mark.parametrize(
    "text",
    [
        "<document>The dog sleeps.</document> summarise this",
        "> the dog sleeps in the sun\nwhat is meant?",
        "the dog sleeps in the sun\nQuestion: why?",
    ],
)
def test_what_a_message_carries_stays_when_the_rest_cannot_stand_alone(text: str) -> None:
    assert request_text([user(text)]) == text


def test_of_a_json_envelope_only_what_was_said_remains() -> None:
    text = '{"id": "T-1", "os": "Windows 11", "ticket": {"lang": "en", "body": "my parcel came with a broken lid"}}'
    assert request_text([user(text)]) == "my parcel came with a broken lid"


@pytest.mark.parametrize("text", ['{"a": 1, "b": "x"}', '{"a": 1', '{"a":' * 5000 + "1" + "}" * 5000])
def test_json_in_which_nobody_speaks_stays(text: str) -> None:
    assert request_text([user(text)]) == text


def test_of_an_endless_message_both_ends_are_read() -> None:
    text = request_text([user("look at this for me: " + "x" * 5_000_000 + " into plain words please")])
    assert text.startswith("look at this for me:")
    assert text.endswith("into plain words please")
    assert len(text) < 2 * END_CHARS + 2


@pytest.mark.parametrize(
    "piece", ["<context>", "<command-a>", ">\n", "```", '{"a":', "question\n", "thanks ", "--\n", ":\n"]
)
def test_a_hostile_message_takes_no_more_than_its_length(piece: str) -> None:
    """Quadratic matching of five million characters would meet the suite's time limit."""
    assert len(request_text([user(piece * (5_000_000 // len(piece)))])) <= 2 * END_CHARS + 1


class Watched(str):
    """A text that counts the characters looked at to find others in it."""

    searched = 0

    def find(self, sub: str, start: Any = 0, end: Any = None, /) -> int:
        at = super().find(sub, start, end)
        self.searched += (len(self) if at < 0 else at) - slice(start, end).indices(len(self))[0]
        return at


def test_elements_that_are_never_closed_take_no_more_than_the_length() -> None:
    """Each of another name: looking for the end of each took 80 ms of 30 KB."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"command-{one}{two}{three}" for one in "abc" for two in letters for three in letters]
    text = Watched("".join(f"<{name}>" for name in names)[:END_CHARS])
    assert request_text([user(text)]) == text
    assert text.searched < 2 * len(text)
    closed = "".join(f"</{name}>" for name in names[:200]) + "".join(f"<{name}>" for name in names[:200])
    assert request_text([user(closed)]) == closed


def test_of_messages_that_say_nothing_only_so_much_is_read() -> None:
    noise = user("<system-reminder>" + "x" * (2 * END_CHARS - 50) + "</system-reminder>")
    most = READ_CHARS // len(noise["content"])
    task = user("write me a poem about the sea")
    assert request_text([task, *[noise] * (most - 1)]) == task["content"]
    assert request_text([task, *[noise] * (most + 1)]) == ""
    assert request_text([task, *[noise] * (most + 1), task]) == task["content"]


@pytest.mark.parametrize("short", ["tell me a joke", "who wrote Moby Dick?", "日本の首都は"])
def test_a_few_words_that_may_be_a_new_task_are_a_text_of_their_own_too(short: str) -> None:
    before = "my parcel has not arrived for three weeks"
    assert request_texts([user(before), assistant("Sorry."), user(short)]) == (short, f"{before}\n{short}")


@pytest.mark.parametrize("short", ["commit it", "why?", "为什么"])
def test_two_words_are_no_task(short: str) -> None:
    before = "my parcel has not arrived for three weeks"
    assert request_texts([user(before), user(short)]) == (f"{before}\n{short}",)


def test_a_message_that_leans_on_nothing_is_one_text() -> None:
    assert request_texts([user("tell me a joke")]) == ("tell me a joke",)
    assert request_texts([]) == ("",)


@pytest.mark.parametrize("text", ["东京的人口大约有多少?", "明日の東京の天気を教えてください", "ช่วยเขียนจดหมายให้หน่อย"])
def test_a_message_without_spaces_stands_alone_by_its_characters(text: str) -> None:
    assert request_texts([user("my parcel has not arrived for three weeks"), user(text)]) == (text,)
