"""What an expert's answers saved, by those held back that it answered in the shadow, with its interval. Pure.

Only of the time in which enough was held back, and of the requests that could be: a guess about the rest has no
interval, and would stand here under the name of those held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from router.meter.amounts import amounts, saved_money
from router.meter.clustered import Doubles, student
from router.meter.paired import Paired
from router.meter.savings import Alone
from router.meter.segment import COST, ENERGY
from router.meter.verified import compared

_AMOUNTS: Final = ("avoidable_usd", COST, 1e9), ("energy_j", ENERGY, 1e6)
"""Where each stands among the units, and how many of the ledger's make one."""


def saved(paired: Paired) -> dict[str, Any]:
    """Of an expert's answers, as in `verified.figures`; `low` and `high` are of amounts. Some of the time is sure.

    `requests` are those that it is measured on, `of` all of its answers that are compared.
    """
    sure = paired.sure
    parts, alone = [(each, each.plain) for each in sure], [each.alone() for each in sure]
    whole, avoidable = (np.sum([getattr(each, name) for each in alone], axis=0) for name in ("total", "avoidable"))
    spent = np.sum([plain.spent for _, plain in parts], axis=0)
    told = amounts(parts, spent, whole, saved_money(parts, float(whole[COST]), float(avoidable[COST])))
    reach = _reach(alone)
    return {
        "standing": paired.standing,
        "held_back": sum(each.traffic.held.conversations for each in sure),
        "requests": sum(plain.requests for _, plain in parts),
        "of": sum(plain.requests for _, plain in compared(paired)),
        **told,
        "low": _end(told, -reach),
        "high": _end(told, reach),
    }


def _reach(alone: Sequence[Alone]) -> Doubles:
    """Half an interval's width (u,), of what is avoidable; degrees of freedom as in `savings.added`."""
    variance = np.stack([each.covariance.diagonal()[len(each.total) :] for each in alone])
    freedom = np.array([[max(each.freedom, 1)] for each in alone])
    of_all, shaky = variance.sum(axis=0), (variance**2 / freedom).sum(axis=0)
    many = [whole**2 / part if part > 0 else np.inf for whole, part in zip(of_all, shaky, strict=True)]
    found: Doubles = np.array([student(each) for each in many]) * np.sqrt(np.maximum(of_all, 0.0))
    return found


def _end(told: dict[str, Any], away: Doubles) -> dict[str, float | None]:
    """One end of the interval; of money None where some of it is not known."""
    return {name: None if told[name] is None else told[name] + float(away[at]) / many for name, at, many in _AMOUNTS}
