from __future__ import annotations

from typing import Any

import pytest

from eval.answers.marking import mark
from eval.answers.questions import Question
from eval.scorers.reasoning import spoken

REASONED = '<think>\nOption A, 3 or {"city": "Bern"}? No:\n```python\ndef two(x): return x\n```\n</think>\n\n'
"""What every scorer would find a wrong answer in."""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<think>A or B?</think>B", "B"),
        ("\n<think>\n</think>\n\nB", "B"),
        ("<THINK>A</THINK> B", " B"),
        ("<think>A</think>\n \n    return 2 * x", "    return 2 * x"),
        ("<thinking>A</thinking>B", "B"),
        ("<thought>A</thought>B", "B"),
        ("<reasoning>A</reasoning>B", "B"),
        ("[THINK]A[/THINK]B", "B"),
        ("<|channel|>analysis<|message|>A<|end|><|start|>assistant<|channel|>final<|message|>B", "B"),
        ("<think>A</think><think>C</think>B", "B"),
        ("It begins in the prompt, so only its end is here.\n</think>\nB", "B"),
        ("<think>It never came to an answer: B", ""),
        ("B", "B"),
        ("  B\n", "  B\n"),
        ("`<think>A</think>` is how a model reasons.", "`<think>A</think>` is how a model reasons."),
        ("I think: B", "I think: B"),
    ],
)
def test_what_is_reasoned_is_not_said(answer: str, said: str) -> None:
    assert spoken(answer) == said


@pytest.mark.parametrize(
    ("scorer", "answer", "target", "choices"),
    [
        ("exact", "Lima", "Lima", ()),
        ("includes", "It is Lima.", "Lima", ()),
        ("numeric", "7", "7", ()),
        ("boxed", r"\boxed{7}", "7", ()),
        ("choice", "B", "B", ("Bern", "Lima")),
        ("json_fields", '{"city": "Lima"}', {"city": "Lima"}, ()),
        ("f1", "Lima", "Lima", ()),
        ("coverage", "Lima", "Lima", ()),
        ("code", "```python\ndef two(x): return 2 * x\n```", "assert two(1) == 2", ()),
    ],
)
def test_every_scorer_marks_what_is_said(scorer: str, answer: str, target: Any, choices: tuple[str, ...]) -> None:
    question = Question([], target, scorer, "", choices)
    assert mark(answer, question) == 1
    assert mark(REASONED + answer, question) == 1
    assert mark(f"<think>{answer}", question) == 0
