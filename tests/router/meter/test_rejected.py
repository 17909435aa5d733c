"""How many answers clients rejected stays what it was, whatever of scores and rows is forgotten."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.audit import audit
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Draw, Feedback, Intent, Outcome, Status
from router.meter.report import report
from router.meter.rollup import add_up
from router.meter.tariff import Tariffs
from tests.router.meter.test_rollup import NOW_US, PERIODS, roll_up, roll_up_days
from tests.router.meter.traffic import HOUR_US, START_US, entries, fill, registry, without_rejected

Traffic = list[tuple[Intent, Outcome]]

EVER_US = START_US + 400 * 24 * HOUR_US


@pytest.fixture
def traffic() -> Traffic:
    return list(entries(Tariffs.of_registry(registry()), 300, hours=30))


def told(path: Path) -> list[int]:
    """Accepted answers of several periods, of all keys and of one; on the way everything is looked at."""
    with closing(read_ledger(path)) as connection:
        assert audit(connection).by_figure == {}
        return [report(connection, *period, own=own).accepted for period in PERIODS for own in (None, "team-a")]


async def judged(path: Path, scores: dict[str, int]) -> None:
    ledger = Ledger.open(path)
    for request_id, score_ppm in scores.items():
        await ledger.hear(Feedback(request_id, START_US, score_ppm))
    await ledger.aclose()


async def forgotten(path: Path, rows_us: int, scores_us: int = EVER_US) -> None:
    ledger = Ledger.open(path)
    await ledger.purge(0, scores_us, 0)
    await ledger.prune(rows_us)
    await ledger.aclose()


def scores(traffic: Traffic) -> dict[str, int]:
    """Every third request was scored, good or bad, also such as nobody answered."""
    return {intent.request_id: (100_000, 499_999, 500_000)[n % 3] for n, (intent, _) in enumerate(traffic[::3])}


async def test_what_was_accepted_of_a_time_stays_so_when_its_scores_and_rows_grow_old(
    path: Path, traffic: Traffic
) -> None:
    await fill(path, traffic)
    said = scores(traffic)
    await judged(path, said)
    before = told(path)
    ended = {intent.request_id: outcome.status for intent, outcome in traffic}
    bad = sum(score < 500_000 and ended[request_id] is Status.OK for request_id, score in said.items())
    assert before[0] == sum(status is Status.OK for status in ended.values()) - bad
    await forgotten(path, 0, START_US + 3 * HOUR_US)
    assert told(path) == before, "of some hours scores are gone, and rows are not"
    await roll_up(path)
    assert told(path) == before
    await roll_up_days(path)
    assert told(path) == before
    await forgotten(path, 0)
    assert told(path) == before, "no score is left"
    await forgotten(path, START_US + 5 * HOUR_US)
    whole = [0, 1, 4, 5, 6, 7]  # the others end within an hour, which is told whole now
    assert [told(path)[n] for n in whole] == [before[n] for n in whole], "and no row of them"
    await forgotten(path, NOW_US)
    assert [told(path)[n] for n in whole] == [before[n] for n in whole]


async def test_a_score_that_comes_when_its_hour_was_added_up_counts_and_so_does_a_second_thought(
    path: Path, traffic: Traffic
) -> None:
    await fill(path, traffic)
    await roll_up(path)
    await roll_up_days(path)
    before = told(path)
    bad = next(i.request_id for i, o in traffic if o.status is Status.OK and i.ts_us < START_US + HOUR_US // 2)
    for score_ppm, one_less in ((100_000, 1), (300_000, 1), (800_000, 0), (0, 1)):
        await judged(path, {bad: score_ppm})
        assert told(path)[0] == before[0] - one_less
        await roll_up(path)
        await roll_up_days(path)
        assert told(path)[0] == before[0] - one_less
    await forgotten(path, 0)
    assert told(path)[0] == before[0] - 1
    await judged(path, {bad: 900_000})
    assert told(path)[0] == before[0], "what is said last counts, also of a score that was forgotten"


async def test_a_score_that_comes_while_its_hour_is_added_up_counts(path: Path, traffic: Traffic) -> None:
    await fill(path, traffic)
    before = told(path)
    bad = next(i for i, o in traffic if o.status is Status.OK)
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        sums = add_up(connection, bad.ts_us // HOUR_US)
    await ledger.hear(Feedback(bad.request_id, START_US, 0))
    await ledger.roll_up(sums)
    await ledger.aclose()
    assert told(path)[0] == before[0] - 1


async def test_a_request_for_vectors_is_no_answer_that_could_be_rejected(
    path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]
) -> None:
    begun = intent(policy="", draw=Draw(Arm.UNABLE))
    await fill(path, [(begun, outcome(begun.request_id))])
    before = told(path)
    await judged(path, {begun.request_id: 0})
    assert told(path) == before


def kept(path: Path) -> list[list[tuple[int, ...]]]:
    """What was rejected, by hours and by days."""
    with closing(sqlite3.connect(path)) as connection:
        queries = (f"SELECT * FROM {grain}_rejected ORDER BY 1, 2" for grain in ("hour", "day"))  # noqa: S608 (constants)
        return [connection.execute(query).fetchall() for query in queries]


async def test_an_upgrade_from_version_12_adds_up_what_was_rejected(path: Path, traffic: Traffic) -> None:
    await fill(path, traffic)
    await judged(path, scores(traffic))
    await roll_up(path)
    await roll_up_days(path)
    before, sums = told(path), kept(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        without_rejected(connection)
    read_ledger(path).close()
    assert kept(path) == sums
    assert all(sums)
    await forgotten(path, START_US + HOUR_US)
    assert told(path)[:2] == before[:2]
