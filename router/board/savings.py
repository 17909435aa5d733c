"""Savings as a curve: what was saved since the period began, at the end of each step; its last point is the total.

Where enough conversations were held back it is the verified figure, with its interval as a band; before, and where
nobody is, the plain same-token estimate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from router.board.period import Period
from router.board.series import Step
from router.meter.paired import UNITS, read
from router.meter.savings import Standing, estimate, standing
from router.meter.totals import METHOD, Sum, savings_json

VERIFIED: Final = "randomised paired holdback: a few conversations are answered both ways; 95 % interval of each point"


def savings(connection: sqlite3.Connection, period: Period, steps: Sequence[Step]) -> dict[str, Any]:
    """Share saved of cost, energy and CO2e, None where it is not known; and whose word that is.

    `low` and `high` are the interval's bounds, as columns; None when the method knows none.
    """
    found = standing(read(connection, *period.bounds).traffic.held)
    if found is Standing.UNVERIFIED:
        return {"status": str(found), "method": METHOD, **_plain(steps)}
    return {"status": str(found), "method": VERIFIED, **_verified(connection, period)}


def _plain(steps: Sequence[Step]) -> dict[str, Any]:
    spent, fallback = Sum(), Sum()
    shares = []
    for step in steps:
        spent += step.spent
        fallback += step.fallback
        shares.append(savings_json(fallback, spent)["share"])
    return {unit: {"share": [share[unit] for share in shares], "low": None, "high": None} for unit in UNITS}


def _verified(connection: sqlite3.Connection, period: Period) -> dict[str, Any]:
    curves: dict[str, dict[str, list[float | None]]] = {unit: {"share": [], "low": [], "high": []} for unit in UNITS}
    for number in period.steps:
        end_us = min((number + 1) * period.step_us, period.until_us)
        traffic = read(connection, period.since_us, end_us).traffic
        known = standing(traffic.held) is not Standing.UNVERIFIED
        points = estimate(traffic) if known else [None] * len(UNITS)
        for unit, point in zip(UNITS, points, strict=True):
            for bound, column in curves[unit].items():
                value = None if point is None else getattr(point, bound)
                column.append(value if value is not None and abs(value) < float("inf") else None)
    return curves
