"""Does tuning pay? Rows that an encoder was not tuned on are judged by it and by the plain one, heads on the same rows.

What is compared is the probability that a row's own label gets: it is in points as accuracy is, but a row that was
nearly right counts nearly, so few rows tell more. Probabilities are made as sure as they are right on the very rows,
for either encoder, so what only sounds surer gains nothing. Accuracy has a veto, and so has how unlabelled rows stand
out. The rows may come in parts, each judged by an encoder tuned on the others, and decide before all are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.factory.encoder_check import BETTER, IN_DOMAIN_SHOTS, Checked, EncodeAll, Floats, harm
from experts.factory.lessons import Lessons, above, shots
from experts.head import LinearHead, temperature
from experts.regression import softmax

PARTS: Final = 3

WRONGLY: Final = 0.05
"""How often training that changes nothing may be taken for a gain, over all shares of the way together."""

FEWEST: Final = 30
"""Rows below which nothing is shown: a standard error of fewer is itself in doubt, and normal bounds are too narrow."""

ENOUGH: Final = 100
"""Rows judged from which on a part may decide before the others are trained."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What one encoder says of rows it was not tuned on; one entry a row."""

    files: NDArray[np.str_]
    right: NDArray[np.bool_]
    """Whether the likeliest label is the row's own."""
    own: Floats
    """Probability of the row's own label; 0 for one that the other parts do not have."""
    sharpness: Floats
    """What the row's head multiplies its scores by, once they are as sure as they are right of these rows."""
    above: Floats
    """Share of the file's unlabelled rows whose best score lies below the row's; NaN where it has none."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of several."""
        return cls(*(np.concatenate([getattr(each, name) for each in parts]) for name in cls.__slots__))

    def checked(self) -> Checked:
        """Accuracy by file, and AUROC of those that have unlabelled rows."""
        right, above = self._means(self.right), self._means(self.above)
        outside = {file: auroc for file, auroc in above.items() if not np.isnan(auroc)}
        rows = {str(file): int((self.files == file).sum()) for file in np.unique(self.files)}
        return Checked(right, rows, outside)

    def _means(self, figures: NDArray[Any]) -> dict[str, float]:
        """By file."""
        return {str(file): float(figures[self.files == file].mean()) for file in np.unique(self.files)}


@dataclass(frozen=True, slots=True)
class Gain:
    """Of the probability of a row's own label, over the same rows before and after."""

    mean: float
    doubt: float
    """Its standard error over rows."""
    rows: int
    before: Checked
    after: Checked
    sharper: float
    """How much sharper heads on the tuned encoder may be than those on the plain one; below 1 where less sharp."""

    @classmethod
    def of(cls, plain: Judged, tuned: Judged) -> Self:
        """Of two encoders on the same rows in the same order."""
        gains = (tuned.own - plain.own).astype(np.float64)
        doubt = float(gains.std(ddof=1)) / len(gains) ** 0.5
        sharper = float(np.exp(np.log(tuned.sharpness / plain.sharpness).mean()))
        return cls(float(gains.mean()), doubt, len(gains), plain.checked(), tuned.checked(), sharper)

    def pays(self, bound: float) -> bool:
        """Whether it is worth a file, beyond doubt by `bound` standard errors, and no figure of a file fell."""
        return (
            self.rows >= FEWEST
            and self.mean >= BETTER
            and self.mean > bound * self.doubt
            and not harm(self.before, self.after)
        )

    def hopeless(self, bound: float) -> bool:
        """Whether it is too little beyond doubt."""
        return self.mean + bound * self.doubt < BETTER

    def to_json(self) -> dict[str, float]:
        """For the card, rounded."""
        return {"own_label": round(self.mean, 4), "standard_error": round(self.doubt, 4), "rows": self.rows}


def judged(encode: EncodeAll, lessons: Sequence[Lessons]) -> Judged:
    """The check rows of `lessons`, judged by a head fitted on the others' vectors; some file has to have such."""
    return Judged.joined([_of_file(encode, one) for one in lessons if one.check_texts])


def sureness(gain: Gain, plain: EncodeAll, tuned: EncodeAll, lessons: Sequence[Lessons]) -> float:
    """What scores of heads on the rows trained on are multiplied by, to be as sure as they are right of rows not seen.

    How sharp heads make themselves by left-out examples is right with the plain encoder; with the tuned one it should
    be that times what rows it had not seen say. Heads of two parts of three say how much, but not how much too sharp
    those of all rows make themselves: the fewer rows an encoder has learnt, the better it knows them (ADR 0043).
    """
    return gain.sharper * _sharpness(plain, lessons) / _sharpness(tuned, lessons)


def bound(look: int, looks: int, shares: int) -> float:
    """Standard errors that a gain has to exceed after `look` of `looks` parts, where the best of `shares` is taken.

    It starts high and falls, so that looking early costs next to nothing: O'Brien and Fleming, A multiple testing
    procedure for clinical trials, 1979. The shares share what is allowed (Bonferroni).
    """
    return NormalDist().inv_cdf(1 - WRONGLY / shares) * float((looks / look) ** 0.5)


def paying(gains: Mapping[float, Gain], look: int, looks: int) -> list[float] | None:
    """The shares of the way that pay, the best first; none when none will; None when that is not known yet."""
    asked, rows = bound(look, looks, len(gains)), min(each.rows for each in gains.values())
    found = sorted((s for s in gains if gains[s].pays(asked)), key=lambda share: -gains[share].mean)
    if look == looks:
        return found
    hopeless = all(each.hopeless(asked) for each in gains.values())
    return found if rows >= ENOUGH and (found or hopeless) else None


def _head(encode: EncodeAll, one: Lessons) -> LinearHead:
    rows = shots(one.labels, IN_DOMAIN_SHOTS, 0)
    return LinearHead().fit(encode([one.texts[row] for row in rows]), one.labels[rows])


def _sharpness(encode: EncodeAll, lessons: Sequence[Lessons]) -> float:
    """What heads multiply their scores by, as their own left-out examples say; a file counts as it has rows."""
    found = [np.log(_head(encode, one).temperature_) for one in lessons]
    return float(np.exp(np.average(found, weights=[len(one.texts) for one in lessons])))


def _of_file(encode: EncodeAll, one: Lessons) -> Judged:
    head = _head(encode, one)
    scores = head.decision_function(encode(one.check_texts))
    at = np.searchsorted(head.classes_, one.check_labels).clip(max=len(head.classes_) - 1)
    known = head.classes_[at] == one.check_labels
    times = temperature(scores[known], at[known])
    own = np.where(known, softmax(scores * times)[np.arange(len(at)), at], np.float32(0))
    right = known & (scores.argmax(axis=1) == at)
    best = scores.max(axis=1)
    strange = head.decision_function(encode(one.outside)).max(axis=1) if one.outside else None
    over = np.full(len(at), np.nan, np.float32) if strange is None else above(best, strange)
    return Judged(np.full(len(at), one.name), right, own, np.full(len(at), head.temperature_ * times), over)
