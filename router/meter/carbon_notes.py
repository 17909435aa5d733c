"""Carbon of the past by another table, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.meter.totals import Report
from router.meter.units import grams, many
from router.meter.verdict import between


def by_another_table(found: Report) -> list[str]:
    """Carbon by another table, where one was asked for."""
    if (by := found.regrid) is None:
        return []
    told = f"By the carbon of {', '.join(by['grids'])}: {_both(by, by['compared_requests'])}"
    hours = by["hours"]
    whole = hours["of_their_own"] + hours["of_their_year"]
    if hours["of_their_own"] and hours["of_their_year"]:
        told += f"; {many(hours['of_their_year'], 'hour')} of {whole:,} by the year, for the file has a gap there"
    if (sure := by["measured"]) is not None:
        alone, spent = (sure[f"{side}_co2_g"] * 1e6 for side in ("counterfactual", "spent"))
        share = between(sure["low"], sure["share"], sure["high"])
        told += f"; measured, {grams(spent, alone)} of {grams(alone)}, {share} saved"
    elif found.routed and found.routed["share"] is not None:
        told += "; no measured saving, for these hours weigh differently and the estimate is of them all together"
    if by["marginal"] is not None:
        told += "; by its marginal figures, which only say what a change of load does: "
        told += _both(by["marginal"], by["compared_requests"])
    elif hours["with_marginal"]:
        told += f"; by no marginal figures, for the file has them of {hours['with_marginal']:,} of {whole:,} hours only"
    return [f"{told}."]


def _both(by: Mapping[str, Any], compared: int) -> str:
    """All that was spent, and only on the same requests what it is compared with."""
    spent_ug, same_ug, alone_ug = (by[f"{name}co2_g"] * 1e6 for name in ("", "compared_", "counterfactual_"))
    of = "request that is compared" if compared == 1 else "requests that are compared"
    return (
        f"{grams(spent_ug)} spent in all; on the {compared:,} {of} {grams(same_ug, alone_ug)}, "
        f"by the fallback alone {grams(alone_ug)} (same-token guess)"
    )
