"""Savings as a curve: what was saved since the period began, at the end of each step; its last point is the total.

All of it is of routed requests. Where enough conversations were held back in the period it is the measured figure, with
its interval as a band; where not, the same tokens at the fallback's rate, with everything charged that was spent. Where
some money has no price, the curve of money is of that part of the requests of which all has one, and is told apart.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from router.board.period import Period
from router.meter.amounts import MEASURED, WHOLE, saved_known
from router.meter.paired import UNITS, Paired, read_up_to
from router.meter.priced import gaps_of
from router.meter.savings import Standing
from router.meter.verified import compared, known_part, measured, same_tokens, whole

LOOKS: Final = 24
"""Steps at whose end the estimate is made."""

_COLUMNS: Final = ("share", "low", "high", "same_tokens")

Curve = dict[str, list[float | None] | None]
"""Columns of `_COLUMNS`, with a place for each step."""

_Looks = Sequence[tuple[int, Paired]]
"""Steps, and the requests up to the end of each."""


def savings(connection: sqlite3.Connection, period: Period, found: str) -> dict[str, Any]:
    """Share saved of routed requests' cost, energy and CO2e, None where it is not known; and whose word that is.

    `found` is how far the whole period's figure can be believed. `low` and `high` are the interval's bounds as columns,
    and `same_tokens` is the usual figure beside it; None where nothing is measured. `priced_part` has the same columns
    of money for the requests of which all of it is known, how many `of` all these are, and how far that can be
    believed (`status`); None where all money is known, or of none.
    """
    unverified = found == Standing.UNVERIFIED
    many = len(period.steps)
    places = range(many - 1, -1, -1 if unverified else -math.ceil(many / LOOKS))[::-1]
    ends_us = [min((period.steps[place] + 1) * period.step_us, period.until_us) for place in places]
    looks = list(zip(places, read_up_to(connection, period.since_us, ends_us), strict=True))
    return {
        "status": found,
        "method": WHOLE if unverified else MEASURED,
        **_curves(looks, many, unverified),
        "priced_part": _priced_part(connection, period, ends_us, looks),
    }


def _priced_part(
    connection: sqlite3.Connection, period: Period, ends_us: Sequence[int], looks: _Looks
) -> dict[str, Any] | None:
    """Which requests they are is settled by the whole period, so that all points are of the same kind of requests."""
    everything = looks[-1][1]
    if saved_known(compared(everything)):
        return None
    gaps = gaps_of(connection, period.since_us, period.until_us)
    priced = read_up_to(connection, period.since_us, ends_us, gaps)
    told = known_part(everything, priced[-1], gaps)
    if told is None or told["share"] is None:
        return None
    parts = [(place, paired) for (place, _), paired in zip(looks, priced, strict=True)]
    curve = _curves(parts, len(period.steps), told["standing"] == Standing.UNVERIFIED)["cost"]
    return {"status": told["standing"], "requests": told["requests"], "of": told["of"], **curve}


def _curves(looks: _Looks, many: int, unverified: bool) -> dict[str, Curve]:
    """By unit."""
    columns = {unit: {name: list[float | None]([None]) * many for name in _COLUMNS} for unit in UNITS}
    for place, paired in looks:
        for unit, values in _point(paired, unverified).items():
            for name, value in values.items():
                columns[unit][name][place] = value
    told = {"share"} if unverified else {*_COLUMNS}
    return {unit: {name: curve[name] if name in told else None for name in _COLUMNS} for unit, curve in columns.items()}


def _point(paired: Paired, unverified: bool) -> dict[str, dict[str, float | None]]:
    """What the report would say at one moment, by unit."""
    if unverified:
        return {unit: {"share": share} for unit, share in whole(paired)["share"].items()}
    if not paired.sure:
        return {}
    shares, usual = measured(paired), same_tokens(paired)
    return {unit: {**{name: shares[name][unit] for name in shares}, "same_tokens": usual[unit]} for unit in UNITS}
