"""From the ledger's rows to the traffic that savings are estimated from.

Only routed requests count: who names an expert would not have asked the fallback instead. What was spent on requests
that failed or whose client left is charged, and nothing is credited for them. Whole hours are read from their sums;
rows of held-back requests are kept for ever.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from router.meter.holdback import WINDOW_DAYS, Seen
from router.meter.kept import kept_tariffs
from router.meter.record import BESIDE, Arm, Status
from router.meter.rows import FIRST_BESIDE_N, SHADOW_N
from router.meter.savings import Doubles, Held, Standing, Traffic, estimate, standing
from router.meter.spans import FOREVER_US, Source, spans

UNITS: Final = ("cost", "energy", "co2")

_SPENT: Final = "SELECT {amounts} FROM {attempts} WHERE {bounds} AND r.policy IS NOT NULL"

_ROUTER: Final = "SELECT 0, {router} FROM {requests} WHERE {bounds} AND r.policy IS NOT NULL"

_KNOWN: Final = """
SELECT {amounts} FROM {attempts} WHERE {bounds} AND r.policy IS NOT NULL
AND {own}.status = {ok} AND {own}.expert = r.answered_by AND {own}.role NOT IN ({beside}) AND r.answered_by = {fallback}
"""

_SMALL: Final = """
SELECT r.label, {count}, {tokens}, {amounts} FROM {attempts} WHERE {bounds} AND r.policy IS NOT NULL
AND {own}.status = {ok} AND {own}.expert = r.answered_by AND r.arm = {normal} AND r.answered_by <> {fallback}
GROUP BY 1
"""

_SAME_TOKENS: Final = """
SELECT {alone} FROM {requests} WHERE {bounds} AND r.policy IS NOT NULL
AND r.arm = {normal} AND r.answered_by <> {fallback}
"""

_HELD: Final = f"""
SELECT r.ts_us, r.label, s.input_tokens, s.output_tokens, r.pi_ppm / 1e6, r.conversation, f.cost_nusd, f.energy_uj,
       f.co2_ug
FROM requests r
JOIN attempts s ON s.request_id = r.request_id AND s.n = :shadow AND s.status = :ok
JOIN attempts f ON f.request_id = r.request_id AND f.n < :first_beside AND f.expert = r.fallback AND f.status = :ok
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until AND r.arm = {int(Arm.HOLDBACK)}
ORDER BY r.ts_us, r.request_id
"""  # noqa: S608 (made of constants; written out, so that the index of those held back is used)


@dataclass(frozen=True, slots=True)
class Paired:
    """A period's traffic as the estimator takes it, and the naive figure's parts; units are those of the ledger."""

    traffic: Traffic
    same_tokens: Doubles
    """(u,), the small answers' tokens at the fallback's rate."""
    small_spent: Doubles
    """(u,), what those answers themselves took."""

    @property
    def eligible(self) -> int:
        """Requests whose answer a small expert gave, or would have given."""
        return int(self.traffic.rows.sum()) + len(self.traffic.held.domain)


def read(connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None) -> Paired:
    """The routed requests that began in a period (microseconds since 1970, end not included, None for open)."""
    return read_up_to(connection, since_us, [until_us])[0]


def read_up_to(connection: sqlite3.Connection, since_us: int | None, ends_us: Sequence[int | None]) -> list[Paired]:
    """The same of several periods with one beginning, the shortest first; the ledger is read once."""
    fallback = fallback_of(connection)
    held = _HeldRows(connection.execute(_HELD, _parameters(since_us, ends_us[-1])).fetchall())
    spent, known, same_tokens = np.zeros(3), np.zeros(3), np.zeros(3)
    small: defaultdict[int | None, Doubles] = defaultdict(lambda: np.zeros(6))
    found, at_us = [], since_us
    for end_us in ends_us:
        for source, bounds in spans(connection, at_us, end_us):
            spent = spent + _one(connection, _SPENT, source, bounds) + _one(connection, _ROUTER, source, bounds)
            known = known + _one(connection, _KNOWN, source, (*bounds, fallback))
            same_tokens = same_tokens + _one(connection, _SAME_TOKENS, source, (*bounds, fallback))
            for label, *numbers in connection.execute(_query(_SMALL, source), (*bounds, fallback)):
                small[label] = small[label] + np.array(numbers, float)
        labels, before = held.up_to(end_us, small)
        table = np.array([small.get(label, np.zeros(6)) for label in labels] or [np.zeros(6)])
        traffic = Traffic(spent, known, table[:, 0], table[:, 1:3], before)
        found.append(Paired(traffic, same_tokens, table[:, 3:].sum(axis=0)))
        at_us = end_us
    return found


class _HeldRows:
    """What was held back, in the order of time."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._ts_us = [row[0] for row in rows]
        # Names are numbered from 1, so 0 stands for no domain.
        self._label = np.array([row[1] or 0 for row in rows], np.intp)
        self._numbers = np.array([[*row[2:5], *row[6:]] for row in rows], float).reshape(-1, 6)
        talks = {talk: at for at, talk in enumerate(dict.fromkeys(row[5] for row in rows))}
        self._talk = np.array([talks[row[5]] for row in rows], np.intp)

    def up_to(self, end_us: int | None, others: Iterable[int | None]) -> tuple[list[int | None], Held]:
        """Those that began before a moment, and all domains, the `others` too, in the order of `Held.domain`."""
        count = len(self._ts_us) if end_us is None else bisect_left(self._ts_us, end_us)
        label = self._label[:count]
        known = np.union1d(label, np.array([each or 0 for each in others], np.intp))
        held = Held(
            domain=np.searchsorted(known, label),
            points=self._numbers[:count, :2],
            fallback=self._numbers[:count, 3:],
            rate=self._numbers[:count, 2],
            conversation=self._talk[:count],
        )
        return [each or None for each in known.tolist()], held


def fallback_of(connection: sqlite3.Connection) -> str | None:
    """The fallback that charged last; None before anything was charged."""
    tariffs = kept_tariffs(connection)
    return tariffs[max(tariffs)].fallback.expert if tariffs else None


def seen(paired: Paired, days: float) -> Seen:
    """What the next rate is planned from, of a period of so many days."""
    held = paired.traffic.held
    eligible = round(paired.eligible * WINDOW_DAYS / days)
    conversations = len(np.unique(held.conversation))
    if standing(held) is Standing.UNVERIFIED or not held.fallback.any():
        return Seen(eligible, conversations)
    unit = int(np.argmax(held.fallback.any(axis=0)))
    values = held.fallback[:, unit]
    points = np.hstack([np.ones((len(values), 1)), held.points])
    missed = values - points @ np.linalg.lstsq(points, values, rcond=None)[0]
    whole = estimate(paired.traffic)[unit].counterfactual
    return Seen(
        eligible,
        conversations,
        variation=float(values.std() / values.mean()),
        explained=float(np.clip(1 - missed.var() / max(values.var(), 1e-9), 0, 0.99)),
        doubt=float(np.clip(1 - paired.traffic.known[unit] / whole, 0.01, 1)),
    )


def _parameters(since_us: int | None, until_us: int | None) -> dict[str, int]:
    return {
        "since": since_us or 0,
        "until": FOREVER_US if until_us is None else until_us,
        "ok": Status.OK,
        "shadow": SHADOW_N,
        "first_beside": FIRST_BESIDE_N,
    }


def _one(connection: sqlite3.Connection, query: str, source: Source, parameters: tuple[Any, ...]) -> Doubles:
    return np.array(connection.execute(_query(query, source), parameters).fetchone(), float)


def _query(query: str, source: Source) -> str:
    return query.format(
        bounds=source.bounds,
        attempts=source.attempts,
        requests=source.requests,
        count=source.count,
        own=source.own,
        fallback="(SELECT id FROM names WHERE name = ?)",
        ok=int(Status.OK),
        normal=int(Arm.NORMAL),
        beside=", ".join(str(int(role)) for role in sorted(BESIDE)),
        tokens=source.total("input_tokens", "output_tokens", of=source.own),
        amounts=source.total("cost_nusd", "energy_uj", "co2_ug", of=source.own),
        router=source.total("router_energy_uj", "router_co2_ug"),
        alone=source.total("counterfactual_cost_nusd", "counterfactual_energy_uj", "counterfactual_co2_ug"),
    )
