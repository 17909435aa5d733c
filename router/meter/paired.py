"""From the ledger's rows to the traffic that savings are estimated from.

Only routed requests count: who names an expert would not have asked the fallback instead. Every row is read against the
fallback that was in force when it was served, which its tariffs name. What is estimated is what could be held back and
what the fallback was chosen for; of the rest, sums are given beside. What was spent on requests that failed or whose
client left is charged, and nothing is credited for them. Whole hours are read from their sums; rows of held-back
requests are kept for ever.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, Self

from router.meter.alike import Alike, alike, group_of
from router.meter.kept import kept_tariffs, no_price
from router.meter.priced import NO_GAPS, Gaps
from router.meter.record import Arm, Status
from router.meter.rows import FIRST_BESIDE_N, SHADOW_N
from router.meter.savings import Standing, standing
from router.meter.segment import UNPRICED, Model, Segment
from router.meter.segment_sums import HeldRows, SegmentSums, model
from router.meter.spans import FOREVER_US, RAW, Divide, covered, spans

UNITS: Final = ("cost", "energy", "co2")

_INTERRUPTED: Final = Status.INTERRUPTED
"""Looked up once: an enumeration finds its members more slowly than a module its names."""

Of = Literal["domain", "policy", "key", "day", "expert"]
"""What requests can be told apart by, and estimated by themselves: it is settled before anybody is drawn.

Of "expert" that is so of small answers alone: with those it gave stand the held back that it answered in the shadow.
"""

_HELD: Final = f"""
SELECT r.ts_us, r.fallback, r.label, s.input_tokens, s.output_tokens, r.pi_ppm / 1e6, r.conversation,
       f.cost_nusd, f.energy_uj, f.co2_ug, r.coefficient_version, {{group}}
FROM requests r
LEFT JOIN attempts s ON s.request_id = r.request_id AND s.n = :shadow
JOIN attempts f ON f.request_id = r.request_id AND f.n < :first_beside AND f.expert = r.fallback AND f.status = :ok
WHERE r.policy IS NOT NULL AND r.ts_us >= :since AND r.ts_us < :until AND r.arm = {int(Arm.HOLDBACK)}
  AND r.pi_ppm < 1000000 AND (s.n IS NULL OR s.status = :ok)
ORDER BY r.ts_us, r.request_id
"""  # noqa: S608 (made of constants; written out, so that the index of those held back is used)
"""Where all were held back nobody else is there to be told of. Of a lost pair, the small answer's tokens are NULL."""


_SMALL_TOKENS: Final = 3
"""Their place in such a row."""


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


@dataclass(frozen=True)
class Rows:
    """A period's rows in groups, read once: those that are alike added up, and each that was held back."""

    connection: sqlite3.Connection
    ranges: Sequence[Alike]
    held: Sequence[tuple[Any, ...]]
    """As `HeldRows` takes them, then the group."""
    lost: Counter[int | None]
    """By group, held-back answers beside which nothing stands: what ran there was lost, taken out, or goes on."""

    @classmethod
    def read(
        cls, connection: sqlite3.Connection, of: Of | None, since_us: int | None, until_us: int | None,
        divide: Divide = spans,
    ) -> Self:  # fmt: skip
        """Those that began in a period (microseconds since 1970, end not included, None for open)."""
        period = covered(connection, since_us, until_us)
        return cls.of(connection, of, *period, [alike(connection, each, of) for each in divide(connection, *period)])

    @classmethod
    def of(
        cls, connection: sqlite3.Connection, of: Of | None, since_us: int | None, until_us: int | None,
        ranges: Sequence[Alike],
    ) -> Self:  # fmt: skip
        """Those of a period whose ranges were read."""
        held, lost = held_rows(connection, of, since_us, until_us)
        return cls(connection, ranges, held, lost)

    def together(self, gaps: Gaps = NO_GAPS) -> Paired:
        """All of them; what the `gaps` hold is left out."""
        return self._together(gaps) if gaps else self._everybody

    @cached_property
    def _everybody(self) -> Paired:
        return self._together(NO_GAPS)

    def _together(self, gaps: Gaps) -> Paired:
        sums = _Sums(self.connection, gaps)
        for each in self.ranges:
            sums.add(each.together)
        return sums.paired(None, HeldRows(_without(gaps, self.held)), None)

    def by_group(self, gaps: Gaps = NO_GAPS) -> dict[int | None, Paired]:
        """Each group by itself."""
        sums, held = _Sums(self.connection, gaps), defaultdict[int | None, list[tuple[Any, ...]]](list)
        for each in self.ranges:
            sums.add(each)
        for row in _without(gaps, self.held):
            held[row[-1]].append(row)
        return {group: sums.paired(group, HeldRows(held[group]), None) for group in sums.groups}


def read(
    connection: sqlite3.Connection, since_us: int | None = None, until_us: int | None = None, divide: Divide = spans,
    gaps: Gaps = NO_GAPS,
) -> Paired:  # fmt: skip
    """The routed requests that began in a period (microseconds since 1970, end not included, None for open).

    `divide` says what is read from sums; what the `gaps` hold is left out.
    """
    return Rows.read(connection, None, since_us, until_us, divide).together(gaps)


def read_up_to(
    connection: sqlite3.Connection, since_us: int | None, ends_us: Sequence[int | None], gaps: Gaps = NO_GAPS
) -> list[Paired]:
    """The same of several periods with one beginning, the shortest first; the ledger is read once."""
    sums, found = _Sums(connection, gaps), list[Paired]()
    at_us, until_us = covered(connection, since_us, ends_us[-1])
    held = HeldRows(_without(gaps, held_rows(connection, None, at_us, until_us)[0]))
    for end_us in [*ends_us[:-1], until_us]:
        for each in spans(connection, at_us, end_us):
            sums.add(alike(connection, each, None))
        found.append(sums.paired(None, held, end_us))
        at_us = end_us
    return found


def held_rows(
    connection: sqlite3.Connection, of: Of | None, since_us: int | None, until_us: int | None
) -> tuple[list[tuple[Any, ...]], Counter[int | None]]:
    """Those held back, as in `Rows.held` and `Rows.lost`."""
    query = _HELD.format(group="s.expert" if of == "expert" else group_of(of, RAW))
    rows = connection.execute(query, _parameters(since_us, until_us)).fetchall()
    lost = Counter[int | None](row[-1] for row in rows if row[_SMALL_TOKENS] is None)
    return [row for row in rows if row[_SMALL_TOKENS] is not None], lost


def _without(gaps: Gaps, held: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    return [row for row in held if not gaps.hold(row[-2], row[2])] if gaps else held


class _Sums:
    """The rows read so far, by group and fallback, each size of it by itself."""

    def __init__(self, connection: sqlite3.Connection, gaps: Gaps) -> None:
        self._gaps = gaps
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

    def add(self, rows: Alike) -> None:
        """Add up what one range holds."""
        for row in rows.requests:
            if not row.routed or row.status == _INTERRUPTED:
                continue
            found, kept = self._of(row.group, row.version), self._tariffs.get(row.version or 0)
            left_out = self._gaps.hold(row.version, row.label)
            found.add_requests(kept, row, UNPRICED if left_out else row.arm)
            found.unpriced |= not left_out and no_price(kept, row.alone)
        for taken in rows.attempts:
            if taken.status == _INTERRUPTED:
                continue
            found, kept = self._of(taken.group, taken.version), self._tariffs.get(taken.version or 0)
            found.add_attempts(kept, taken, UNPRICED if self._gaps.hold(taken.version, taken.label) else taken.arm)

    def _of(self, group: int | None, version: int | None) -> SegmentSums:
        """Of the fallback of a version; of `UNKNOWN` where the ledger has not kept it."""
        version, sums = version or 0, self.groups[group]
        fallback, size = self._fallback.get(version, (0, None))
        if (fallback, size) not in sums:
            sums[fallback, size] = SegmentSums(fallback, size, self._names)
        found = sums[fallback, size]
        found.charged(version, self._tariffs.get(version) if fallback else None)
        return found


def _parameters(since_us: int | None, until_us: int | None) -> dict[str, int]:
    return {
        "since": since_us or 0,
        "until": FOREVER_US if until_us is None else until_us,
        "ok": Status.OK,
        "shadow": SHADOW_N,
        "first_beside": FIRST_BESIDE_N,
    }
