"""What a budget takes of the requests that arrived lately, beside what it is expected to take.

An estimate holds for requests in the mix of those it rests on. What arrives comes in a mix of its own, and where that
differs so does what it takes. The ledger keeps what a judge needs of recent requests, so the judge and the threshold
that serve are asked about those again, whatever served when they came: after a lesson nobody waits for new traffic.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experts.spec import Registry
from router.judge import Judge
from router.ladder import Ladder
from router.learn.harvest import LOOKED_AT, Traffic, newest, nothing
from router.learn.moves import RECENT, chosen
from router.learn.trace import maker
from router.meter.errors import MeterUnavailable
from router.meter.ledger import read_ledger
from router.meter.tariff import Tariffs
from router.meter.units import plain
from router.promises.budget import FEWEST, Estimate, interval, takes
from router.promises.promises import Promises
from router.promises.usual import Answers, Usual

log = logging.getLogger("shoal.promises")


@dataclass(frozen=True, slots=True)
class Arrived:
    """Recent requests under a policy, every expert taken to be ready and able."""

    requests: int
    expected: float
    """In the unit of the policy's budget; it may lie by chance ..."""
    low: float
    high: float
    """... from the one to the other, as an estimate's."""
    shares: dict[str, float]
    """By the expert that answers."""
    contradicts: str | None
    """What speaks against the estimate; None where chance may be all that does."""


def with_recent(
    promises: Promises, judge: Judge, registry: Registry, tariffs: Tariffs, traffic: Traffic
) -> list[dict[str, Any]]:
    """Every promise by name, each budget's with `recent`: None where too few requests arrived under it."""
    told, ladder = promises.to_json(), Ladder.of(registry)
    usual = Usual.of(promises.answers or Answers(), registry)
    for each in told:
        found = promises.estimate(each["policy"])
        if found is not None:
            answering = _answering(each["policy"], promises, judge, ladder, traffic)
            arrived = _arrived(found, answering, registry, tariffs, usual) if answering.total() >= FEWEST else None
            each["recent"] = arrived and asdict(arrived)
    return told


def read_traffic(ledger: Path, encoder: str) -> Traffic:
    """The newest requests in a ledger, by an encoder's fingerprint; one that cannot be read is told."""
    try:
        with closing(read_ledger(ledger)) as connection:
            return newest(connection, maker(encoder), LOOKED_AT)
    except (MeterUnavailable, sqlite3.Error) as error:
        if ledger.exists():
            log.warning("what budgets take of recent requests is not known: %s", error)
        return nothing().traffic


def _answering(policy: str, promises: Promises, judge: Judge, ladder: Ladder, traffic: Traffic) -> Counter[str]:
    """How many of the newest requests under a policy each expert would answer now."""
    rows = [row for row, asked in enumerate(traffic.policies) if asked == policy][:RECENT]
    rule, asked_again = promises.rule(policy), [(traffic.vectors[row], traffic.features[row]) for row in rows]
    return Counter(chosen(ladder, judge.judge_anew(*each), rule) for each in asked_again)


def _arrived(found: Estimate, answering: Counter[str], registry: Registry, tariffs: Tariffs, usual: Usual) -> Arrived:
    names, n = [spec.id for spec in registry.experts], answering.total()
    each = dict(zip(names, takes(found.aim, names, registry.fallback, tariffs.by_expert, usual), strict=True))
    shares = {name: answering[name] / n for name in names if answering[name] or name in found.shares}
    expected = sum(share * each[name] for name, share in shares.items())
    low, high = interval(expected, max(each[name] for name in shares), n)
    apart = low > found.high or high < found.low
    return Arrived(n, expected, low, high, shares, _told(found, expected, (low, high), shares, n) if apart else None)


def _told(found: Estimate, expected: float, ends: tuple[float, float], shares: dict[str, float], n: int) -> str:
    most = max(shares, key=lambda name: abs(shares[name] - found.shares.get(name, 0.0)))
    low, high = (plain(end) for end in ends)
    return (
        f"the newest {n:,} requests under it would {found.taking(expected)} ({low} to {high}), and those it rests on "
        f"{plain(found.expected)} ({plain(found.low)} to {plain(found.high)}): they differ, or come in another "
        f"mix: {most} answers {shares[most]:.0%} of them and not {found.shares.get(most, 0.0):.0%}. Remedy: "
        "add examples or outcomes in the mix that arrives."
    )
