"""Savings as a curve: what was saved since the period began, at the end of each step; its last point is the total.

All of it is of routed requests. Where enough conversations were held back in the period it is the measured figure, with
its interval as a band; where not, the same tokens at the fallback's rate, with everything charged that was spent.
"""

from __future__ import annotations

import math
import sqlite3
from typing import Any, Final

from router.board.period import Period
from router.meter.amounts import MEASURED, WHOLE
from router.meter.paired import UNITS, Paired, read_up_to
from router.meter.savings import Standing
from router.meter.verified import measured, same_tokens, whole

LOOKS: Final = 24
"""Steps at whose end the estimate is made."""

_COLUMNS: Final = ("share", "low", "high", "same_tokens")

Columns = dict[str, dict[str, list[float | None]]]


def savings(connection: sqlite3.Connection, period: Period, found: str) -> dict[str, Any]:
    """Share saved of routed requests' cost, energy and CO2e, None where it is not known; and whose word that is.

    `found` is how far the whole period's figure can be believed. `low` and `high` are the interval's bounds as columns,
    and `same_tokens` is the usual figure beside it; None where nothing is measured.
    """
    unverified = found == Standing.UNVERIFIED
    many = len(period.steps)
    curves: Columns = {unit: {name: [None] * many for name in _COLUMNS} for unit in UNITS}
    places = range(many - 1, -1, -1 if unverified else -math.ceil(many / LOOKS))[::-1]
    ends_us = [min((period.steps[place] + 1) * period.step_us, period.until_us) for place in places]
    for place, paired in zip(places, read_up_to(connection, period.since_us, ends_us), strict=True):
        for unit, values in _point(paired, unverified).items():
            for name, value in values.items():
                curves[unit][name][place] = value
    if unverified:
        plain = {unit: {**dict.fromkeys(_COLUMNS), "share": curve["share"]} for unit, curve in curves.items()}
        return {"status": found, "method": WHOLE, **plain}
    return {"status": found, "method": MEASURED, **curves}


def _point(paired: Paired, unverified: bool) -> dict[str, dict[str, float | None]]:
    """What the report would say at one moment, by unit."""
    if unverified:
        return {unit: {"share": share} for unit, share in whole(paired)["share"].items()}
    if not paired.sure:
        return {}
    shares, usual = measured(paired), same_tokens(paired)
    return {unit: {**{name: shares[name][unit] for name in shares}, "same_tokens": usual[unit]} for unit in UNITS}
