from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from router.meter.audit import audit
from router.meter.housekeeping import NOT_MEASURED, Housekeeping, Keeping
from router.meter.idle import idle
from router.meter.lead import leading
from router.meter.ledger import Ledger, read_ledger
from router.meter.report import DAY_US, render, report
from router.meter.steady import SteadyClock
from router.meter.tariff import Tariffs
from router.meter.totals import LOADING
from tests.router.meter.traffic import HOUR_US, START_US, entries, fill, registry

KEEPING = Keeping(raw_days=90, idle_w=None, pue_ppm=1_200_000, ci_mg_per_kwh=400_000)


class Now:
    """Both clocks, as the test sets them."""

    def __init__(self, us: int = START_US) -> None:
        self.us = us
        self.ns = 5_000_000_000

    def steady(self, newest_us: int | None = None) -> SteadyClock:
        """What looks at them."""
        return SteadyClock(newest_us, lambda: self.us, lambda: self.ns)

    def later(self, us: int) -> None:
        """So long from now."""
        self.us += us
        self.ns += us * 1000


@pytest.fixture
async def full(path: Path) -> Path:
    await fill(path, list(entries(Tariffs.of_registry(registry()), 150)))
    return path


async def test_hours_are_added_up_and_old_rows_go_in_time(full: Path) -> None:
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("UPDATE requests SET arm = 2 WHERE role = 0")  # nobody was held back then
    ledger, now = Ledger.open(full), Now()
    keeper = Housekeeping(ledger, lambda: KEEPING, now.steady())
    assert await keeper.tidy() == (0, 0)
    now.later(3 * HOUR_US)
    assert await keeper.tidy() == (2, 0), "the third has only just ended"
    now.later(9 * HOUR_US)
    assert await keeper.tidy() == (3, 0)
    now.later(89 * DAY_US)
    assert await keeper.tidy() == (0, 0)
    now.later(DAY_US)
    assert await keeper.tidy() == (0, 150)
    await ledger.aclose()
    with closing(read_ledger(full)) as connection:
        assert report(connection, None, None).total.requests == 150
        by_key = report(connection, None, None, "key").groups
        for key in ("team-a", "team-b"):
            own = report(connection, None, None, "key", own=key)
            assert own.total == by_key[key] and own.groups == {key: by_key[key]}
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        assert audit(connection).wrong == 0


@pytest.mark.parametrize("ahead_days", [100, 365, -365])
@pytest.mark.parametrize("newest_us", [None, START_US])
async def test_a_wall_clock_that_is_wrong_for_a_while_loses_nothing(
    path: Path, ahead_days: int, newest_us: int | None
) -> None:
    """Requests before, meanwhile and after: every one is in the report, and rows and sums agree."""
    tariffs, now = Tariffs.of_registry(registry()), Now()
    await fill(path, list(entries(tariffs, 50, hours=0.5)))
    ledger = Ledger.open(path)
    keeper = Housekeeping(ledger, lambda: replace(KEEPING, idle_w=1.0), now.steady(newest_us))
    await keeper.tidy()
    now.later(HOUR_US // 2)
    jump = ahead_days * DAY_US
    now.us += jump
    await keeper.tidy()
    for intent, ended in entries(tariffs, 9, 1, now.us, hours=0.01):
        await ledger.begin(intent)
        await ledger.finish(ended)
    now.later(HOUR_US // 60)
    await keeper.tidy()
    now.us -= jump
    for intent, ended in entries(tariffs, 30, 2, now.us, hours=0.2):
        await ledger.begin(intent)
        await ledger.finish(ended)
    for _ in range(40):
        now.later(HOUR_US // 12)
        await keeper.tidy()
    await ledger.aclose()
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
        assert found.total.requests == 89
        kept = 80 if ahead_days < 0 else 89
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (kept,), "what seems old may go"
        assert report(connection, START_US, START_US + DAY_US).total.requests == 80
        assert audit(connection).wrong == 0
    assert found.idle[NOT_MEASURED].energy_uj == 1.2 * (HOUR_US // 2 + HOUR_US // 60 + 40 * HOUR_US // 12)


async def test_a_clock_behind_by_months_enters_nothing_where_rows_are_gone(full: Path) -> None:
    ledger, now = Ledger.open(full), Now()
    keeper = Housekeeping(ledger, lambda: KEEPING, now.steady())
    now.later(100 * DAY_US)
    await keeper.tidy()
    now.later(HOUR_US)
    assert (await keeper.tidy())[1] == 150
    for intent, ended in entries(Tariffs.of_registry(registry()), 20, 1):
        await ledger.begin(intent)
        await ledger.finish(ended)
    await keeper.tidy()
    await ledger.aclose()
    with closing(read_ledger(full)) as connection:
        assert report(connection, None, None).total.requests == 170
        assert audit(connection).wrong == 0


def test_time_is_trusted_after_an_hour_or_as_far_as_earlier_entries_reach() -> None:
    now = Now()
    new, old = now.steady(), now.steady(START_US - 30 * DAY_US)
    assert (new.trusted_us(), old.trusted_us()) == (None, START_US - 29 * DAY_US)
    now.us += 100 * DAY_US
    assert now.steady(START_US).trusted_us() == START_US + DAY_US
    for _ in range(60):
        now.later(HOUR_US // 60)
        new.look()
    assert new.trusted_us() == START_US + HOUR_US, "the hour began before the jump"
    now.later(HOUR_US)
    assert new.trusted_us() == now.us, "what is said for an hour is believed"


async def test_the_newest_entry_is_that_of_an_earlier_run(full: Path) -> None:
    ledger = Ledger.open(full)
    with closing(ledger.read()) as connection:
        (newest,) = connection.execute("SELECT max(ts_us) FROM requests").fetchone()
    assert ledger.newest_us() == newest
    tariffs = Tariffs.of_registry(registry())
    for intent, ended in entries(tariffs, 5, 1, START_US + 30 * 365 * DAY_US):
        await ledger.begin(intent)
        await ledger.finish(ended)
    assert ledger.newest_us() == newest, "what this run entered with a clock ahead says nothing"
    await ledger.aclose()


async def test_idle_power_by_the_table_is_a_line_of_its_own(full: Path) -> None:
    ledger, now = Ledger.open(full), Now()
    with closing(read_ledger(full)) as connection:
        before = report(connection, None, None)
    keeper = Housekeeping(ledger, lambda: replace(KEEPING, idle_w=0.88), now.steady())
    now.later(60_000_000)
    await keeper.tidy()
    now.later(30_000_000)
    await keeper.tidy()
    await ledger.aclose()
    with closing(read_ledger(full)) as connection:
        found = report(connection, None, None)
        assert audit(connection).wrong == 0
    idle = found.idle[NOT_MEASURED]
    assert idle.energy_uj == 90 * 880_000 * 1.2
    assert idle.to_json()["source"] == "modelled"
    assert idle.co2_ug == pytest.approx(idle.energy_uj * 400_000 / 3.6e9, abs=2)
    assert found.total == before.total
    told = found.to_json()
    assert told["energy_with_idle_j"] == pytest.approx(told["energy_j"] + 95.04)


def idle_j(connection: sqlite3.Connection, since_us: int | None, until_us: int | None) -> float:
    told: float = report(connection, since_us, until_us).to_json()["idle_j"]
    return told


async def test_of_an_hour_that_lies_in_a_period_in_part_that_part_is_told(full: Path) -> None:
    """Two hours of 1 W; the run began in the middle of the first."""
    ledger, now = Ledger.open(full), Now()
    keeper = Housekeeping(ledger, lambda: replace(KEEPING, idle_w=1.0, pue_ppm=1_000_000), now.steady())
    now.us += HOUR_US // 2
    for _ in range(90):
        now.later(HOUR_US // 60)
        keeper.note()
    await ledger.aclose()
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("UPDATE boots SET started_us = ?, ended_us = ?", (START_US + HOUR_US // 2, now.us))
    minute, second_hour = HOUR_US // 60, START_US + HOUR_US
    with closing(read_ledger(full)) as connection:
        assert idle_j(connection, None, None) == 5400
        assert idle_j(connection, START_US, second_hour) == pytest.approx(1740, abs=61)  # noted at the end of a minute
        assert idle_j(connection, START_US + 40 * minute, START_US + 41 * minute) == pytest.approx(59, abs=2)
        assert idle_j(connection, second_hour + 5 * minute, second_hour + 6 * minute) == pytest.approx(60, abs=2)
        assert idle_j(connection, START_US, START_US + 20 * minute) == 0
        assert idle_j(connection, START_US + 45 * minute, second_hour + 15 * minute) == pytest.approx(1800, abs=30)
        part, whole = (report(connection, since, None) for since in (second_hour + minute, second_hour))
        assert (part.idle_divided, whole.idle_divided) == (True, False)
        told = part.to_json()
        assert told["energy_with_idle_j"] == pytest.approx(told["energy_j"] + told["idle_j"])
        text = StringIO()
        Console(file=text, width=200).print(render(report(connection, START_US + 40 * minute, None)))
    assert "Idle energy is kept by the hour" in text.getvalue()


async def test_the_present_hour_is_divided_by_the_time_that_has_passed(full: Path) -> None:
    ledger, now = Ledger.open(full), Now()
    keeper = Housekeeping(ledger, lambda: replace(KEEPING, idle_w=1.0, pue_ppm=1_000_000), now.steady())
    now.later(60_000_000)
    keeper.note()
    await ledger.aclose()
    with closing(sqlite3.connect(full)) as connection, connection:
        (hour,) = connection.execute("SELECT max(hour) FROM device_hours").fetchone()
        connection.execute("UPDATE boots SET started_us = ?, ended_us = NULL", (hour * HOUR_US,))
        connection.execute("UPDATE device_hours SET idle_uj = 3600000000")
    with closing(read_ledger(full)) as connection:
        whole = idle(connection, hour * HOUR_US, (hour + 1) * HOUR_US, hour * HOUR_US + 60_000_000)
        assert idle(connection, hour * HOUR_US, hour * HOUR_US + 60_000_000, hour * HOUR_US + 60_000_000)[0] == whole[0]
        half = idle(connection, hour * HOUR_US + 30_000_000, (hour + 1) * HOUR_US, hour * HOUR_US + 60_000_000)
    assert half[0][NOT_MEASURED].energy_uj * 2 == whole[0][NOT_MEASURED].energy_uj == 3_600_000_000
    assert (whole[1], half[1]) == (False, True)


async def test_loading_experts_is_a_line_of_its_own(full: Path) -> None:
    ledger, now = Ledger.open(full), Now()
    keeping = replace(KEEPING, loading_ns=4_000_000_000, w_per_core=1.92)
    keeper = Housekeeping(ledger, lambda: keeping, now.steady())
    await keeper.tidy()
    await keeper.tidy()
    keeping = replace(keeping, loading_ns=5_000_000_000)
    keeper.note()
    await ledger.aclose()
    with closing(read_ledger(full)) as connection:
        found = report(connection, None, None)
        assert audit(connection).wrong == 0
    assert found.idle[LOADING].energy_uj == 5 * 1_920_000 * 1.2
    assert found.to_json()["idle"][LOADING]["source"] == "modelled"


def test_one_process_speaks_for_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "counters.lock"
    with leading(path) as first, leading(path) as second:
        assert (first, second) == (True, False)
    with leading(path) as third:
        assert third
