"""What each part of the judge is worth on labelled requests: looks of the out-of-domain score, rivals, temperature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from eval.drawn import Drawn
from eval.labels_report import Doubles, Marks, drawn_figures, picked
from experts.head import softmax
from router.calibrate import LOOKS, Floats
from router.learn.domains import Domains

PARTS: Final = (*LOOKS, "rivals", "temperature")


def ablated(
    domains: Domains, test: tuple[Floats, Sequence[str | None]], known: tuple[Floats, Sequence[str | None]], seed: int
) -> Mapping[str, dict[str, Drawn]]:
    """The figures without each of the parts, and under "" with all, from one fit of the judge's `domains`.

    `test` and `known` (validation, where the threshold is picked) are vectors (n, d) and labels (n,), None for none.
    """
    tested, checked = _Seen(domains, *test), _Seen(domains, *known)
    return {
        part: drawn_figures(tested.without(part), picked(checked.without(part)) if checked.some_outside else None, seed)
        for part in ("", *PARTS)
    }


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
