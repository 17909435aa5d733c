"""Savings as a curve: what was saved since the period began, at the end of each step; its last point is the total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from router.board.series import Step
from router.meter.totals import METHOD, Sum, savings_json

UNVERIFIED: Final = "estimate, unverified"
"""What the plain same-token figure is called wherever it is shown; it has no interval."""


def savings(steps: Sequence[Step]) -> dict[str, Any]:
    """Share saved of cost, energy and CO2e, None where the fallback would have taken nothing; and whose word that is.

    `low` and `high` are the interval's bounds, as columns; None when the method knows none.
    """
    spent, fallback = Sum(), Sum()
    shares = []
    for step in steps:
        spent += step.spent
        fallback += step.fallback
        shares.append(savings_json(fallback, spent)["share"])
    curves = {what: {"share": [share[what] for share in shares], "low": None, "high": None} for what in _WHAT}
    return {"status": UNVERIFIED, "method": METHOD, **curves}


_WHAT = ("cost", "energy", "co2")
