"""Questions with a target that an answer can be held against: one JSON object a line, optionally gzipped.

{"input": text or "messages": [...], "target" or "expected": ..., "scorer": name, "task"?, "choices"?, "before"?,
"max_tokens"?}. Rows of public sets that name a `metric` instead of a scorer are read as well.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Final

import orjson

from eval.answers.marking import NAMES
from eval.answers.targets import lacking
from eval.conversation import conversation
from eval.samples import SamplesError, json_rows

MOST_TOKENS: Final = 256
"""Of an answer, when a row does not say."""

METRICS: Final = {
    "em_mc": "choice", "GSM8K": "numeric", "MATH": "boxed", "f1_score": "f1", "commongen_coverage": "coverage",
    "code_eval": "code", "em": "exact",
}  # fmt: skip
"""What other sets call the scorers."""

_HEAD = re.compile(r"^def\s+(\w+)\s*\(", re.MULTILINE)
"""The functions that a question begins; the last one is to be written, those before it are given."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and what a right answer is held against."""

    messages: list[dict[str, Any]]
    target: Any
    scorer: str
    task: str
    choices: tuple[str, ...] = ()
    before: str = ""
    """Code that an answer of code goes on from."""
    max_tokens: int = MOST_TOKENS


def read_questions(path: Path) -> tuple[list[Question], int]:
    """Every different question of a file, and how many rows were dropped as repeats, blanks at the end aside.

    Raises `SamplesError`.
    """
    found: dict[bytes, Question] = {}
    count = 0
    for number, row in json_rows(path):
        question = _question(f"{path}:{number}", row)
        found.setdefault(_once(question.messages), question)
        count += 1
    if not found:
        raise SamplesError(f"{path}: holds no rows. Remedy: one JSON object a line")
    return list(found.values()), count - len(found)


def _once(messages: list[dict[str, Any]]) -> bytes:
    """What is the same of two that are one question."""
    last = messages[-1]
    text = last.get("content")
    return orjson.dumps([*messages[:-1], {**last, "content": text.rstrip() if isinstance(text, str) else text}])


def _question(place: str, row: Mapping[str, Any]) -> Question:
    scorer = row.get("scorer") or METRICS.get(str(row.get("metric")))
    if scorer not in NAMES:
        said = row.get("scorer") or row.get("metric")
        raise SamplesError(f"{place}: scorer {said!r} is not known. Remedy: one of {', '.join(NAMES)}")
    target = row.get("target", row.get("expected"))
    if target is None:
        raise SamplesError(f"{place}: has no 'target'. Remedy: say what a right answer is held against")
    choices, labels = _choices(place, row.get("choices"))
    if scorer == "choice" and target in labels:
        target = ascii_uppercase[labels.index(target)]
    adapted = "metric" in row and "scorer" not in row
    made = _adapted if adapted else _as_told
    question = made(place, row, str(scorer), target, choices)
    if needed := lacking(question.scorer, question.target, choices):
        raise SamplesError(f"{place}: target {target!r} is no use to the scorer {scorer}. Remedy: {needed}")
    return question


def _as_told(place: str, row: Mapping[str, Any], scorer: str, target: Any, choices: tuple[str, ...]) -> Question:
    most, task, before = row.get("max_tokens", MOST_TOKENS), row.get("task") or "", row.get("before") or ""
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise SamplesError(f"{place}: max_tokens {most!r} is not usable. Remedy: a whole number above 0")
    if not isinstance(task, str) or not isinstance(before, str):
        raise SamplesError(
            f"{place}: 'task' and 'before' must be texts. Remedy: write them as texts, or leave them out"
        )
    return Question(_messages(place, row), target, scorer, task, choices, before, most)


def _adapted(place: str, row: Mapping[str, Any], scorer: str, target: Any, choices: tuple[str, ...]) -> Question:
    """A row of a public set: choices are shown, tests of code are read, the head of a function goes before."""
    text, before = row.get("input"), ""
    if not isinstance(text, str):
        raise SamplesError(f"{place}: 'input' must be a text. Remedy: give every row an input")
    if scorer == "choice" and choices:
        listed = "\n".join(f"{letter}. {each}" for letter, each in zip(ascii_uppercase, choices, strict=False))
        text = f"{text}\n{listed}\nAnswer with the letter only."
    elif scorer == "code":
        tests = str(target)
        if begun := _HEAD.findall(text):
            before, target = text, f"{tests}\ncheck({begun[-1]})"
            text = f"Complete this Python function. Answer with code only.\n\n{text}"
        else:
            listed_tests = _literal(tests)
            target = listed_tests if isinstance(listed_tests, list) else [tests]
            text = f"{text}\nYour code must pass: {target[0]}\nAnswer with Python code only."
        choices = ()
    elif scorer == "coverage":
        text = f"Write one sentence that uses these words: {text}"
    return Question([{"role": "user", "content": text}], target, scorer, str(row.get("task") or ""), choices, before)


def _messages(place: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(row.get("input"), str):
        return [{"role": "user", "content": row["input"]}]
    if "messages" not in row:
        raise SamplesError(f"{place}: needs 'input' or 'messages'. Remedy: give every row one of them")
    return conversation(place, row["messages"])


def _choices(place: str, said: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A list, or a text that some public sets hold one in: a list, or lists of labels and texts; and the labels."""
    listed = _literal(said) if isinstance(said, str) else said
    labels: tuple[str, ...] = ()
    if isinstance(listed, Mapping):
        labels = tuple(map(str, listed.get("label") or ()))
        listed = listed.get("text")
    if listed is None:
        return (), ()
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise SamplesError(f"{place}: 'choices' must be a list of texts. Remedy: [text, ...], in the order of letters")
    return tuple(map(str, listed)), labels


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
