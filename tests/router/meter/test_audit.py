from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from experts.price import PriceStep
from router.meter import schema
from router.meter.audit import UNCHECKED, audit
from router.meter.cost import cost_nusd
from router.meter.findings import Audit, Finding
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger, read_ledger
from router.meter.rollup import add_up, due, reopen
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import HOUR_US, KEY, START_US, add_up_all, entries, fill, registry, unsealed

ROW = {"requests": "request_id", "attempts": "request_id"}
STEP = PriceStep(over_tokens=1_000, input_usd_per_mtok=0.3, output_usd_per_mtok=1.2, cached_usd_per_mtok=0.15)
"""Twice what the registry of the tests says of law."""
LAW = "(SELECT id FROM names WHERE name = 'law')"


def audited(path: Path) -> Audit:
    with closing(read_ledger(path)) as connection:
        return audit(connection)


@pytest.fixture
async def full(path: Path) -> Path:
    """A ledger of every kind of request, charged by two versions of the tariffs, partly added up."""
    old, new = Tariffs.of_registry(registry()), Tariffs.of_registry(registry(grid_zone="FRA"))
    assert old.terms == new.terms, "the grid is told by each row itself"
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
    await add_up_all(full)
    return full


async def test_a_ledger_that_nobody_touched_adds_up(full: Path) -> None:
    found = audited(full)
    assert (found.wrong, found.requests, found.hours, found.unknown_tariffs) == (0, 250, 3, 0)
    assert found.figures > 250 * 6
    assert found.to_json()["ok"] is True


async def test_prices_with_steps_are_computed_again_too(path: Path) -> None:
    """Of who answered, and of the fallback that would have."""
    stepped = [
        spec.model_copy(update={"price": spec.price.model_copy(update={"steps": (STEP,)})}) if spec.price else spec
        for spec in registry().experts
    ]
    first, long = Tariffs.of_registry(registry()), Tariffs.of_registry(registry(experts=tuple(stepped), fallback="law"))
    traffic = list(entries(long, 150))
    of_law = [each for _, ended in traffic for each in ended.attempts if each.expert == "law" and each.input_tokens]
    dearer = [each for each in of_law if each.input_tokens > STEP.over_tokens]
    assert 0 < len(dearer) < len(of_law)
    usual = first.of("law").price
    for each in of_law:
        tokens = each.input_tokens, each.output_tokens, each.cached_tokens, each.cache_write_tokens
        assert each.cost_nusd == cost_nusd(usual, *tokens) * (2 if each in dearer else 1)
    await fill(path, traffic)
    found = audited(path)
    assert (found.wrong, found.requests, found.unknown_tariffs) == (0, 150, 0)


async def test_what_a_cache_took_is_computed_again_too(path: Path) -> None:
    """Of who answered, and of the fallback that would have."""
    dearer = [
        spec.model_copy(update={"price": spec.price.model_copy(update={"cache_write_usd_per_mtok": 0.9})})
        if spec.price
        else spec
        for spec in registry().experts
    ]
    traffic = list(entries(Tariffs.of_registry(registry(experts=tuple(dearer), fallback="law")), 150))
    written = [each for _, ended in traffic for each in ended.attempts if each.cache_write_tokens]
    assert {each.expert for each in written} > {"law"}
    await fill(path, traffic)
    assert audited(path).wrong == 0
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE attempts SET cache_write_tokens = 0")
    assert audited(path).by_figure.keys() >= {"cost_nusd", "counterfactual_cost_nusd"}


@pytest.mark.parametrize(("table", "figure"), [("day_requests", "n"), ("day_attempts", "co2_ug")])
async def test_a_day_is_what_its_hours_add_up_to(whole: Path, table: str, figure: str) -> None:
    found = audited(whole)
    assert (found.wrong, found.hours, found.days) == (0, 5, 1)
    with closing(sqlite3.connect(whole)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {figure} = {figure} + 1 WHERE rowid = 1")  # noqa: S608
    assert audited(whole).by_figure[table] == 1


@pytest.mark.parametrize(("table", "missing"), [("hours", 5), ("days", 1)])
async def test_an_hour_or_a_day_that_was_taken_out_is_missed_by_its_sums(whole: Path, table: str, missing: int) -> None:
    with closing(sqlite3.connect(whole)) as connection, connection:
        assert connection.execute(f"DELETE FROM {table}").rowcount == missing  # noqa: S608
    found = audited(whole)
    assert found.by_figure[f"{table[:-1]} of its sums"] == missing
    (told,) = {(each.kept, each.computed) for each in found.findings if each.figure == f"{table[:-1]} of its sums"}
    assert told == ("missing", "there")


async def test_an_hour_that_is_opened_again_leaves_no_sums_behind(whole: Path) -> None:
    """As it is between a late correction and the next adding up."""
    with closing(sqlite3.connect(whole)) as connection, connection:
        (request_id,) = connection.execute("SELECT request_id FROM requests LIMIT 1").fetchone()
        reopen(connection, request_id)
    found = audited(whole)
    assert (found.wrong, found.hours, found.days) == (0, 4, 0)


@pytest.mark.parametrize(
    ("table", "figure", "told"),
    [
        ("requests", "router_energy_uj", {"router_energy_uj", "router_co2_ug"}),
        ("requests", "router_cpu_us", {"router_energy_uj"}),
        ("requests", "router_co2_ug", {"router_co2_ug"}),
        ("requests", "ci_mg_per_kwh", {"ci_mg_per_kwh"}),
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
    change = f"UPDATE {table} SET {figure} = {figure} + 100000 WHERE {ROW.get(table, 'rowid')} = "  # noqa: S608
    with closing(sqlite3.connect(full)) as connection, connection:
        one = f"(SELECT {ROW.get(table, 'rowid')} FROM {table} WHERE {which} LIMIT 1)"  # noqa: S608
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
    """As in a ledger from before they were kept."""
    unsealed(full)
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("DELETE FROM tariffs")
    found = audited(full)
    assert (found.unknown_tariffs, found.wrong) == (250, 0)


def columns() -> list[tuple[str, str]]:
    """Every column of every table."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema.TABLES)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]


HELD = "arm = 1 AND status = 1 AND answered_by = fallback"
OTHER = {
    ("requests", "pi_ppm"): ("1", HELD), ("requests", "conversation"): ("x'0102030405060709'", HELD),
    ("requests", "arm"): ("0", HELD), ("requests", "seed_version"): ("2", HELD), ("requests", "ts_us"): ("0", "1"),
    ("requests", "total_us"): ("0", "status = 1"), ("requests", "status"): ("4", "status = 1"),
    ("requests", "why"): ("1", "status = 1 AND why IS NULL"), ("requests", "error_code"): ("1", "status = 1"),
    ("requests", "escalated"): ("NULL", "escalated IS NOT NULL"),
    ("attempts", "error_code"): ("1", "status = 1 AND n = 0"), ("attempts", "status"): ("5", "status = 1 AND n = 0"),
    ("hours", "pruned"): ("2", "1"), ("hours", "hour"): ("7", "1"), ("days", "day"): ("7", "1"),
    ("names", "id"): ("999", "name = 'law'"), ("boots", "id"): ("99", "1"), ("requests", "boot"): ("99", "1"),
    ("device_hours", "method"): ("99", "1"), ("hour_attempts", "energy_method"): ("99", "1"),
}  # fmt: skip
"""What a column is changed to, and in which row; elsewhere one is added to it in the first row that has a value."""


def test_what_nobody_can_check_is_a_column(everything: Path) -> None:
    assert set(UNCHECKED) <= {f"{table}.{column}" for table, column in columns()}
    with closing(read_ledger(everything)) as connection:
        found = audit(connection, KEY)
    assert found.findings == []
    assert (found.undrawn_by_seed.total(), found.without_shadow, found.measured) == (0, 0, 1)


@pytest.mark.parametrize(("table", "column"), columns(), ids=[".".join(each) for each in columns()])
def test_whatever_is_changed_is_found_or_named(everything: Path, tmp_path: Path, table: str, column: str) -> None:
    copy = tmp_path / "ledger.db"
    shutil.copy(everything, copy)
    text, blob = f"WHEN 'text' THEN {column} || 'x'", "WHEN 'blob' THEN x'01'"
    default = f"CASE typeof({column}) {text} {blob} ELSE coalesce({column}, 0) + 1 END"
    to, where = OTHER.get((table, column), (default, f"1 ORDER BY {column} IS NULL"))
    with closing(sqlite3.connect(copy)) as connection, connection:
        key = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]] or ["rowid"]
        one = f"SELECT {', '.join(key)} FROM {table} WHERE {where} LIMIT 1"  # noqa: S608
        changed = connection.execute(f"UPDATE {table} SET {column} = {to} WHERE ({', '.join(key)}) = ({one})").rowcount  # noqa: S608
    assert changed == 1
    with closing(read_ledger(copy)) as connection:
        found = audit(connection, KEY)
    assert bool(found.wrong) is (f"{table}.{column}" not in UNCHECKED)


@pytest.mark.parametrize("jump_us", [3 * DAY_US, -3 * DAY_US])
async def test_a_clock_that_was_set_while_requests_were_under_way_is_no_lie(path: Path, jump_us: int) -> None:
    """Three had their id before the clock was set, and began after it."""
    tariffs = Tariffs.of_registry(registry())
    before, after = (
        list(entries(tariffs, 20, hours=0.05)),
        list(entries(tariffs, 20, 1, START_US + jump_us, hours=0.05)),
    )
    for (early, ended), (late, _) in zip(before[-3:], after[:3], strict=True):
        early.ts_us = late.ts_us
        assert ended.request_id == early.request_id
    await fill(path, [*before, *after])
    found = audited(path)
    assert (found.wrong, found.clock_set) == (0, 3)


async def test_a_moment_that_nobody_else_of_the_run_saw_is_a_lie(full: Path) -> None:
    with closing(sqlite3.connect(full)) as connection, connection:
        ends = "min(ts_us), max(ts_us) - 120000000"
        first, last = connection.execute(f"SELECT {ends} FROM requests").fetchone()  # noqa: S608
        connection.execute("UPDATE requests SET ts_us = ? WHERE ts_us = ?", (last, first))
    found = audited(full)
    assert found.clock_set == 0, "others came in between"
    assert "ts_us" in found.by_figure


@pytest.mark.parametrize(
    ("kept", "computed", "told"),
    [
        ("missing", "there", "seal of hour is missing, which other rows say was there"),
        (None, "there", "seal of hour is missing, which other rows say was there"),
        ("over", "there", "seal of hour is over, computed again there"),
        (3, 4, "seal of hour is 3, computed again 4"),
    ],
)
def test_what_is_not_there_is_told_as_missing(kept: float | str | None, computed: float | str, told: str) -> None:
    assert str(Finding("1", "seal of hour", kept, computed)) == f"1: {told}"
