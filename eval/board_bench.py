"""`python -m eval.board_bench`: how long the dashboard's figures take on a month of a million requests.

The ledger is filled with rows as the server writes them (small answers, fallbacks and their reasons, failures, clients
that left, held-back conversations with their shadows, feedback) and added up by the hour; then every period a browser
can ask for is asked, and each part of the answer is timed. CPU time of this thread, which is all that SQLite uses.
"""

from __future__ import annotations

import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from eval.provenance import ROOT
from experts.price import Price
from experts.registry import load_registry
from experts.spec import Registry
from experts.wire import Usage
from router.board.overview import overview
from router.decide import Decision
from router.meter.carbon import Intensity
from router.meter.counterfactual import counterfactual
from router.meter.hours_schema import DAY_US, HOUR_US
from router.meter.ledger import read_ledger
from router.meter.record import Arm, Attempt, Draw, Intent, Outcome, Role, Shadow, Status
from router.meter.rollup import add_up, add_up_day, due, due_days
from router.meter.rollup import write as write_rollup
from router.meter.rows import attempt_rows, finished_row, shadow_rows, started_row
from router.meter.schema import ATTEMPT_COLUMNS, FINISHED_COLUMNS, STARTED_COLUMNS
from router.meter.store import Names, Store
from router.meter.tariff import Tariffs
from router.meter.ulid import ulid_floor, ulid_text
from router.reason import Reason
from router.request import ChatRequest
from router.store import Transaction

MONTH_US: Final = 30 * DAY_US
START_US: Final = 1_790_000_000_000_000 // HOUR_US * HOUR_US
END_US: Final = START_US + MONTH_US
OPEN_US: Final = 40 * 60 * 1_000_000
"""The end of the month is in the middle of an hour, as now always is: that hour has no sums."""
AT_ONCE: Final = 20_000
KINDS: Final = 3_000
"""Different requests, of which all are copies at another time."""
HELD: Final = 0.01
RATED: Final = 0.02
PERIODS: Final = {"hour": HOUR_US, "day": DAY_US, "week": 7 * DAY_US, "month": MONTH_US, "all": None}


@dataclass(frozen=True, slots=True)
class Kind:
    """A request with its end, and what ran beside it."""

    intent: Intent
    outcome: Outcome
    shadow: Shadow | None


def main(
    requests: Annotated[int, typer.Option(min=1000, help="Number of requests in the month.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to measure; the medians are reported.")] = 5,
    ledger: Annotated[
        Path | None, typer.Option(help="Keep the ledger in this file, and reuse it if it exists.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Measure how long the dashboard's figures of a month take.

    Example: python -m eval.board_bench --requests 1000000 --ledger /tmp/month.sqlite
    """
    registry = priced(load_registry(ROOT / "examples" / "registry.hub.yaml", {}).registry)
    with tempfile.TemporaryDirectory() as folder:
        path = ledger or Path(folder) / "month.sqlite"
        if not path.exists():
            fill(path, registry, requests)
        found = {name: _seconds(path, registry, length, rounds) for name, length in PERIODS.items()}
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, (median_s, least_s, most_s) in found.items():
        typer.echo(f"{name}: {median_s:.3f} s ({least_s:.3f} to {most_s:.3f})")


def priced(registry: Registry) -> Registry:
    """The same, its fallback at a price, so that there is money to save."""
    price = Price(input_usd_per_mtok=2.5, output_usd_per_mtok=10.0, source="made up", as_of=date(2026, 1, 1))
    experts = [
        spec.model_copy(update={"price": price}) if spec.id == registry.fallback else spec for spec in registry.experts
    ]
    return registry.model_copy(update={"experts": tuple(experts)})


def fill(path: Path, registry: Registry, requests: int, kinds: int = KINDS, held: float = HELD) -> None:
    """Make the ledger of a month, and add up its whole hours and days. `held` is the share that is held back."""
    store, draw = Store(path), random.Random(0)  # noqa: S311
    connection, tariffs = store.open(), Tariffs.of_registry(registry)
    names = Names(connection)
    many = [_kind(draw, registry, tariffs, held) for _ in range(kinds)]
    with Transaction(connection):
        connection.execute("INSERT INTO tariffs VALUES (?, ?)", (names[tariffs.terms.version], tariffs.terms.body))
    every_us = (MONTH_US - HOUR_US + OPEN_US) // requests
    for first in range(0, requests, AT_ONCE):
        with Transaction(connection):
            _write(
                store,
                names,
                [_moved(draw.choice(many), n, every_us) for n in range(first, min(first + AT_ONCE, requests))],
                draw,
            )
    while hours := due(connection, END_US):
        with Transaction(connection):
            for hour in hours:
                write_rollup(connection, add_up(connection, hour))
    for day in due_days(connection, END_US):
        with Transaction(connection):
            write_rollup(connection, add_up_day(connection, day))
    store.close()


def _kind(draw: random.Random, registry: Registry, tariffs: Tariffs, rate: float) -> Kind:
    """A request as it may come: nine in ten are routed, of those a quarter are left to the fallback."""
    small = draw.choice([spec for spec in registry.experts if spec.id != registry.fallback])
    policy = draw.choices(["", *registry.policies], [10, 70, 10, 10])[0]
    given = draw.random() < 0.25 and bool(policy)
    held = bool(policy) and not given and draw.random() < rate
    chosen = registry.fallback if given else small.id
    role = Role.FALLBACK if given else Role.ROUTED if policy else Role.NAMED
    decision = Decision(
        chosen, draw.betavariate(8, 2) if policy else None, 0.8, small.domain or small.id, policy, "",
        known=draw.random() ** 3 if given else draw.uniform(0.1, 1),
    )  # fmt: skip
    key = draw.choice(["team-a", "team-b", "team-c", ""])
    request = ChatRequest(ulid_text(bytes(16)), {"model": f"auto:{policy}" if policy else chosen}, key)
    intent = Intent(
        request, 0, decision, role, "3f2a9c", Intensity("WOR 2025", 458_290), tariffs.terms,
        draw=Draw(Arm(held), round(rate * 1e6), bytes(8), 1) if policy and not given else None,
    )  # fmt: skip
    end = draw.choices([Status.OK, Status.ERROR, Status.CANCELLED], [95, 2, 3])[0]
    steps = [(registry.fallback, Role.FALLBACK) if held else (chosen, role)]
    if chosen != registry.fallback and draw.random() < 0.03:
        steps.append((registry.fallback, Role.FALLBACK))
    last = len(steps) - 1
    attempts = [_attempt(draw, tariffs, *step, end if n == last else Status.ERROR) for n, step in enumerate(steps)]
    shadow = Shadow(intent.request_id, [_attempt(draw, tariffs, small.id, Role.SHADOW, Status.OK)]) if held else None
    return Kind(intent, _outcome(draw, tariffs, intent, attempts), shadow)


def _attempt(draw: random.Random, tariffs: Tariffs, expert: str, role: Role, status: Status) -> Attempt:
    made = Attempt(expert, role, status, total_us=round(1e5 * draw.lognormvariate(1, 1)), first_byte_us=40_000)
    usage = Usage(round(draw.lognormvariate(5, 1)), round(draw.lognormvariate(4.5, 1)), source="upstream")
    tariffs.of(expert).charge(made, usage, round(4e9 * draw.lognormvariate(0, 1)), 458_290)
    return made


def _outcome(draw: random.Random, tariffs: Tariffs, intent: Intent, attempts: list[Attempt]) -> Outcome:
    last, alone = attempts[-1], counterfactual(attempts, tariffs.fallback, 458_290)
    spent, good = tariffs.router(draw.randrange(500_000, 2_000_000), 458_290), last.status is Status.OK
    escalated = "before" if good and (len(attempts) > 1 or intent.role is Role.FALLBACK) else None
    return Outcome(
        intent.request_id, last.status, last.expert if good else None, escalated, attempts, *spent,
        700, last.first_byte_us, sum(each.total_us for each in attempts),
        *alone,
        why=draw.choice(list(Reason)[:5]) if escalated and intent.role is Role.FALLBACK else Reason.FAILED,
    )  # fmt: skip


def _moved(kind: Kind, n: int, every_us: int) -> tuple[Kind, int, bytes]:
    moment_us = START_US + n * every_us
    return kind, moment_us, ulid_floor(moment_us)[:6] + n.to_bytes(10, "big")


def _write(store: Store, names: Names, many: list[tuple[Kind, int, bytes]], draw: random.Random) -> None:
    requests, attempts, feedback = [], [], []
    for n, (kind, moment_us, request_id) in enumerate(many):
        row = [*started_row(kind.intent, 1, names), *finished_row(kind.outcome, names)[2:]]
        row[0], row[2], row[3] = request_id, int(kind.outcome.status), moment_us
        talk = STARTED_COLUMNS.index("conversation")
        row[talk] = None if row[talk] is None else request_id[8:]
        requests.append(row)
        rows = [*attempt_rows(kind.outcome, names), *(shadow_rows(kind.shadow, names) if kind.shadow else ())]
        attempts += [(request_id, *attempt[1:]) for attempt in rows]
        if n % round(1 / RATED) == 0:
            feedback.append((request_id, moment_us, 1_000_000 * (draw.random() < 0.8)))
    connection = store.open()
    columns = (*STARTED_COLUMNS, *FINISHED_COLUMNS[1:])
    for table, named, rows in (
        ("requests", columns, requests), ("attempts", ATTEMPT_COLUMNS, attempts),
        ("feedback", ("request_id", "ts_us", "score_ppm"), feedback),
    ):  # fmt: skip
        marks = ",".join("?" * len(named))
        connection.executemany(f"INSERT INTO {table} ({','.join(named)}) VALUES ({marks})", rows)  # noqa: S608


def _seconds(path: Path, registry: Registry, length_us: int | None, rounds: int) -> tuple[float, float, float]:
    """CPU seconds of all figures of the last so many microseconds: median, least, most."""
    since_us = None if length_us is None else END_US - HOUR_US + OPEN_US - length_us
    with closing(read_ledger(path)) as connection:
        took = [timed(lambda: overview(connection, registry, since_us, END_US))[0] for _ in range(rounds)]
    return statistics.median(took), min(took), max(took)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this thread, which is all that SQLite uses, and the result."""
    began = time.thread_time()
    found = work()
    return time.thread_time() - began, found


if __name__ == "__main__":
    typer.run(main)
