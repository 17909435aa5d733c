from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.audit import Audit, audit
from router.meter.ledger import Ledger, read_ledger
from router.meter.rollup import add_up, add_up_day, due, due_days
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import HOUR_US, START_US, entries, fill, registry

KEY = {"requests": "request_id", "attempts": "request_id"}
LAW = "(SELECT id FROM names WHERE name = 'law')"


def audited(path: Path) -> Audit:
    with closing(read_ledger(path)) as connection:
        return audit(connection)


@pytest.fixture
async def full(path: Path) -> Path:
    """A ledger of every kind of request, charged by two versions of the tariffs, partly added up."""
    old, new = Tariffs.of_registry(registry()), Tariffs.of_registry(registry(grid_zone="FRA"))
    assert old.version == new.version, "the grid is told by each row itself"
    dear = Tariffs.of_registry(registry(power={"dynamic_w_per_core": 3.07, "source": "x", "as_of": "2026-01-01"}))
    await fill(path, [*entries(old, 150), *entries(new, 40, 1), *entries(dear, 60, 2)])
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        for hour in due(connection, START_US + 40 * HOUR_US)[:3]:
            await ledger.roll_up(add_up(connection, hour))
    await ledger.aclose()
    return path


@pytest.fixture
async def whole(full: Path) -> Path:
    """The same, added up to the day."""
    ledger = Ledger.open(full)
    with closing(ledger.read()) as connection:
        for hour in due(connection, START_US + 40 * HOUR_US):
            await ledger.roll_up(add_up(connection, hour))
        for day in due_days(connection, START_US + 40 * HOUR_US):
            await ledger.roll_up(add_up_day(connection, day))
    await ledger.aclose()
    return full


async def test_a_ledger_that_nobody_touched_adds_up(full: Path) -> None:
    found = audited(full)
    assert (found.wrong, found.requests, found.hours, found.unknown_tariffs) == (0, 250, 3, 0)
    assert found.figures > 250 * 6
    assert found.to_json()["ok"] is True


@pytest.mark.parametrize(("table", "figure"), [("day_requests", "n"), ("day_attempts", "co2_ug")])
async def test_a_day_is_what_its_hours_add_up_to(whole: Path, table: str, figure: str) -> None:
    found = audited(whole)
    assert (found.wrong, found.hours, found.days) == (0, 5, 1)
    with closing(sqlite3.connect(whole)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {figure} = {figure} + 1 WHERE rowid = 1")  # noqa: S608
    assert audited(whole).by_figure == {table: 1}


@pytest.mark.parametrize(
    ("table", "figure", "told"),
    [
        ("requests", "router_energy_uj", {"router_energy_uj", "router_co2_ug"}),
        ("requests", "router_cpu_us", {"router_energy_uj"}),
        ("requests", "router_co2_ug", {"router_co2_ug"}),
        ("requests", "ci_mg_per_kwh", {"counterfactual_co2_ug"}),
        ("requests", "counterfactual_cost_nusd", {"counterfactual_cost_nusd"}),
        ("requests", "counterfactual_energy_uj", {"counterfactual_energy_uj"}),
        ("requests", "counterfactual_co2_ug", {"counterfactual_co2_ug"}),
        ("attempts", "cost_nusd", {"cost_nusd"}),
        ("attempts", "energy_uj", {"energy_uj"}),
        ("attempts", "co2_ug", {"co2_ug"}),
        ("attempts", "output_tokens", {"cost_nusd"}),
        ("hour_requests", "n", {"hour_requests"}),
        ("hour_attempts", "energy_uj", {"hour_attempts"}),
    ],
)
async def test_one_figure_changed_is_found(full: Path, table: str, figure: str, told: set[str]) -> None:
    which = {"requests": "status = 1", "attempts": f"cost_nusd AND expert = {LAW}"}.get(table, "1")
    change = f"UPDATE {table} SET {figure} = {figure} + 100000 WHERE {KEY.get(table, 'rowid')} = "  # noqa: S608
    with closing(sqlite3.connect(full)) as connection, connection:
        one = f"(SELECT {KEY.get(table, 'rowid')} FROM {table} WHERE {which} LIMIT 1)"  # noqa: S608
        assert connection.execute(change + one).rowcount == 1
    found = audited(full)
    assert found.wrong
    assert told <= set(found.by_figure)
    assert found.to_json()["ok"] is False


async def test_a_row_that_was_lost_is_found(full: Path) -> None:
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("DELETE FROM requests WHERE request_id = (SELECT request_id FROM attempts LIMIT 1)")
    assert "request of its attempts" in audited(full).by_figure


async def test_requests_without_kept_tariffs_are_counted_not_guessed(full: Path) -> None:
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("DELETE FROM tariffs")
    found = audited(full)
    assert (found.unknown_tariffs, found.wrong) == (250, 0)
