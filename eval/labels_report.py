"""Labelled requests, judged -> the figures of `shoal eval labels`. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import calibration_error, redraws
from eval.drawn import SHARE, Drawn
from eval.few import FEW
from eval.metrics import abstain_at, auroc, best_threshold, ece, fpr_at, reliability
from eval.samples import Labelled
from router.judgement import Judgement

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

PAIR: Final = ("in_scope_accuracy", "recall")
"""What a threshold of the out-of-domain score is judged by."""

CONFUSIONS: Final = 40
"""Pairs of labels that are most often mistaken."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What was said of n requests, and what was true."""

    right: Bools
    inside: Bools
    """Whether a request is in any domain."""
    sure: Doubles
    """Probability of the likeliest domain."""
    familiarity: Doubles

    @classmethod
    def of(cls, rows: Sequence[Labelled], judged: Sequence[Judgement]) -> Marks:
        """From requests and what the judge said of them."""
        return cls(
            np.array([j.label == r.label for j, r in zip(judged, rows, strict=True)], bool),
            np.array([r.label is not None for r in rows], bool),
            np.array([max(j.probability.values()) for j in judged], float),
            np.array([j.familiarity for j in judged], float),
        )

    def take(self, at: Indices) -> Marks:
        """Some of them, as often as they are named."""
        return Marks(self.right[at], self.inside[at], self.sure[at], self.familiarity[at])


def figures(test: Marks, threshold: float | None, *, some_outside: bool) -> dict[str, float]:
    """The figures that are drawn again; those of the out-of-domain score only where there are such requests.

    NaN where a draw holds nothing that a figure is about.
    """
    found = {"accuracy": float(test.right[test.inside].mean()) if test.inside.any() else float("nan")}
    if some_outside:
        found |= {"auroc": auroc(test.familiarity, test.inside), "fpr95": fpr_at(test.familiarity, test.inside)}
    if threshold is not None:
        at = abstain_at(threshold, test.familiarity, test.right, test.inside)
        found |= {"in_scope_accuracy": at.in_scope_accuracy, "recall": at.recall}
    return found


def drawn_figures(test: Marks, threshold: float | None, seed: int) -> dict[str, Drawn]:
    """The same and the calibration error, each with its draws."""
    inside, some = test.inside, not test.inside.all()
    again = [figures(test.take(at), threshold, some_outside=some) for at in redraws(len(test.right), seed)]
    found = figures(test, threshold, some_outside=some)
    counts = int(inside.sum()), int((~inside).sum())
    bearing = dict.fromkeys(found, min(counts)) | {
        "accuracy": counts[0],
        "in_scope_accuracy": counts[0],
        "recall": counts[1],
    }
    sure = {
        name: Drawn(value, np.array([each[name] for each in again]), SHARE)
        if bearing[name] >= FEW
        else Drawn.of_few(value, SHARE)
        for name, value in found.items()
    }
    return sure | {"ece": calibration_error(test.sure[inside], test.right[inside].astype(float), seed)}


def out_of_scope(test: Marks, known: Marks) -> dict[str, Any]:
    """The `oos` object: what the out-of-domain score separates, and the pairs at thresholds picked on `known` only.

    The pairs are None where `known` has nothing out of scope, for no threshold is picked then.
    """
    found: dict[str, Any] = {
        "auroc": auroc(test.familiarity, test.inside),
        "fpr95": fpr_at(test.familiarity, test.inside),
    }
    for name, balanced in (("overall", False), ("balanced", True)):
        threshold = picked(known, balanced=balanced)
        if threshold is None:
            return found | dict.fromkeys(("overall", "balanced", *PAIR))
        at = abstain_at(threshold, test.familiarity, test.right, test.inside)
        found[name] = {"threshold": at.threshold, "in_scope_accuracy": at.in_scope_accuracy, "recall": at.recall}
    return found | {key: found["overall"][key] for key in PAIR}


def picked(known: Marks, *, balanced: bool = False) -> float | None:
    """The threshold that handles most of the validation requests well; None when none is out of scope."""
    if known.inside.all():
        return None
    return best_threshold(known.familiarity, known.right, known.inside, balanced=balanced)


def by_class(rows: Sequence[Labelled], judged: Sequence[Judgement]) -> dict[str, Any]:
    """Every label's rows, recall and precision, the pairs mistaken most often, and the requests that failed.

    `accuracy_by_class` is the mean of the recalls: what a test with as many rows of each label would have shown.
    """
    pairs = [(r.label, j.label or "") for r, j in zip(rows, judged, strict=True) if r.label is not None]
    should, said, hits = (
        Counter(a for a, _ in pairs),
        Counter(b for _, b in pairs),
        Counter(a for a, b in pairs if a == b),
    )
    missed = Counter((a, b) for a, b in pairs if a != b)
    return {
        "accuracy_by_class": sum(hits[name] / count for name, count in should.items()) / max(len(should), 1),
        "per_class": {
            str(name): {
                "rows": count,
                "recall": hits[name] / count,
                "precision": hits[name] / said[name] if said[name] else None,
            }
            for name, count in sorted(should.items(), key=lambda each: (hits[each[0]] / each[1], str(each[0])))
        },
        "confusions": [{"label": a, "said": b, "rows": count} for (a, b), count in missed.most_common(CONFUSIONS)],
        "failures": [
            {"input": r.input, "label": r.label, "said": j.label, "probability": max(j.probability.values())}
            for r, j in zip(rows, judged, strict=True)
            if r.label is not None and j.label != r.label
        ],
    }


def claims(test: Marks) -> dict[str, Any]:
    """Accuracy without a threshold, and whether the probabilities are honest."""
    sure, right = test.sure[test.inside], test.right[test.inside]
    return {"accuracy": float(right.mean()), "ece": ece(sure, right), "calibration": reliability(sure, right)}
