from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from router.meter.audit import audit
from router.meter.hours_schema import DAY_US
from router.meter.housekeeping import NOT_MEASURED, Housekeeping, Keeping
from router.meter.idle import idle
from router.meter.lead import leading
from router.meter.ledger import Ledger, read_ledger
from router.meter.report import render, report
from router.meter.steady import SteadyClock
from router.meter.tariff import Tariffs
from router.meter.totals import LOADING, Report
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
    assert found.idle.devices[NOT_MEASURED].energy_uj == 1.2 * (HOUR_US // 2 + HOUR_US // 60 + 40 * HOUR_US // 12)


@pytest.mark.parametrize(("days", "told"), [(-200, False), (0, False), (30, False), (31, True), (200, True)])
def test_a_clock_that_has_left_the_entries_far_behind_is_told(days: int, told: bool) -> None:
    now = Now(START_US + days * DAY_US)
    said = f"{days} days after the newest entry of the ledger (2026-11-01): by that nothing is deleted"
    assert (said in (now.steady(START_US).doubt() or "")) is told
    assert now.steady(None).doubt() is None


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
    idle = found.idle.devices[NOT_MEASURED]
    assert idle.energy_uj == 90 * 880_000 * 1.2
    assert idle.to_json()["source"] == "modelled"
    assert idle.co2_ug == pytest.approx(idle.energy_uj * 400_000 / 3.6e9, abs=2)
    assert found.total == before.total
    told = found.to_json()
    assert told["energy_with_idle_j"] == pytest.approx(told["energy_j"] + 95.04)


HALF_US, MINUTE_US = HOUR_US // 2, HOUR_US // 60


async def rest(path: Path, minutes: int, watts: float = 1.0) -> int:
    """A run that begins half an hour after the ledger and answers nobody; the moment it ends at."""
    ledger, now = Ledger.open(path), Now(START_US + HALF_US)
    keeping = replace(KEEPING, idle_w=watts, loading_ns=4_000_000_000, w_per_core=1.92)
    keeper = Housekeeping(ledger, lambda: keeping, now.steady())
    for _ in range(minutes):
        now.later(MINUTE_US + 17)
        keeper.note()
    await ledger.aclose()
    return now.us


async def test_a_minute_early_in_a_run_is_told_at_once_and_for_ever(full: Path) -> None:
    minute = START_US + HALF_US + MINUTE_US
    told = []
    for many in (3, 7, 45):
        copy = full.with_name(f"after-{many}.sqlite")
        shutil.copy(full, copy)
        await rest(copy, many)
        with closing(read_ledger(copy)) as connection:
            told.append(report(connection, minute, minute + MINUTE_US).to_json())
    assert told[0]["idle"][NOT_MEASURED]["energy_j"] == pytest.approx(72, abs=1e-3)
    assert [each["idle"] for each in told] == [told[0]["idle"]] * 3
    assert not told[0]["idle_divided"]


async def test_two_adjoining_times_have_what_both_together_have(full: Path) -> None:
    end_us, cuts = await rest(full, 95, watts=0.8801), random.Random(5)  # noqa: S311
    with closing(read_ledger(full)) as connection:
        assert connection.execute("SELECT count(DISTINCT hour) FROM device_hours").fetchone() == (3,)
        for _ in range(200):
            first, middle, last = sorted(cuts.randrange(START_US, end_us + HALF_US) for _ in range(3))
            before, after, both = (
                idle(connection, *ends).devices for ends in ((first, middle), (middle, last), (first, last))
            )
            for name, whole in both.items():
                parts = [each[name] for each in (before, after) if name in each]
                assert sum(parts[1:], parts[0]) == whole
        whole = idle(connection, 0, 1 << 62).devices
        assert whole[NOT_MEASURED].energy_uj == pytest.approx(95 * (MINUTE_US + 17) * 0.8801 * 1.2, abs=95)
        assert idle(connection, START_US, end_us).devices == whole
        assert audit(connection).wrong == 0


async def test_what_is_not_told_yet_is_said(full: Path) -> None:
    end_us = await rest(full, 5)
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("UPDATE boots SET ended_us = NULL")  # it lives
    with closing(read_ledger(full)) as connection:
        assert idle(connection, START_US, end_us).known_until_us is None
        found = report(connection, end_us - MINUTE_US, end_us + 1)
        assert found.to_json()["idle_known_until"] == "2026-11-01T08:35:00.000085+00:00"
        assert "Idle cpu, not measured, in no sum above: 20 mWh (modelled, up to 2026-11-01 08:35:00 UTC)" in shown(
            found
        )


async def test_a_time_without_requests_tells_of_idle_energy_too(path: Path) -> None:
    await rest(path, 5)
    with closing(read_ledger(path)) as connection:
        text = shown(report(connection, START_US, START_US + HOUR_US))
    assert text.startswith("No requests from 2026-11-01 08:00 UTC")
    assert "Idle cpu, not measured, in no sum above: 100 mWh (modelled)." in text


async def test_hours_from_before_there_were_slices_are_divided_evenly_by_the_run(full: Path) -> None:
    end_us = await rest(full, 90)
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("DELETE FROM device_slices")
        connection.execute("UPDATE boots SET started_us = ?, ended_us = ?", (START_US + HALF_US, end_us))
    with closing(read_ledger(full)) as connection:
        early, half, whole = (idle(connection, START_US, START_US + us) for us in (HALF_US, 45 * MINUTE_US, HOUR_US))
        late = idle(connection, START_US + 45 * MINUTE_US, START_US + HOUR_US)
        assert early.devices[NOT_MEASURED].energy_uj == 0
        assert half.devices[NOT_MEASURED].energy_uj * 2 == pytest.approx(30 * 72_000_000, abs=2_000_000)
        assert half.devices[NOT_MEASURED] + late.devices[NOT_MEASURED] == whole.devices[NOT_MEASURED]
        assert (half.divided, whole.divided, early.divided) == (True, False, False)
        text = shown(report(connection, START_US + 45 * MINUTE_US, None))
        before = shown(report(connection, START_US, START_US + HALF_US))
    assert "Of an hour of which only the sum is kept idle energy is told as if it had come evenly." in text
    assert "Idle" not in before, "the run had not begun"


async def test_slices_go_with_the_rows(full: Path) -> None:
    await rest(full, 95)
    ledger, now = Ledger.open(full), Now(START_US + 100 * DAY_US)
    await ledger.prune(now.us)
    with closing(ledger.read()) as connection:
        before = idle(connection, 0, 1 << 62).devices
        while await ledger.prune(now.us):
            pass
        assert connection.execute("SELECT count(*) FROM device_slices").fetchone() == (0,)
        assert idle(connection, 0, 1 << 62).devices == before
    await ledger.aclose()


def shown(found: Report) -> str:
    text = StringIO()
    Console(file=text, width=300).print(render(found))
    return text.getvalue()


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
    assert found.idle.devices[LOADING].energy_uj == 5 * 1_920_000 * 1.2
    assert found.to_json()["idle"][LOADING]["source"] == "modelled"


def test_one_process_speaks_for_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "counters.lock"
    with leading(path) as first, leading(path) as second:
        assert (first, second) == (True, False)
    with leading(path) as third:
        assert third
