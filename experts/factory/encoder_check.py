"""What a trained encoder must not harm: the same small heads on the plain vectors and on the new ones.

in domain   accuracy on the check rows of every file it was trained on, and how well their unlabelled ones stand out
guards      accuracy with few examples on files it was not trained on: what it must not have forgotten
general     cosine of its vectors to the plain ones, on texts about everything
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experts.factory.lessons import Lessons, shots
from experts.head import LinearHead

Floats = NDArray[np.float32]
EncodeAll = Callable[[Sequence[str]], Floats]

IN_DOMAIN_SHOTS: Final = 20
"""Examples of a label that a head for a trained file is fitted on; all of them would take minutes and rank the same."""

GUARD_SHOTS: Final = 10
SEEDS: Final = 5
"""Draws of the guards' few examples; their mean is compared."""

WORSE: Final = 0.003
"""How far a figure may fall before it counts as harm; about the noise of a thousand check rows over five draws.

An accuracy may always fall by one of its rows, which is more than that where they are few: see `allowed`.
"""

_ROUNDING: Final = 1e-9
"""Far below what one row of one draw is; a difference of two accuracies is seldom exactly the share it stands for."""

BETTER: Final = 0.003
"""Least mean gain that is worth another encoder file."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The figures of one encoder; accuracies and AUROC as shares of 1, by file."""

    in_domain: Mapping[str, float]
    rows: Mapping[str, int]
    """Check rows that an accuracy is of, by file, guards among them."""
    outside: Mapping[str, float] = field(default_factory=dict)
    """AUROC of a head's best score between labelled and unlabelled check rows, for files that have such."""
    guards: Mapping[str, float] = field(default_factory=dict)
    general_cosine: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """For the card, rounded."""
        by_file = {"in_domain": self.in_domain, "outside": self.outside, "guards": self.guards}
        rounded = {name: {file: round(one, 4) for file, one in found.items()} for name, found in by_file.items()}
        return {**rounded, "rows": dict(self.rows), "general_cosine": round(self.general_cosine, 4)}


def check(encode: EncodeAll, own: Checked, guards: Sequence[Lessons], general: Sequence[str], plain: Floats) -> Checked:
    """The figures of `encode`, its `own` ones among them; `plain` holds the plain vectors of the texts `general`."""
    encode = remembering(encode)
    cosine = float((encode(general) * plain).sum(axis=1).mean())
    rows = {**own.rows, **{one.name: len(one.check_texts) for one in guards}}
    return replace(own, guards={one.name: _few_shots(encode, one) for one in guards}, rows=rows, general_cosine=cosine)


def allowed(rows: int) -> float:
    """How far an accuracy on so many rows may fall before it counts as harm, for one row is always chance."""
    return max(WORSE, 1 / rows)


def harm(plain: Checked, tuned: Checked) -> list[str]:
    """Every figure that fell by more than `WORSE`, an accuracy also by more than one row, in words."""
    return [
        f"{name} {before:.2%} -> {after:.2%}"
        for name, before, after, least in _pairs(plain, tuned)
        if before - after > least + _ROUNDING
    ]


def remembering(encode: EncodeAll) -> EncodeAll:
    """The same encoder, which keeps what it made: the draws of few examples overlap."""
    known: dict[str, Floats] = {}

    def encode_all(texts: Sequence[str]) -> Floats:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            known.update(zip(new, encode(new), strict=True))
        return np.stack([known[text] for text in texts])

    return encode_all


def _pairs(plain: Checked, tuned: Checked) -> Iterator[tuple[str, float, float, float]]:
    """Name, figure before, figure after, how far it may fall."""
    accuracies = {file: allowed(rows) for file, rows in plain.rows.items()}
    for kind, before, after, falls in (
        ("accuracy on", plain.in_domain, tuned.in_domain, accuracies),
        ("AUROC of the unlabelled in", plain.outside, tuned.outside, dict.fromkeys(plain.outside, WORSE)),
        ("accuracy with few examples on", plain.guards, tuned.guards, accuracies),
    ):
        yield from ((f"{kind} {file}", figure, after[file], falls[file]) for file, figure in before.items())


def _few_shots(encode: EncodeAll, guard: Lessons) -> float:
    checks = encode(guard.check_texts)
    found = []
    for seed in range(SEEDS):
        rows = shots(guard.labels, GUARD_SHOTS, seed)
        head = LinearHead().fit(encode([guard.texts[row] for row in rows]), guard.labels[rows])
        said = head.classes_[head.decision_function(checks).argmax(axis=1)]
        found.append(float((said == guard.check_labels).mean()))
    return float(np.mean(found))
