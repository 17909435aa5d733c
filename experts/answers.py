"""Curated answers, found by the request vector. Nothing is generated.

The nearest question says whether there is an answer at all, a regression on all questions says which one: it has
learnt what tells neighbouring answers apart (.95 against .82 right on the holdout of `shoal-help`). How likely the
answer is right nobody asks, so nothing is calibrated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from experts.by_vector import ByVector
from experts.errors import RegistryError
from experts.regression import planes, with_one
from experts.reply import CountTokens, Spoken, limited, sentences
from experts.rows import Row, numbered_rows, wrong_row
from experts.spec import AnswersSpec
from experts.wire import Call, Embed, Vector

NEAREST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class _Question:
    text: str
    answer: int


class AnswersExpert(ByVector):
    """The answer to the nearest question, in sentences. Every paraphrase of a question counts."""

    def __init__(
        self,
        spec: AnswersSpec,
        questions: Sequence[_Question],
        answers: Sequence[str],
        vectors: NDArray[np.float32],
        count_tokens: CountTokens | None,
    ) -> None:
        super().__init__(spec.id, count_tokens)
        self._min_similarity = spec.min_similarity
        self._questions = questions
        self._answers = answers
        self._vectors = vectors
        self._planes = planes(vectors, np.array([question.answer for question in questions]))

    @classmethod
    def load(cls, spec: AnswersSpec, embed: Embed, count_tokens: CountTokens | None = None) -> Self:
        """Read and embed the answers file: rows of id, questions and answer. Raises RegistryError naming the line."""
        rows = answer_rows(spec.answers)
        questions = [_Question(text, at) for at, row in enumerate(rows) for text in row["questions"]]
        answers = [row["answer"] for row in rows]
        return cls(spec, questions, answers, embed([question.text for question in questions]), count_tokens)

    def _said(self, vector: Vector, call: Call) -> Spoken:
        return limited(sentences(self._answer(vector)), call, self._count_tokens)

    def _answer(self, vector: Vector) -> str:
        similarity = self._vectors @ vector
        if similarity.max() >= self._min_similarity:
            return self._answers[int((with_one(vector[None, :]) @ self._planes.T).argmax())]
        return self._no_answer(similarity)

    def _no_answer(self, similarity: NDArray[np.float32]) -> str:
        """An honest no, with the nearest question of each of the nearest answers."""
        near: dict[int, str] = {}
        for position in np.argsort(-similarity, kind="stable"):
            question = self._questions[position]
            near.setdefault(question.answer, question.text)
            if len(near) == NEAREST_SHOWN:
                break
        listed = "\n".join(f"- {text}" for text in near.values())
        return f"I have no curated answer to that. The nearest questions I can answer:\n{listed}"


def answer_rows(path: Path) -> list[Row]:
    """The rows of an answers file. Raises RegistryError naming every wrong line, also where two have one id."""
    rows: list[Row] = []
    problems: list[str] = []
    lines: dict[str, int] = {}
    for line, row in numbered_rows(path, {"id": str, "questions": list, "answer": str}):
        first = lines.setdefault(row["id"], line)
        if first != line:
            problems.append(wrong_row(path, line, f"id {row['id']!r} is also on line {first}", "rename one"))
        rows.append(row)
    if problems:
        raise RegistryError(problems)
    return rows
