from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from router.meter.audit import audit
from router.meter.housekeeping import NOT_MEASURED, Housekeeping, Keeping
from router.meter.lead import leading
from router.meter.ledger import Ledger, read_ledger
from router.meter.report import report
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import HOUR_US, START_US, entries, fill, registry

KEEPING = Keeping(raw_days=90, idle_w=None, pue_ppm=1_200_000, ci_mg_per_kwh=400_000)


class Now:
    """A clock the test sets."""

    def __init__(self) -> None:
        self.us = START_US

    def __call__(self) -> int:
        return self.us


@pytest.fixture
async def full(path: Path) -> Path:
    await fill(path, list(entries(Tariffs.of_registry(registry()), 150)))
    return path


async def test_hours_are_added_up_and_old_rows_go_in_time(full: Path) -> None:
    ledger, now = Ledger.open(full), Now()
    keeper = Housekeeping(ledger, lambda: KEEPING, now)
    assert await keeper.tidy() == (0, 0)
    now.us = START_US + 3 * HOUR_US
    assert await keeper.tidy() == (2, 0), "the third has only just ended"
    now.us = START_US + 12 * HOUR_US
    assert await keeper.tidy() == (3, 0)
    now.us += 89 * 24 * HOUR_US
    assert await keeper.tidy() == (0, 0)
    now.us += 24 * HOUR_US
    assert await keeper.tidy() == (0, 150)
    await ledger.aclose()
    with closing(read_ledger(full)) as connection:
        assert report(connection, None, None).total.requests == 150
        assert connection.execute("SELECT count(*) FROM requests").fetchone() == (0,)
        assert audit(connection).wrong == 0


async def test_idle_power_by_the_table_is_a_line_of_its_own(full: Path) -> None:
    ledger, now = Ledger.open(full), Now()
    with closing(read_ledger(full)) as connection:
        before = report(connection, None, None)
    keeper = Housekeeping(ledger, lambda: replace(KEEPING, idle_w=0.88), now)
    now.us += 60_000_000
    await keeper.tidy()
    now.us += 30_000_000
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


def test_one_process_speaks_for_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "counters.lock"
    with leading(path) as first, leading(path) as second:
        assert (first, second) == (True, False)
    with leading(path) as third:
        assert third
