"""`python -m eval.ledger_bench`: what metering costs a request, and how long a month's report takes.

Requests are metered exactly as the server does it, without the server: an account is opened, an attempt noted, the
account closed, the ledger a real file. CPU time is read from the clocks of the event loop's thread, less what the same
loop takes without an account, and of the ledger's writer. The month is a million requests, added up by the hour.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from experts.registry import load_registry
from experts.wire import Completion, Usage
from router.decide import Decision
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.energy import SharedCpuClock
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Role
from router.meter.report import report
from router.meter.rollup import HOUR_US, add_up, due
from router.meter.rollup import write as write_rollup
from router.meter.rows import attempt_rows, finished_row, started_row
from router.meter.schema import ATTEMPT_COLUMNS, FINISHED_COLUMNS, STARTED_COLUMNS
from router.meter.store import Names, Store
from router.meter.tariff import Tariffs
from router.meter.ulid import new_ulid, ulid_floor
from router.request import ChatRequest
from router.store import Transaction

ROOT: Final = Path(__file__).parents[1]
MONTH_US: Final = 30 * 24 * HOUR_US
START_US: Final = 1_790_000_000_000_000 // HOUR_US * HOUR_US
AT_ONCE: Final = 64

Work = Callable[[], Awaitable[None]]


def main(
    requests: Annotated[int, typer.Option(min=1000, help="Metered in a round.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Of which the medians are told.")] = 5,
    month: Annotated[int, typer.Option(help="Requests of the month; 0 leaves it out.")] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Measure it.

    Example: python -m eval.ledger_bench --rounds 9
    """
    tariffs = Tariffs.of_registry(load_registry(ROOT / "registry.yaml", {}).registry)
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_metering(Path(folder) / "small.sqlite", tariffs, requests, rounds))
        if month:
            found |= _month(Path(folder) / "month.sqlite", tariffs, month)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        typer.echo(f"{name}: {value}")


async def _metering(path: Path, tariffs: Tariffs, requests: int, rounds: int) -> dict[str, Any]:
    """Microseconds of CPU a request, medians and ranges over rounds."""
    ledger = Ledger.open(path)
    clock = SharedCpuClock(time.thread_time_ns)
    books = Books(ledger, lambda _: "error", clock, lambda _: clock, lambda *_: None)
    writer = time.pthread_getcpuclockid(ledger.thread or 0)
    metered: list[float] = []
    bare: list[float] = []
    written: list[float] = []
    for _ in range(rounds):
        bare.append(await _round(_nothing, requests))
        before = time.clock_gettime_ns(writer)
        metered.append(await _round(lambda: _request(books, tariffs), requests))
        written.append((time.clock_gettime_ns(writer) - before) / requests / 1000)
    await ledger.aclose()
    loop = [with_it - without for with_it, without in zip(metered, bare, strict=True)]
    return {
        "event_loop_us": round(statistics.median(loop), 1),
        "event_loop_us_range": [round(min(loop), 1), round(max(loop), 1)],
        "writer_us": round(statistics.median(written), 1),
        "writer_us_range": [round(min(written), 1), round(max(written), 1)],
    }


async def _round(work: Work, requests: int) -> float:
    """Microseconds of this thread's CPU for each of so many, `AT_ONCE` at a time."""
    left = iter(range(requests))

    async def client() -> None:
        for _ in left:
            await work()

    before = time.thread_time_ns()
    await asyncio.gather(*[client() for _ in range(AT_ONCE)])
    return (time.thread_time_ns() - before) / requests / 1000


async def _nothing() -> None:
    """A request that nobody meters: as often back to the event loop as its account would be."""
    ChatRequest(new_ulid(), dict(_BODY))
    await asyncio.sleep(0)
    await asyncio.sleep(0)


_BODY: Final = {"model": "auto", "messages": [{"role": "user", "content": "How do I add an expert?"}]}
_DECISION: Final = Decision("chat", 0.9, 0.8, "chat", "balanced", "smallest expert above its threshold")
_STEPS: Final = (Step("shoal-help", Role.ROUTED), Step("chat", Role.FALLBACK))
_ANSWER: Final = {"choices": [{"message": {"content": "Edit registry.yaml."}, "finish_reason": "stop"}]}


async def _request(books: Books, tariffs: Tariffs) -> None:
    request = ChatRequest(new_ulid(), dict(_BODY))
    account = Account(books, tariffs, request, _DECISION, _STEPS, "3f2a9c", None, books.start())
    async with account:
        for attempt in account.attempts():
            with attempt:
                attempt.completed(Completion(_ANSWER, Usage(12, 6, source="upstream")))
        await account.settle()


def _month(path: Path, tariffs: Tariffs, requests: int) -> dict[str, Any]:
    """Seconds of CPU to report a month of so many requests, from hourly sums and from raw rows."""
    store = Store(path)
    connection = store.open()
    _fill(store, tariffs, requests)
    with closing(read_ledger(path)) as reading:
        raw_s, raw = _timed(lambda: report(reading, START_US, START_US + MONTH_US, "expert"))
    bytes_before = _bytes(path)
    now_us = START_US + MONTH_US + 3 * HOUR_US
    while hours := due(connection, now_us):
        with Transaction(connection):
            for hour in hours:
                write_rollup(connection, add_up(connection, hour))
    with closing(read_ledger(path)) as reading:
        rolled_s, rolled = _timed(lambda: report(reading, START_US, START_US + MONTH_US, "expert"))
    store.close()
    if raw.to_json() != rolled.to_json():
        raise AssertionError("the hours' sums say something else than the rows")
    return {
        "month_requests": requests,
        "report_raw_cpu_s": round(raw_s, 2),
        "report_cpu_s": round(rolled_s, 3),
        "bytes_per_request": round(bytes_before / requests, 1),
        "sums_bytes_per_request": round((_bytes(path) - bytes_before) / requests, 1),
    }


def _bytes(path: Path) -> int:
    with closing(read_ledger(path)) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this thread, which is all that SQLite uses, and the result."""
    began = time.thread_time()
    found = work()
    return time.thread_time() - began, found


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
        version, body = names[tariffs.version], tariffs.body
        connection.execute("INSERT OR IGNORE INTO tariffs VALUES (?, ?)", (version, body))


async def _entries(path: Path, tariffs: Tariffs, count: int) -> list[Any]:
    """Intents and outcomes as accounts make them."""
    kept: list[Any] = []
    ledger = Ledger.open(path)
    clock = SharedCpuClock(time.thread_time_ns)
    books = Books(ledger, lambda _: "error", clock, lambda _: clock, lambda *pair: kept.append(pair))
    for _ in range(count):
        await _request(books, tariffs)
    await ledger.aclose()
    return kept


if __name__ == "__main__":
    typer.run(main)
