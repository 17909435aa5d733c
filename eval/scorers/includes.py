"""The target stands somewhere in the answer. Pure."""

from __future__ import annotations

from eval.scorers.words import Target, targets, words


def includes(answer: str, target: Target) -> float:
    """1 when a target's words follow each other in the answer. Whole words: "concatenate" includes no "cat"."""
    said = words(answer)
    return float(any(_within(words(each), said) for each in targets(target)))


def _within(part: list[str], said: list[str]) -> bool:
    size = len(part)
    return bool(part) and any(said[at : at + size] == part for at in range(len(said) - size + 1))
