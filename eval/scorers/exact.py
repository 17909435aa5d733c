"""The answer is the target, whole. Pure."""

from __future__ import annotations

from eval.scorers.words import Target, folded, targets


def exact(answer: str, target: Target) -> float:
    """1 when nothing but case, spacing and the punctuation around it differs."""
    return float(folded(answer) in [folded(each) for each in targets(target)])
