"""The target stands somewhere in the answer. Pure."""

from __future__ import annotations

from eval.scorers.words import Target, signed, targets


def includes(answer: str, target: Target) -> float:
    """1 when a target's words follow each other in the answer.

    Whole words and numbers: "concatenate" includes no "cat", and "5" is in none of "-5", "5.50" and "5,000".
    """
    said = signed(answer)
    return float(any(_within(signed(each), said) for each in targets(target)))


def _within(part: list[str], said: list[str]) -> bool:
    size = len(part)
    return bool(part) and any(said[at : at + size] == part for at in range(len(said) - size + 1))
