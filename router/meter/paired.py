"""From the ledger's rows to the traffic that savings are estimated from.

Only routed requests count: who names an expert would not have asked the fallback instead. Every row is read against the
fallback that was in force when it was served, which its tariffs name. What is estimated is what could be held back and
what the fallback was chosen for; of the rest, sums are given beside. What was spent on requests that failed or whose
client left is charged, and nothing is credited for them. Whole hours are read from their sums; rows of held-back
requests are kept for ever.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from router.meter.holdback import WINDOW_DAYS, Seen
from router.meter.hours_schema import DAY
from router.meter.kept import kept_tariffs, no_price
from router.meter.priced import NO_GAPS, Gaps
from router.meter.record import Arm, Status
from router.meter.rows import FIRST_BESIDE_N, SHADOW_N
from router.meter.savings import Standing, estimate, standing
from router.meter.segment import UNPRICED, Model, Segment
from router.meter.segment_sums import HeldRows, SegmentSums, model
from router.meter.spans import FOREVER_US, RAW, Divide, Source, covered, spans

UNITS: Final = ("cost", "energy", "co2")

Of = Literal["domain", "policy", "key", "day", "expert"]
"""What requests can be told apart by, and estimated by themselves: it is settled before anybody is drawn.

Of "expert" that is so of small answers alone: with those it gave stand the held back that it answered in the shadow.
"""

_ATTEMPTS: Final = """
SELECT {group}, r.coefficient_version, r.policy IS NOT NULL, r.arm, r.answered_by, r.label, {own}.expert, {own}.role,
       {own}.status, {own}.energy_method, {unpriced}, {count}, {tokens}, {amounts}
FROM {attempts} WHERE {bounds} AND {own}.status <> {interrupted} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
"""

_REQUESTS: Final = """
SELECT {group}, r.coefficient_version, r.label, r.arm, r.answered_by, r.router_method, {count}, {router}, {alone}
FROM {requests} WHERE {bounds} AND r.policy IS NOT NULL AND r.status <> {interrupted} GROUP BY 1, 2, 3, 4, 5, 6
"""

_HELD: Final = f"""
SELECT {{group}}, r.ts_us, r.fallback, r.label, s.input_tokens, s.output_tokens, r.pi_ppm / 1e6, r.conversation,
       f.cost_nusd, f.energy_uj, f.co2_ug, r.coefficient_version
FROM requests r
JOIN attempts s ON s.request_id = r.request_id AND s.n = :shadow AND s.status = :ok
JOIN attempts f ON f.request_id = r.request_id AND f.n < :first_beside AND f.expert = r.fallback AND f.status = :ok
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until AND r.arm = {int(Arm.HOLDBACK)}
  AND r.pi_ppm < 1000000
ORDER BY r.ts_us, r.request_id
"""  # noqa: S608 (made of constants; written out, so that the index of those held back is used)
"""Where all were held back nobody else is there to be told of."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A period's routed requests, in segments by the fallback that was in force and how large it was."""

    segments: tuple[Segment, ...]

    @property
    def sure(self) -> list[Segment]:
        """Those of which enough was held back."""
        return [each for each in self.segments if each.standing is not Standing.UNVERIFIED]

    @property
    def standing(self) -> Standing:
        """What the figure of the sure segments together may be called."""
        return standing(*(each.traffic.held for each in self.sure))

    @property
    def by_fallback(self) -> dict[str, Paired]:
        """By the fallback's id, whatever its size was."""
        found = defaultdict[str, list[Segment]](list)
        for each in self.segments:
            found[each.fallback].append(each)
        return {name: Paired(tuple(segments)) for name, segments in found.items()}

    def of(self, fallback: str) -> Segment | None:
        """The segment of a fallback; where it was of several sizes, of the one that answered the last held back."""
        own = [each for each in self.segments if each.fallback == fallback]
        return max(own, key=lambda each: each.held_us, default=None)

    @property
    def eligible(self) -> int:
        """Requests whose answer a small expert gave, or would have given, and that might be held back another time."""
        return sum(each.eligible for each in self.segments)


def read(
    connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None, divide: Divide = spans,
    gaps: Gaps = NO_GAPS,
) -> Paired:  # fmt: skip
    """The routed requests that began in a period (microseconds since 1970, end not included, None for open).

    `divide` says what is read from sums; what the `gaps` hold is left out.
    """
    return read_up_to(connection, since_us, [until_us], divide, gaps)[0]


def read_up_to(
    connection: sqlite3.Connection, since_us: int | None, ends_us: Sequence[int | None], divide: Divide = spans,
    gaps: Gaps = NO_GAPS,
) -> list[Paired]:  # fmt: skip
    """The same of several periods with one beginning, the shortest first; the ledger is read once."""
    sums, found = _Sums(connection, gaps), list[Paired]()
    at_us, until_us = covered(connection, since_us, ends_us[-1])
    held = _held(connection, None, at_us, until_us, gaps)
    for end_us in [*ends_us[:-1], until_us]:
        for source, bounds in divide(connection, at_us, end_us):
            sums.add(source, bounds)
        found.append(sums.paired(None, held[None], end_us))
        at_us = end_us
    return found


def read_by(
    connection: sqlite3.Connection, of: Of, since_us: int | None = None, until_us: int | None = None,
    divide: Divide = spans, gaps: Gaps = NO_GAPS,
) -> dict[int | None, Paired]:  # fmt: skip
    """The same of a period's requests in groups: by their number in `names`, or of the day since 1970."""
    since_us, until_us = covered(connection, since_us, until_us)
    sums, held = _Sums(connection, gaps, of), _held(connection, of, since_us, until_us, gaps)
    for source, bounds in divide(connection, since_us, until_us):
        sums.add(source, bounds)
    return {group: sums.paired(group, held[group], until_us) for group in sums.groups}


def _held(
    connection: sqlite3.Connection, of: Of | None, since_us: int | None, until_us: int | None, gaps: Gaps
) -> Mapping[int | None, HeldRows]:
    """Those held back, by group."""
    groups = defaultdict[int | None, list[tuple[Any, ...]]](list)
    query = _HELD.format(group="s.expert" if of == "expert" else _group(of, RAW))
    for group, *row in connection.execute(query, _parameters(since_us, until_us)):
        if not gaps.hold(row[-1], row[2]):
            groups[group].append(tuple(row))
    found = defaultdict[int | None, HeldRows](lambda: HeldRows([]))
    return found | {group: HeldRows(rows) for group, rows in groups.items()}


def _group(of: Of | None, source: Source) -> str:
    """As a part of a query."""
    columns = {None: "NULL", "domain": "r.label", "policy": "r.policy", "key": "r.key", "expert": "r.answered_by"}
    return source.cell(DAY.us) if of == "day" else columns[of]


class _Sums:
    """The rows read so far, by group and fallback, each size of it by itself."""

    def __init__(self, connection: sqlite3.Connection, gaps: Gaps, of: Of | None = None) -> None:
        self._connection = connection
        self._gaps = gaps
        self._of_what = of
        self._names: dict[int, str] = dict(connection.execute("SELECT id, name FROM names"))
        ids = {name: number for number, name in self._names.items()}
        self._tariffs = kept_tariffs(connection)
        self._fallback = {
            version: (ids.get(kept.fallback.expert, 0), model(kept)) for version, kept in self._tariffs.items()
        }
        self.groups: defaultdict[int | None, dict[tuple[int, Model], SegmentSums]] = defaultdict(dict)

    def paired(self, group: int | None, held: HeldRows, end_us: int | None) -> Paired:
        """A group as it stands, with those held back before a moment."""
        sums = self.groups[group]
        segments = [each.segment(held, end_us) for each in sorted(sums.values(), key=lambda each: each.order)]
        return Paired(tuple(each for each in segments if each.plain.requests or each.undrawn))

    def add(self, source: Source, bounds: tuple[int, int]) -> None:
        """Read one range."""
        requests, attempts = (_query(query, source, self._of_what) for query in (_REQUESTS, _ATTEMPTS))
        for group, version, label, arm, *told in self._connection.execute(requests, bounds):
            found, kept = self._of(group, version), self._tariffs.get(version or 0)
            left_out = self._gaps.hold(version, label)
            found.add_requests(kept, UNPRICED if left_out else arm, *told)
            found.unpriced |= not left_out and no_price(kept, told[-len(UNITS) :])
        for group, version, routed, arm, by, label, *told in self._connection.execute(attempts, bounds):
            arm = UNPRICED if self._gaps.hold(version, label) else arm
            self._of(group, version).add_attempts(self._tariffs.get(version or 0), routed, arm, by, label, *told)

    def _of(self, group: int | None, version: int | None) -> SegmentSums:
        """Of the fallback of a version; of `UNKNOWN` where the ledger has not kept it."""
        version, sums = version or 0, self.groups[group]
        fallback, size = self._fallback.get(version, (0, None))
        if (fallback, size) not in sums:
            sums[fallback, size] = SegmentSums(fallback, size, self._names)
        found = sums[fallback, size]
        found.charged(version, self._tariffs.get(version) if fallback else None)
        return found


def seen(paired: Paired, fallback: str, days: float) -> Seen:
    """What the next rate is planned from, of a period of so many days; `fallback` is the one that serves now."""
    eligible = round(paired.eligible * WINDOW_DAYS / days)
    segment = paired.of(fallback)
    if segment is None:
        return Seen(eligible, 0)
    held = segment.traffic.held
    if segment.standing is Standing.UNVERIFIED or not held.fallback.any():
        return Seen(eligible, held.conversations)
    unit = int(np.argmax(held.fallback.any(axis=0)))
    values = held.fallback[:, unit]
    points = np.hstack([np.ones((len(values), 1)), held.points])
    missed = values - points @ np.linalg.lstsq(points, values, rcond=None)[0]
    whole = estimate(segment.traffic)[unit].counterfactual
    return Seen(
        eligible,
        held.conversations,
        variation=float(values.std() / values.mean()),
        explained=float(np.clip(1 - missed.var() / max(values.var(), 1e-9), 0, 0.99)),
        doubt=float(np.clip(1 - segment.traffic.known[unit] / whole, 0.01, 1)),
    )


def _parameters(since_us: int | None, until_us: int | None) -> dict[str, int]:
    return {
        "since": since_us or 0,
        "until": FOREVER_US if until_us is None else until_us,
        "ok": Status.OK,
        "shadow": SHADOW_N,
        "first_beside": FIRST_BESIDE_N,
    }


def _query(query: str, source: Source, of: Of | None) -> str:
    return query.format(
        group=_group(of, source),
        bounds=source.bounds,
        attempts=source.attempts,
        requests=source.requests,
        count=source.count,
        unpriced=source.unpriced,
        own=source.own,
        interrupted=int(Status.INTERRUPTED),
        tokens=source.total("input_tokens", "output_tokens", "cached_tokens", of=source.own),
        amounts=source.total("cost_nusd", "energy_uj", "co2_ug", of=source.own),
        router=source.total("router_energy_uj", "router_co2_ug"),
        alone=source.total("counterfactual_cost_nusd", "counterfactual_energy_uj", "counterfactual_co2_ug"),
    )
