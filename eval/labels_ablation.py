"""What each part of the judge is worth on labelled requests.

The looks of the out-of-domain score, the shrinkage in one of them, rivals, and the temperature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from eval.drawn import Drawn
from eval.labels_report import Doubles, Marks, drawn_figures, picked
from experts.head import softmax
from router.calibrate import LOOKS, Familiarity, Floats
from router.learn.domains import Domains

PARTS: Final = (*LOOKS, "shrinkage", "rivals", "temperature")

Requests = tuple[Floats, Sequence[str | None]]
"""Vectors (n, d) and labels (n,), None for none."""


def ablated(
    domains: Domains, taught: Requests, test: Requests, known: Requests, seed: int
) -> Mapping[str, dict[str, Drawn]]:
    """The figures without each of the parts, and under "" with all, from one fit of the judge's `domains`.

    They were `taught` all those examples; the threshold is picked on `known` (validation).
    """
    usual = _Seen(domains, *test), _Seen(domains, *known)
    unshrunk = _unshrunk(domains, *taught)
    less = {"shrinkage": (_Seen(unshrunk, *test), _Seen(unshrunk, *known))}
    found = {}
    for part in ("", *PARTS):
        tested, checked = less.get(part, usual)
        threshold = picked(checked.without(part)) if checked.some_outside else None
        found[part] = drawn_figures(tested.without(part), threshold, seed)
    return found


def _unshrunk(domains: Domains, vectors: Floats, labels: Sequence[str | None]) -> Domains:
    """The same, with what each class sees of its own examples taken as it is."""
    index = np.searchsorted(domains.classes_, [str(label) for label in labels])
    familiarity = Familiarity().fit(vectors, index, domains.left_out_scores_, prior=0)
    return Domains(domains.head, familiarity, domains.rivals)


class _Seen:
    """What the judge's parts say of requests."""

    def __init__(self, domains: Domains, vectors: Floats, labels: Sequence[str | None]) -> None:
        scores, alone = domains.scores(vectors), domains.head.decision_function(vectors)
        inside = np.array([label is not None for label in labels], bool)
        named = np.array([label or "" for label in labels], np.str_)
        right = domains.classes_[scores.argmax(axis=1)] == named
        self._looks = np.array(
            [domains.looks(vector, own) for vector, own in zip(vectors, scores, strict=True)]
        ).reshape(-1, len(LOOKS))
        self._marks = Marks(right, inside, _sure(scores), self._looks.sum(axis=1))
        self._alone = replace(self._marks, right=domains.classes_[alone.argmax(axis=1)] == named, sure=_sure(alone))
        self._cold = _sure(scores / (domains.head.temperature_ * domains.rivals.temperature_))
        self.some_outside = not inside.all()

    def without(self, part: str) -> Marks:
        if part == "temperature":
            return replace(self._marks, sure=self._cold)
        if part == "rivals":
            return self._alone
        kept = [name != part for name in LOOKS]
        return replace(self._marks, familiarity=self._looks[:, kept].sum(axis=1))


def _sure(scores: Floats) -> Doubles:
    best: Doubles = softmax(scores).max(axis=1).astype(float)
    return best
