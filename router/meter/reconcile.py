"""Money of all requests, reconciled with that of the part of which all of it has a price. Pure.

Both are estimates, each from its own held-back requests. The few of a domain that is left out of the part are pooled
with those of others in the estimate of all: one unusual pair there moves it by as much as all of those domains count
for, so that it may say that the fallback alone would have cost less for all requests than for some of them. What it
cost where it did answer is known, and of the rest nothing costs less than nothing. Where the difference of the two
estimates contradicts that, it is no estimate of what was left out; then that is told by those held back among them, and
added to the part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from router.meter.paired import Paired
from router.meter.segment import COST, UNPRICED, Segment


def reconciled(everything: Paired, priced: Paired) -> Paired:
    """All requests, their money at least that of the `priced` ones and what is known of those left out."""
    parts = {(each.fallback, each.model): each for each in priced.sure if UNPRICED in each.undrawn}
    each = ((segment, parts.get((segment.fallback, segment.model))) for segment in everything.segments)
    return Paired(tuple(segment if part is None else _reconciled(segment, part) for segment, part in each))


def contradicted(guess: Mapping[str, Any], measured: Mapping[str, Any]) -> bool:
    """Whether a guess says that more of the fallback's bill is avoided by a part than what is measured says of all."""
    part, whole = (told["fallback_bill_avoided"]["usd"] for told in (guess, measured))
    return None not in (part, whole) and part > whole


def _reconciled(segment: Segment, part: Segment) -> Segment:
    told, of_part = ((each.alone().total[COST], each.alone().avoidable[COST]) for each in (segment, part))
    avoidable = told[1] / told[0] if told[0] > 0 else 1.0
    known_nusd = segment.traffic.known[COST] - part.traffic.known[COST]
    likely_nusd = known_nusd + _unknown_nusd(segment, part)
    least, likely = ((of_part[0] + nusd, of_part[1] + nusd * avoidable) for nusd in (known_nusd, likely_nusd))
    if told[0] >= least[0] and told[1] >= least[1]:
        return segment
    return replace(segment, money_nusd=(float(likely[0]), float(likely[1])))


def _unknown_nusd(segment: Segment, part: Segment) -> float:
    """What the fallback would have cost for the small answers that were left out.

    As much a request as for those held back among them, of which each stands for (1 - p) / p others; where there is
    none, the same tokens at its rate.
    """
    (rows, weight, cost_nusd), of_part = (
        (each.traffic.rows.sum(), weight.sum(), weight @ each.traffic.held.fallback[:, COST])
        for each in (segment, part)
        for weight in [(1 - each.traffic.held.rate) / each.traffic.held.rate]
    )
    others = len(segment.traffic.held.domain) - len(part.traffic.held.domain)
    if not others:
        return float(segment.same_tokens[COST] - part.same_tokens[COST])
    return float((rows - of_part[0]) * (cost_nusd - of_part[2]) / (weight - of_part[1]))
