"""Savings as a curve: what was saved since the period began, at the end of each step; its last point is the total.

Where enough conversations were held back it is the verified figure, with its interval as a band; before, and where
nobody is, the plain same-token estimate.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from router.board.period import Period
from router.board.series import Step
from router.meter.paired import UNITS, read_up_to
from router.meter.savings import Standing, estimate
from router.meter.totals import METHOD, Sum, savings_json

VERIFIED: Final = "randomised paired holdback: a few conversations are answered both ways; 95 % interval of each point"

LOOKS: Final = 24
"""Steps at whose end the estimate is made."""

Columns = dict[str, dict[str, list[float | None]]]


def savings(connection: sqlite3.Connection, period: Period, steps: Sequence[Step], found: str) -> dict[str, Any]:
    """Share saved of cost, energy and CO2e, None where it is not known; and whose word that is.

    `found` is how far the whole period's figure can be believed.

    `low` and `high` are the interval's bounds, as columns; None when the method knows none. `same_tokens` is then the
    usual figure beside it.
    """
    plain = _plain(steps)
    if found == Standing.UNVERIFIED:
        curves = {unit: {"share": plain[unit], "low": None, "high": None, "same_tokens": None} for unit in UNITS}
        return {"status": found, "method": METHOD, **curves}
    verified = _verified(connection, period)
    return {
        "status": found,
        "method": VERIFIED,
        **{unit: verified[unit] | {"same_tokens": plain[unit]} for unit in UNITS},
    }


def _plain(steps: Sequence[Step]) -> dict[str, list[float | None]]:
    spent, fallback = Sum(), Sum()
    shares = []
    for step in steps:
        spent += step.spent
        fallback += step.fallback
        shares.append(savings_json(fallback, spent)["share"])
    return {unit: [share[unit] for share in shares] for unit in UNITS}


def _verified(connection: sqlite3.Connection, period: Period) -> Columns:
    """Columns of all steps; None also between two looks."""
    many = len(period.steps)
    curves: Columns = {unit: {bound: [None] * many for bound in ("share", "low", "high")} for unit in UNITS}
    places = range(many - 1, -1, -math.ceil(many / LOOKS))[::-1]
    ends_us = [min((period.steps[place] + 1) * period.step_us, period.until_us) for place in places]
    for place, paired in zip(places, read_up_to(connection, period.since_us, ends_us), strict=True):
        if not paired.sure:
            continue
        for unit, point in zip(UNITS, estimate(*(each.traffic for each in paired.sure)), strict=True):
            for bound, column in curves[unit].items():
                value = getattr(point, bound)
                column[place] = value if abs(value) < float("inf") else None
    return curves
