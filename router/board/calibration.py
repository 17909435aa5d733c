"""Whether "80 % sure" is right eight times in ten: stated probability against what turned out, in ten bins."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from router.board.period import Period
from router.judge import Judge
from router.meter.record import Arm, Role
from router.meter.ulid import ids_between

BINS: Final = 10

MOST_RATED: Final = 20_000
"""Of the newest rated answers looked at: enough for a hundredth of doubt in a bin of a tenth of them."""

_RATED: Final = f"""
SELECT r.probability_ppm, f.score_ppm,
  r.answered_by IS NOT r.fallback AND NOT (r.role = {int(Role.FALLBACK)} AND r.arm = {int(Arm.RESTRICTED)})
FROM feedback f CROSS JOIN requests r USING (request_id)
WHERE f.request_id BETWEEN ? AND ? AND r.ts_us >= ? AND r.ts_us < ?
  AND r.probability_ppm IS NOT NULL AND r.answered_by = r.expert
ORDER BY f.request_id DESC LIMIT {MOST_RATED}
"""  # noqa: S608 (made of constants)
"""The requests that the expert answered whose probability was stated, and whether that was a small expert.

A key that may not use the fallback has another of its own; where no other was sure enough, that one is none either.
CROSS: of feedback there is less."""


def from_feedback(connection: sqlite3.Connection, period: Period) -> dict[str, Any]:
    """The bins of what clients said of the period's answers, and `small_experts`: the mean score of these alone.

    A fallback with examples is judged as every expert is, so the bins have its answers too.
    """
    rated = connection.execute(_RATED, (*ids_between(*period.bounds), *period.bounds)).fetchall()
    of_small = [score / 1e6 for _, score, small in rated if small]
    return {
        "source": "feedback",
        "newest": MOST_RATED,
        **bins((stated / 1e6, score / 1e6) for stated, score, _ in rated),
        "small_experts": {"n": len(of_small), "mean_score": sum(of_small) / len(of_small) if of_small else None},
    }


def from_examples(judge: Judge, domain: Mapping[str, str]) -> dict[str, Any]:
    """The bins of the examples as judges see them that were fitted without them; `domain` is each expert's label.

    Of every example the best probability, and whether that expert was the right one.
    """
    told, (_, labels) = judge.left_out()[0], judge.known()
    pairs: list[tuple[float, float]] = []
    if len(told.rows) and told.probability.size:
        own = np.array([domain.get(expert, "") for expert in judge.classes_])
        right = own[told.probability.argmax(axis=1)] == labels[told.rows]
        pairs = list(zip(told.probability.max(axis=1).tolist(), right.astype(float).tolist(), strict=True))
    return {"source": "examples left out of the fit", **bins(pairs)}


def bins(pairs: Iterable[tuple[float, float]]) -> dict[str, Any]:
    """Ten equal bins over (stated probability, outcome from 0 to 1), their mean outcome and expected calibration error.

    ECE as in Guo et al., On Calibration of Modern Neural Networks, 2017: the gap of each bin, weighed by its share.
    """
    counts, stated, turned_out = [0] * BINS, [0.0] * BINS, [0.0] * BINS
    for probability, outcome in pairs:
        at = min(int(probability * BINS), BINS - 1)
        counts[at] += 1
        stated[at] += probability
        turned_out[at] += outcome
    n = sum(counts)
    rows = [
        {"from": at / BINS, "to": (at + 1) / BINS, "n": count, "stated": s / count, "turned_out": t / count}
        for at, (count, s, t) in enumerate(zip(counts, stated, turned_out, strict=True))
        if count
    ]
    gap = sum(abs(s - t) for s, t in zip(stated, turned_out, strict=True))
    return {"n": n, "ece": gap / n if n else None, "turned_out": sum(turned_out) / n if n else None, "bins": rows}
