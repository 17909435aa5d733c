"""What each part of the judge is worth on labelled requests.

The looks of the out-of-domain score, the shrinkage in one of them, the threshold on it, the names of domains as
examples, rivals, and the temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from eval.drawn import Drawn
from eval.labels_report import Doubles, Marks, drawn_figures, picked
from experts.regression import softmax
from experts.wire import Vector
from router.calibrate import LOOKS, Familiarity, Floats
from router.learn.domains import Domains

PARTS: Final = (*LOOKS, "shrinkage", "out_of_domain", "names", "rivals", "temperature")

Requests = tuple[Floats, Sequence[str | None]]
"""Vectors (n, d) and labels (n,), None for none."""


def ablated(
    parts: Sequence[str],
    taught: tuple[Floats, Sequence[str]],
    names: Mapping[str, Vector],
    test: Requests,
    known: Requests,
    seed: int,
    sureness: float = 1.0,
) -> Mapping[str, dict[str, Drawn]]:
    """The figures without each of some `PARTS`, and under "" with all, of a judge of these `taught` examples.

    The threshold is picked on `known` (validation); `sureness` is the encoder's.
    """
    fitted = partial(Domains.of_examples, *taught, sureness=sureness)
    domains = fitted(names)
    usual = _Seen(domains, *test), _Seen(domains, *known)
    found = {}
    for part in ("", *parts):
        other = _refitted(part, domains, taught, fitted, names)
        tested, checked = (_Seen(other, *test), _Seen(other, *known)) if other else usual
        threshold = picked(checked.without(part)) if checked.some_outside else None
        if part == "out_of_domain" and threshold is not None:
            threshold = -np.inf
        found[part] = drawn_figures(tested.without(part), threshold, seed)
    return found


def _refitted(
    part: str,
    domains: Domains,
    taught: tuple[Floats, Sequence[str]],
    fitted: Callable[..., Domains],
    names: Mapping[str, Vector],
) -> Domains | None:
    """The domains where leaving a part out is another fit, None where it is not."""
    if part == "names":
        return fitted()
    if part == "rivals":
        return fitted(names, rivals=False)
    if part != "shrinkage":
        return None
    vectors, labels = taught
    index = np.searchsorted(domains.classes_, labels)
    return Domains(domains.head, Familiarity().fit(vectors, index, domains.left_out_scores_, prior=0), domains.rivals)


class _Seen:
    """What the judge's parts say of requests."""

    def __init__(self, domains: Domains, vectors: Floats, labels: Sequence[str | None]) -> None:
        scores = domains.scores(vectors)
        inside = np.array([label is not None for label in labels], bool)
        named = np.array([label or "" for label in labels], np.str_)
        right = domains.classes_[scores.argmax(axis=1)] == named
        self._looks = np.array(
            [domains.looks(vector, own) for vector, own in zip(vectors, scores, strict=True)]
        ).reshape(-1, len(LOOKS))
        self._marks = Marks(right, inside, _sure(scores), self._looks.sum(axis=1))
        self._cold = _sure(scores / (domains.head.temperature_ * domains.rivals.temperature_))
        self.some_outside = not inside.all()

    def without(self, part: str) -> Marks:
        if part == "temperature":
            return replace(self._marks, sure=self._cold)
        kept = [name != part for name in LOOKS]
        return replace(self._marks, familiarity=self._looks[:, kept].sum(axis=1))


def _sure(scores: Floats) -> Doubles:
    best: Doubles = softmax(scores).max(axis=1).astype(float)
    return best
