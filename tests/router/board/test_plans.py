"""How SQLite reads a ledger for the dashboard: by an index always, and by sums wherever there are any."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from eval.board_bench import DAY_US, END_US, HOUR_US, OPEN_US, START_US, fill, priced
from experts.registry import load_registry
from experts.spec import Registry
from router.board.overview import overview
from router.meter.ledger import read_ledger
from router.meter.report import report

REGISTRY = Path(__file__).parents[3] / "examples" / "registry.hub.yaml"
END = END_US - HOUR_US + OPEN_US


@pytest.fixture(scope="module")
def registry() -> Registry:
    return priced(load_registry(REGISTRY, {}).registry)


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Path:
    """A month of a few thousand requests of every kind, added up."""
    path = tmp_path_factory.mktemp("month") / "ledger.sqlite"
    fill(path, registry, 6000, kinds=300, held=0.1)
    return path


def asked(month: Path, registry: Registry, length_us: int) -> list[tuple[str, list[str]]]:
    """Every query of the dashboard's figures, with its plan."""
    told: list[str] = []
    with closing(read_ledger(month)) as connection:
        connection.set_trace_callback(told.append)
        overview(connection, registry, END - length_us, END)
        connection.set_trace_callback(None)
        queries = [query for query in dict.fromkeys(told) if query.lstrip().upper().startswith(("SELECT", "WITH"))]
        return [(query, plan(connection, query)) for query in queries]


def plan(connection: sqlite3.Connection, query: str) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]


@pytest.mark.parametrize("length_us", [HOUR_US, DAY_US, 7 * DAY_US, 30 * DAY_US])
def test_no_query_reads_through_all_requests_or_sums(month: Path, registry: Registry, length_us: int) -> None:
    found = asked(month, registry, length_us)
    assert len(found) > 15
    read = [step for _, steps in found for step in steps]
    assert any("requests_time" in step for step in read)
    assert [step for step in read if step in ("SCAN r", "SCAN a", "SCAN f", "SCAN s", "SCAN requests")] == []


def test_a_month_is_read_from_days_and_only_its_ends_from_rows(month: Path, registry: Registry) -> None:
    found = asked(month, registry, 30 * DAY_US)
    assert any("day_requests" in query for query, _ in found)
    summed = [query for query, _ in found if "FROM requests r" in query and "sum(" in query]
    bounds = [re.findall(r"ts_us >= (\d+) AND r.ts_us < (\d+)", query)[0] for query in summed]
    assert summed
    assert all(int(end) - int(begin) < DAY_US for begin, end in bounds)


def test_a_month_says_the_same_from_days_as_from_hours_and_rows(month: Path, registry: Registry) -> None:
    with closing(read_ledger(month)) as connection:
        before = overview(connection, registry, START_US, END), report(connection, START_US, END, "domain").to_json()
    with closing(sqlite3.connect(month)) as connection, connection:
        connection.execute("DELETE FROM days")
    with closing(read_ledger(month)) as connection:
        by_hours = overview(connection, registry, START_US, END), report(connection, START_US, END, "domain").to_json()
    with closing(sqlite3.connect(month)) as connection, connection:
        connection.execute("DELETE FROM hours")
    with closing(read_ledger(month)) as connection:
        by_rows = overview(connection, registry, START_US, END), report(connection, START_US, END, "domain").to_json()
    assert orjson.loads(orjson.dumps(before[0])) == before[0]  # plain numbers, as the endpoints write them
    assert by_hours == before
    assert (by_rows[0]["totals"]["adding_up"], by_rows[1]["adding_up"]) == ({"hours": 0, "of": 30 * 24 - 1},) * 2
    by_rows[0]["totals"]["adding_up"] = by_rows[1]["adding_up"] = None
    assert by_rows == before
    assert before[0]["savings"]["status"] == "published"
