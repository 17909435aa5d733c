"""From the ledger to outcomes: which expert answered which request how well.

    feedback                 its score, for the expert that answered
    a failure of its own     nought for an expert that broke off or never came to an end; one that was only unreachable,
                             full, or asked for what it cannot do says nothing of the request
    escalated after          nought for the small expert whose answer was not good enough
    escalated before         nothing: it was not asked

All other experts of a request are unknown.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from router.learn.edition_file import Days
from router.learn.evidence import ALIKE, Floats, Outcomes, alike, unscored
from router.learn.heldout import MOST_TRIED
from router.learn.trace import unpack, unpack_surfaces
from router.meter.hours_schema import DAY_US
from router.meter.ppm import PPM
from router.meter.record import Status

MOST_ROWS: Final = 100_000
"""Requests looked at, the newest first."""

MOST_UNSCORED: Final = 2000
"""So many tell where domains lie, and the fit of a registry's judge stays near a second (ADR 0056)."""

LOOKED_AT: Final = 5000
"""The newest, of which those that are no repeats are taken."""

OWN_FAULTS: Final = ("upstream_error", "upstream_timeout")
"""Error codes that speak of an answer, not of whether an expert could be asked."""

_TRACES: Final = """
SELECT v.request_id, r.ts_us, v.vector, v.surface, p.name, a.name, f.score_ppm
FROM vectors v JOIN requests r USING (request_id) JOIN names m ON m.id = v.maker
LEFT JOIN feedback f USING (request_id)
LEFT JOIN names p ON p.id = r.policy LEFT JOIN names a ON a.id = r.answered_by
WHERE m.name = ? ORDER BY v.request_id DESC LIMIT ?
"""

_FAILED: Final = f"""
SELECT a.request_id, e.name, a.status
FROM vectors v JOIN attempts a USING (request_id) JOIN requests r USING (request_id) JOIN names e ON e.id = a.expert
LEFT JOIN names c ON c.id = a.error_code LEFT JOIN names s ON s.id = r.escalated
WHERE (a.status IN ({int(Status.ERROR)}, {int(Status.PARTIAL)}) AND c.name IN (?, ?))
   OR (a.status = {int(Status.OK)} AND s.name = 'after' AND a.expert <> r.answered_by)
"""  # noqa: S608 (made of constants)

_UNTRACED: Final = "SELECT count(*) FROM feedback f LEFT JOIN vectors v USING (request_id) WHERE v.request_id IS NULL"

_FOREIGN: Final = "SELECT count(*) FROM vectors v JOIN names m ON m.id = v.maker WHERE m.name <> ?"


_TEXTS: Final = """
SELECT t.text, a.name, f.score_ppm, t.expected, t.comment
FROM texts t JOIN requests r USING (request_id) JOIN feedback f USING (request_id) JOIN names a ON a.id = r.answered_by
WHERE t.text IS NOT NULL ORDER BY t.request_id
"""


class _Traced(NamedTuple):
    """A row of `_TRACES`."""

    request_id: bytes
    ts_us: int
    vector: bytes
    surface: bytes
    policy: str | None
    answered_by: str | None
    score_ppm: int | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests as the judge sees them, the newest first."""

    vectors: Floats
    """(n, d)."""
    features: Floats
    """(n, f)."""
    policies: tuple[str, ...]
    """(n,)."""


@dataclass(frozen=True, slots=True)
class Harvest:
    """What the ledger has to learn from."""

    outcomes: Outcomes
    """Of the requests of which something is known."""
    days: Days
    traffic: Traffic
    """All requests of which a vector is kept."""
    traffic_days: Days
    sources: Counter[str]
    """How many scores are from feedback, failed, and escalated."""
    foreign: int
    """Requests whose vectors another encoder made; they are of no use."""
    untraced: int
    """Scores of requests without a vector: they named an expert, had no text, or came while the registry kept none."""


def harvest(connection: sqlite3.Connection, maker: str) -> Harvest:
    """Read the newest `MOST_ROWS` requests whose traces were made by `maker`."""
    rows = _traced(connection, maker, MOST_ROWS)
    foreign = connection.execute(_FOREIGN, (maker,)).fetchone()[0]
    untraced = connection.execute(_UNTRACED).fetchone()[0]
    return _gathered(rows, connection.execute(_FAILED, OWN_FAULTS).fetchall(), int(foreign), int(untraced))


def newest(connection: sqlite3.Connection, maker: str, most: int) -> Traffic:
    """The newest requests whose traces were made by `maker`."""
    return _traffic(_traced(connection, maker, most))


def _traced(connection: sqlite3.Connection, maker: str, most: int) -> list[_Traced]:
    return [*map(_Traced._make, connection.execute(_TRACES, (maker, most)))]


def apart(traffic: Traffic, days: Days, scored: Floats) -> tuple[Outcomes, Days]:
    """The newest requests that are like none newer and like none `scored` (s, d), and the days (n,) they came on.

    Whoever asks the same a thousand times is heard once, and a request that is held out of a trial was never seen.
    """
    vectors = traffic.vectors[:LOOKED_AT]
    if not len(vectors):
        return unscored(vectors, traffic.features[:0]), days[:0]
    first = alike(vectors) == np.arange(len(vectors))
    known = scored[:MOST_TRIED]
    if len(known):
        first &= (vectors @ known.T).max(axis=1) < ALIKE
    rows = np.flatnonzero(first)[:MOST_UNSCORED]
    return unscored(vectors[rows], traffic.features[rows]), days[rows]


def nothing() -> Harvest:
    """What there is before Shoal has first served."""
    return _gathered([], [], 0, 0)


def _gathered(rows: list[_Traced], failed: list[Any], foreign: int, untraced: int) -> Harvest:
    scores, sources = _scores(rows, failed)
    traffic = _traffic(rows)
    known = [at for at, row in enumerate(rows) if scores.get(row.request_id)]
    experts = tuple(sorted({expert for own in scores.values() for expert in own}))
    table = [[scores[rows[at].request_id].get(expert, np.nan) for expert in experts] for at in known]
    matrix = np.array(table, np.float32).reshape(len(known), len(experts))
    days = np.array([row.ts_us // DAY_US for row in rows], np.int32)
    outcomes = Outcomes(experts, traffic.vectors[known], traffic.features[known], matrix)
    return Harvest(outcomes, days[known], traffic, days, sources, foreign, untraced)


def scored_texts(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Requests whose text was kept and that have feedback, as rows of an outcomes file, the oldest first."""
    for text, expert, score_ppm, *words in connection.execute(_TEXTS):
        said = {name: word for name, word in zip(("expected", "comment"), words, strict=True) if word is not None}
        yield {"input": text, "outcomes": {expert: {"score": score_ppm / PPM}}, **said}


def _scores(rows: list[_Traced], failed: list[Any]) -> tuple[dict[bytes, dict[str, float]], Counter[str]]:
    """Scores by request and expert, and how many came from where."""
    scores: dict[bytes, dict[str, float]] = {row.request_id: {} for row in rows}
    sources: Counter[str] = Counter()
    for request_id, expert, status in failed:
        if request_id in scores:
            scores[request_id][expert] = 0.0
            sources["escalated" if status == Status.OK else "failed"] += 1
    for row in rows:
        if row.score_ppm is not None and row.answered_by is not None:
            scores[row.request_id][row.answered_by] = row.score_ppm / PPM
            sources["feedback"] += 1
    return scores, sources


def _traffic(rows: list[_Traced]) -> Traffic:
    if not rows:
        return Traffic(np.empty((0, 0), np.float32), np.empty((0, 0), np.float32), ())
    vectors, surfaces = unpack([row.vector for row in rows]), unpack_surfaces([row.surface for row in rows])
    return Traffic(vectors, surfaces, tuple(row.policy or "" for row in rows))
