"""`python -m eval.ledger_bench`: how long a month's report takes, and how much room its requests.

The month is a million requests, added up by the hour. Reports in groups are of the month of eval/board_bench.py: with
nine experts, four keys, four policies, and conversations held back, so that savings are estimated of each group. What
metering costs a request is eval/bench/metering.py's.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final, get_args

import typer

from eval import board_bench
from eval.bench.metering import request
from eval.provenance import ROOT
from experts.registry import load_registry
from router.meter.attempt import Books
from router.meter.energy import SharedCpuClock
from router.meter.hours_schema import HOUR_US
from router.meter.ledger import Ledger, read_ledger
from router.meter.report import report
from router.meter.rollup import add_up, due
from router.meter.rollup import write as write_rollup
from router.meter.rows import attempt_rows, finished_row, started_row
from router.meter.schema import ATTEMPT_COLUMNS, FINISHED_COLUMNS, STARTED_COLUMNS
from router.meter.store import Names, Store
from router.meter.tariff import Tariffs
from router.meter.totals import GroupBy
from router.meter.ulid import ulid_floor
from router.store import Transaction

MONTH_US: Final = 30 * 24 * HOUR_US
ROUNDS: Final = 3
START_US: Final = 1_790_000_000_000_000 // HOUR_US * HOUR_US


def main(
    month: Annotated[int, typer.Option(min=1000, help="Number of requests in the month.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Measure how long reports on a month take, and how much room a request needs.

    Example: python -m eval.ledger_bench --month 100000
    """
    tariffs = Tariffs.of_registry(load_registry(ROOT / "registry.yaml", {}).registry)
    with tempfile.TemporaryDirectory() as folder:
        found = _month(Path(folder) / "month.sqlite", tariffs, month) | _grouped(Path(folder) / "groups.sqlite", month)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


def _month(path: Path, tariffs: Tariffs, requests: int) -> dict[str, Any]:
    """Seconds of CPU to report a month of so many requests, from hourly sums and from raw rows."""
    store = Store(path)
    connection = store.open()
    _fill(store, tariffs, requests)
    with closing(read_ledger(path)) as reading:
        raw_s, raw = board_bench.timed(lambda: report(reading, START_US, START_US + MONTH_US, "expert"))
    bytes_before = _bytes(path)
    now_us = START_US + MONTH_US + 3 * HOUR_US
    while hours := due(connection, now_us):
        with Transaction(connection):
            for hour in hours:
                write_rollup(connection, add_up(connection, hour))
    with closing(read_ledger(path)) as reading:
        rolled_s, rolled = board_bench.timed(lambda: report(reading, START_US, START_US + MONTH_US, "expert"))
    store.close()
    if raw.to_json() | {"adding_up": None} != rolled.to_json():
        raise AssertionError("the hours' sums say something else than the rows")
    return {
        "month_requests": requests,
        "report_raw_cpu_s": round(raw_s, 2),
        "report_cpu_s": round(rolled_s, 3),
        "bytes_per_request": round(bytes_before / requests, 1),
        "sums_bytes_per_request": round((_bytes(path) - bytes_before) / requests, 1),
    }


def _grouped(path: Path, requests: int) -> dict[str, float]:
    """Seconds of CPU to report such a month in all and in groups, with what was saved of each."""
    registry = load_registry(ROOT / "examples" / "registry.hub.yaml", {}).registry
    board_bench.fill(path, board_bench.priced(registry), requests)
    took = {}
    with closing(read_ledger(path)) as reading:
        report(reading, START_US, START_US + MONTH_US)  # what is loaded at the first one is not what it takes
        for of in (None, *get_args(GroupBy)):
            took[f"report_by_{of}_cpu_s" if of else "report_in_all_cpu_s"] = statistics.median(
                board_bench.timed(lambda of=of: report(reading, START_US, START_US + MONTH_US, of).to_json())[0]  # type: ignore[misc]
                for _ in range(ROUNDS)
            )
    return {name: round(seconds, 3) for name, seconds in took.items()}


def _bytes(path: Path) -> int:
    with closing(read_ledger(path)) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def _fill(store: Store, tariffs: Tariffs, requests: int) -> None:
    """Rows of a month, varied from a few hundred real entries."""
    connection = store.open()
    names = Names(connection)
    draw = random.Random(0)  # noqa: S311
    entries = asyncio.run(_entries(store.path.with_name("entries.sqlite"), tariffs, 300))
    columns = (*STARTED_COLUMNS, *FINISHED_COLUMNS[1:])
    marks = ",".join("?" * len(columns))
    begin = f"INSERT INTO requests ({','.join(columns)}) VALUES ({marks})"  # noqa: S608 (made of constants)
    asked = f"INSERT INTO attempts VALUES ({','.join('?' * len(ATTEMPT_COLUMNS))})"  # noqa: S608
    every_us = MONTH_US // requests
    for first in range(0, requests, 20_000):
        started, attempts = [], []
        for n in range(first, min(first + 20_000, requests)):
            intent, outcome = draw.choice(entries)
            ts_us = START_US + n * every_us
            request_id = ulid_floor(ts_us)[:6] + n.to_bytes(10, "big")
            row = list(started_row(intent, 1, names))
            row[0], row[2], row[3] = request_id, int(outcome.status), ts_us
            row[10] = names[draw.choice(["sql", "law", "chat", "support-ticket", None])]
            row[15] = names[draw.choice(["team-a", "team-b", "team-c", ""])]
            started.append((*row, *finished_row(outcome, names)[2:]))
            attempts += [(request_id, *attempt[1:]) for attempt in attempt_rows(outcome, names)]
        with Transaction(connection):
            connection.executemany(begin, started)
            connection.executemany(asked, attempts)
    with Transaction(connection):
        version, body = names[tariffs.terms.version], tariffs.terms.body
        connection.execute("INSERT OR IGNORE INTO tariffs VALUES (?, ?)", (version, body))


async def _entries(path: Path, tariffs: Tariffs, count: int) -> list[Any]:
    """Intents and outcomes as accounts make them."""
    kept: list[Any] = []
    ledger = Ledger.open(path)
    clock = SharedCpuClock(time.thread_time_ns)
    books = Books(ledger, lambda _: "error", clock, lambda _: clock, lambda *pair: kept.append(pair))
    for _ in range(count):
        await request(books, tariffs)
    await ledger.aclose()
    return kept


if __name__ == "__main__":
    typer.run(main)
