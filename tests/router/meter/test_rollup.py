from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from router.meter.audit import audit
from router.meter.devices import Measured
from router.meter.hours_schema import DAY
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Correction, EnergyMethod, Intent, Outcome, Role, Shadow
from router.meter.report import render, report
from router.meter.rollup import add_up, add_up_day, due, due_days
from router.meter.spans import DAILY, spans
from router.meter.tariff import Tariffs
from router.meter.ulid import ulid_bytes
from tests.router.meter.traffic import HOUR_US, START_US, entries, fill, registry

NOW_US = START_US + 40 * HOUR_US
PERIODS = [
    (None, None),
    (START_US + HOUR_US // 2, START_US + 4 * HOUR_US + 1),
    (START_US + 2 * HOUR_US, START_US + 3 * HOUR_US),
    (START_US + 10 * HOUR_US, None),
]


@pytest.fixture
def tariffs() -> Tariffs:
    return Tariffs.of_registry(registry())


@pytest.fixture
def reading(path: Path) -> Iterator[Callable[[], sqlite3.Connection]]:
    opened: list[sqlite3.Connection] = []

    def read() -> sqlite3.Connection:
        opened.append(read_ledger(path))
        return opened[-1]

    yield read
    for connection in opened:
        connection.close()


async def roll_up(path: Path, now_us: int = NOW_US, hours: int | None = None) -> list[int]:
    """Add up every hour that is due."""
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        found = due(connection, now_us)[:hours]
        for hour in found:
            await ledger.roll_up(add_up(connection, hour))
    await ledger.aclose()
    return found


def sums(path: Path) -> list[dict[str, object]]:
    """Reports of several periods, each whole and by every group, but for what says where they were read."""
    with closing(read_ledger(path)) as connection:
        groups = (None, "expert", "domain", "policy", "key", "day")
        found = [report(connection, *period, group).to_json() for period in PERIODS for group in groups]
    return [told | {"adding_up": None, "only_in_sums": None} for told in found]


def behind(path: Path, since_us: int | None = None, until_us: int | None = None) -> object:
    """What a report says of hours that are not added up yet."""
    with closing(read_ledger(path)) as connection:
        found = report(connection, since_us, until_us)
    told, text = found.to_json()["adding_up"], StringIO()
    Console(file=text, width=200).print(render(found))
    assert told is None or f"Adding up the past: {told['hours']} of {told['of']} hours" in text.getvalue()
    assert ("Adding up" in text.getvalue()) == (told is not None)
    return told


async def test_hourly_sums_say_what_the_rows_say(path: Path, tariffs: Tariffs) -> None:
    await fill(path, list(entries(tariffs, 400)))
    raw = sums(path)
    assert raw[0]["requests"] == 400
    assert behind(path) == {"hours": 0, "of": 5}
    assert await roll_up(path, hours=2) == [START_US // HOUR_US, START_US // HOUR_US + 1]
    assert sums(path) == raw
    assert behind(path) == {"hours": 2, "of": 5}
    assert behind(path, START_US + 2 * HOUR_US) == {"hours": 0, "of": 3}
    assert behind(path, START_US + HOUR_US // 2, START_US + 3 * HOUR_US) is None  # one is missing, which is usual
    assert len(await roll_up(path)) == 3
    assert await roll_up(path) == []
    assert sums(path) == raw
    assert behind(path) is None


async def test_adding_up_again_changes_nothing(path: Path, tariffs: Tariffs) -> None:
    await fill(path, list(entries(tariffs, 60, hours=1)))
    await roll_up(path)
    before = sums(path)
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        for _ in range(2):
            await ledger.roll_up(add_up(connection, START_US // HOUR_US))
    await ledger.aclose()
    assert sums(path) == before
    with closing(read_ledger(path)) as connection:
        assert audit(connection).wrong == 0


async def test_an_hour_waits_for_its_last_request(
    path: Path, tariffs: Tariffs, reading: Callable[[], sqlite3.Connection]
) -> None:
    traffic = list(entries(tariffs, 3, hours=1))
    ledger = Ledger.open(path)
    for intent, _ in traffic:
        await ledger.begin(intent)
    for _, ended in traffic[:2]:
        await ledger.finish(ended)
    hour = START_US // HOUR_US
    assert due(reading(), NOW_US) == []
    await ledger.finish(traffic[2][1])
    assert due(reading(), (hour + 1) * HOUR_US + 1) == [], "what was measured of it may still come"
    assert due(reading(), NOW_US) == [hour]
    await ledger.aclose()


async def roll_up_days(path: Path) -> list[int]:
    """Add up every day that is due."""
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        found = due_days(connection, NOW_US)
        for day in found:
            await ledger.roll_up(add_up_day(connection, day))
    await ledger.aclose()
    return found


async def test_days_say_what_their_hours_say(path: Path, tariffs: Tariffs) -> None:
    await fill(path, list(entries(tariffs, 400, hours=30)))
    raw = sums(path)
    await roll_up(path, hours=10)
    assert await roll_up_days(path) == [], "a day waits for its last hour"
    await roll_up(path)
    day = START_US // DAY.us
    assert await roll_up_days(path) == [day], "the second has not ended"
    assert await roll_up_days(path) == []
    assert sums(path) == raw
    with closing(read_ledger(path)) as connection:
        sources = [source for source, _ in spans(connection, START_US // DAY.us * DAY.us, None)]
        assert sources[0] is DAILY
        assert DAILY not in [source for source, _ in spans(connection, START_US, None, days=False)]
        assert DAILY not in [source for source, _ in spans(connection, START_US + 1, None)], "it is cut"
        assert audit(connection).wrong == 0


async def test_a_day_is_opened_again_with_its_hour(path: Path, tariffs: Tariffs) -> None:
    traffic = list(entries(tariffs, 60, hours=6))
    await fill(path, traffic)
    await roll_up(path)
    with closing(read_ledger(path)) as connection:
        early = add_up_day(connection, START_US // DAY.us)
    await roll_up_days(path)
    intent, ended = next((i, e) for i, e in traffic if e.attempts)
    ledger = Ledger.open(path)
    await ledger.note(Shadow(intent.request_id, [replace(ended.attempts[0], role=Role.SHADOW)]))
    await ledger.roll_up(early)
    await ledger.aclose()
    with closing(read_ledger(path)) as connection:
        late = report(connection, None, None).to_json()
        assert connection.execute("SELECT count(*) FROM days").fetchone() == (0,), "what was added up before is late"
    assert late["charged"]["shadow"]["energy_j"] == ended.attempts[0].energy_uj / 1e6
    await roll_up(path)
    assert len(await roll_up_days(path)) == 1
    with closing(read_ledger(path)) as connection:
        assert report(connection, None, None).to_json() == late
        assert audit(connection).by_figure == {}


async def test_a_request_is_in_reports_of_a_day_that_was_added_up_too_early(path: Path, tariffs: Tariffs) -> None:
    """A clock that was ahead for a while ended the day, and its later hours come when the clock is right again."""
    later_us = (START_US // HOUR_US + 2) * HOUR_US
    assert later_us // DAY.us == START_US // DAY.us
    await fill(path, list(entries(tariffs, 40, hours=0.5)))
    await roll_up(path)
    assert await roll_up_days(path) == [START_US // DAY.us]
    await fill(path, list(entries(tariffs, 30, 1, later_us, hours=0.5)))
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
        assert found.total.requests == report(connection, START_US // DAY.us * DAY.us, None).total.requests == 70
        assert audit(connection).wrong == 0
    await roll_up(path)
    assert await roll_up_days(path) == [START_US // DAY.us], "once more"
    with closing(read_ledger(path)) as connection:
        assert report(connection, None, None).to_json() == found.to_json() | {"adding_up": None}
        assert audit(connection).wrong == 0


async def test_what_comes_late_is_not_missed(path: Path, tariffs: Tariffs) -> None:
    traffic = list(entries(tariffs, 40, hours=1))
    await fill(path, traffic)
    await roll_up(path)
    intent, ended = next((i, e) for i, e in traffic if e.answered_by == "big")
    ledger = Ledger.open(path)
    await ledger.note(Shadow(intent.request_id, [replace(ended.attempts[0], role=Role.SHADOW)]))
    fix = Correction(intent.request_id, len(ended.attempts) - 1, 5, 0, EnergyMethod.MEASURED, True)
    ledger.measured(Measured([fix], []))
    await ledger.aclose()
    uncounted = {"measured energy of requests, in uJ": 1}  # no counter of this test tells of it
    with closing(read_ledger(path)) as connection:
        late = report(connection, None, None)
        assert audit(connection).by_figure == uncounted
    assert late.by_kind["shadow"].energy_uj == ended.attempts[0].energy_uj
    assert late.by_method[EnergyMethod.MEASURED] == 5
    assert await roll_up(path) == [START_US // HOUR_US]
    with closing(read_ledger(path)) as connection:
        assert report(connection, None, None).to_json() == late.to_json()
        assert audit(connection).by_figure == uncounted


async def test_old_rows_go_and_their_sums_stay(path: Path, tariffs: Tariffs) -> None:
    traffic = list(entries(tariffs, 1300, hours=3))
    await fill(path, traffic)
    before = sums(path)[:6]
    await roll_up(path)
    ledger = Ledger.open(path)
    assert await ledger.prune(START_US + 2 * HOUR_US) == sum(i.ts_us < START_US + 2 * HOUR_US for i, _ in traffic)
    assert await ledger.prune(START_US + 2 * HOUR_US) == 0
    await ledger.aclose()
    assert sums(path)[:6] == before
    with closing(read_ledger(path)) as connection:
        assert connection.execute("SELECT min(ts_us) >= ? FROM requests", (START_US + 2 * HOUR_US,)).fetchone() == (1,)
        orphans = "SELECT count(*) FROM attempts WHERE request_id NOT IN (SELECT request_id FROM requests)"
        assert connection.execute(orphans).fetchone() == (0,)
        assert audit(connection).wrong == 0
        half = report(connection, START_US + HOUR_US // 2, START_US + HOUR_US)
        whole = report(connection, START_US, START_US + HOUR_US)
    assert half.asked == (START_US + HOUR_US // 2, START_US + HOUR_US) and whole.asked is None
    assert half.total == whole.total


async def test_what_is_gone_is_never_added_up_again(path: Path, tariffs: Tariffs) -> None:
    await fill(path, list(entries(tariffs, 30, hours=1)))
    await roll_up(path)
    before = sums(path)[:6]
    ledger = Ledger.open(path)
    await ledger.prune(NOW_US)
    with closing(ledger.read()) as connection:
        await ledger.roll_up(add_up(connection, START_US // HOUR_US))
    await ledger.aclose()
    assert sums(path)[:6] == before


async def test_rows_that_were_held_back_stay_for_ever(path: Path, tariffs: Tariffs) -> None:
    traffic = list(entries(tariffs, 20, hours=1))
    await fill(path, traffic)
    kept = ulid_bytes(traffic[7][0].request_id)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE requests SET arm = 1 WHERE request_id = ?", (kept,))
    await roll_up(path)
    ledger = Ledger.open(path)
    assert await ledger.prune(NOW_US) == 19
    await ledger.aclose()
    with closing(read_ledger(path)) as connection:
        assert connection.execute("SELECT request_id FROM requests").fetchall() == [(kept,)]


async def test_rows_without_sums_are_never_deleted(path: Path, tariffs: Tariffs) -> None:
    await fill(path, list(entries(tariffs, 20, hours=1)))
    ledger = Ledger.open(path)
    assert await ledger.prune(NOW_US) == 0
    await ledger.aclose()


def totals(traffic: list[tuple[Intent, Outcome]]) -> tuple[int, int, int]:
    """Money, energy and carbon as the outcomes themselves add up."""
    return (
        sum(ended.cost_yusd for _, ended in traffic),
        sum(ended.energy_uj for _, ended in traffic),
        sum(ended.co2_ug for _, ended in traffic),
    )


async def test_the_total_is_the_sum_of_what_was_charged_for(path: Path, tariffs: Tariffs) -> None:
    traffic = list(entries(tariffs, 300))
    await fill(path, traffic)
    await roll_up(path, hours=3)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None, "domain")
    spent = found.total.sums
    assert (spent.yusd, spent.energy_uj, spent.co2_ug) == totals(traffic)
    assert found.router.yusd == sum(ended.router_yusd or 0 for _, ended in traffic) > 0
    parts = [found.router, *found.by_kind.values()]
    assert sum(part.energy_uj for part in parts) == spent.energy_uj
    assert sum(part.yusd for part in parts) == spent.yusd
    assert sum(found.by_method.values()) == spent.energy_uj
    for share in (found.total, *found.by_expert.values(), *found.groups.values()):
        assert sum(share.by_method.values()) == share.sums.energy_uj, "every sum says its mix"
    assert found.by_kind["discarded"].cost_nusd == 0 != found.by_kind["answers"].cost_nusd
