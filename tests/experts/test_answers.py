"""Curated answers: the right one word for word, or an honest no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from experts.answers import AnswersExpert
from experts.errors import ExpertFailed, RegistryError
from experts.spec import AnswersSpec
from experts.wire import Call, Usage
from tests.bag import count_tokens, embed

HOURS = "From 9 to 5. Not on Sundays!\n\nReally."
ROWS: list[dict[str, Any]] = [
    {"id": "hours", "questions": ["When are you open?", "opening hours please"], "answer": HOURS},
    {"id": "price", "questions": ["What does it cost?", "price of a ticket"], "answer": "Ten euros."},
    {"id": "dogs", "questions": ["May I bring a dog?"], "answer": "Yes, e.g. a small one."},
    {"id": "where", "questions": ["Where are you?"], "answer": "Here."},
]


def write(path: Path, rows: list[dict[str, Any]]) -> AnswersSpec:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return AnswersSpec(
        kind="answers", id="help", description="d", params_b=0, context=4096, answers=path, min_similarity=0.6
    )


@pytest.fixture
def expert(tmp_path: Path) -> AnswersExpert:
    return AnswersExpert.load(write(tmp_path / "answers.jsonl", ROWS), embed, count_tokens)


def call(text: str) -> Call:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": text}]},
    ]
    return Call({"messages": messages}, "r-1", embed([text])[0])


@pytest.mark.parametrize(
    ("question", "answer"),
    [("OPENING hours", HOURS), ("what does it cost", "Ten euros."), ("where are you", "Here.")],
)
async def test_the_nearest_paraphrase_gives_the_answer(expert: AnswersExpert, question: str, answer: str) -> None:
    found = await expert.complete(call(question))
    ChatCompletion.model_validate(found.body, strict=True)
    assert found.body["choices"][0]["message"]["content"] == answer
    assert found.body["model"] == "help" and found.body["id"] == "chatcmpl-r-1"
    tokens = 2 + len(question.split())
    assert found.usage == Usage(tokens, len(answer.split()), source="tokenizer")
    assert found.body["usage"]["total_tokens"] == tokens + len(answer.split())


async def test_a_stream_is_cut_at_sentences_and_adds_up(expert: AnswersExpert) -> None:
    asked = call("opening hours")
    stream = [event async for arrived in expert.stream(asked) for event in arrived]
    for event in stream:
        ChatCompletionChunk.model_validate(event.chunk, strict=True)
    role, *said, finish, last = stream
    assert role.chunk["choices"][0]["delta"]["role"] == "assistant"
    parts = [event.chunk["choices"][0]["delta"]["content"] for event in said]
    assert parts == ["From 9 to 5. ", "Not on Sundays!\n\n", "Really."]
    assert finish.chunk["choices"][0]["finish_reason"] == "stop"
    whole = await expert.complete(asked)
    assert "".join(parts) == whole.body["choices"][0]["message"]["content"]
    assert last.chunk["choices"] == [] and last.usage == whole.usage
    assert last.chunk["usage"] == whole.body["usage"]
    assert len({event.chunk["id"] for event in stream}) == 1


async def test_it_says_honestly_that_it_has_no_answer(expert: AnswersExpert) -> None:
    found = await expert.complete(call("Do cats ever bring us a mouse"))
    choice = found.body["choices"][0]
    lines = choice["message"]["content"].splitlines()
    assert "no curated answer" in lines[0] and choice["finish_reason"] == "stop"
    assert len(lines) == 4 and lines[1] == "- May I bring a dog?", "the three nearest, one for each answer"
    assert len(set(lines)) == 4


async def test_few_answers_are_all_listed(tmp_path: Path) -> None:
    expert = AnswersExpert.load(write(tmp_path / "a.jsonl", ROWS[:1]), embed)
    found = await expert.complete(call("xyzzy"))
    assert len(found.body["choices"][0]["message"]["content"].splitlines()) == 2
    assert found.usage == Usage(source="none")


async def test_without_a_vector_it_fails(expert: AnswersExpert) -> None:
    bare = Call({"messages": []}, "r-1")
    with pytest.raises(ExpertFailed, match="request vector"):
        await expert.complete(bare)
    with pytest.raises(ExpertFailed, match="request vector"):
        [events async for events in expert.stream(bare)]
    await expert.aclose()
    await expert.aclose()


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with pytest.raises(RegistryError, match=r"answers.jsonl:5: id 'dogs' is also on line 3"):
        AnswersExpert.load(write(path, [*ROWS, ROWS[2]]), embed)
    with pytest.raises(RegistryError, match=r"answers.jsonl:2: questions must be a list"):
        AnswersExpert.load(write(path, [ROWS[0], {**ROWS[1], "questions": []}]), embed)


def test_the_answers_file_is_embedded_once_in_order(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def watching(texts: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        seen.append(list(texts))
        return embed(texts)

    AnswersExpert.load(write(tmp_path / "a.jsonl", ROWS), watching)
    assert seen == [[question for row in ROWS for question in row["questions"]]]
