"""Requests of every kind, charged by the real tariffs, for tests that need a full ledger."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

from experts.hardware import Hardware
from experts.spec import Encoder, LlamaCppSpec, OpenAISpec, Policy, Power, Price, Registry, ScriptedSpec
from experts.spec import Weights as WeightsSpec
from experts.wire import Usage
from router.decide import Decision
from router.meter.carbon import Intensity, co2_ug
from router.meter.counterfactual import counterfactual
from router.meter.devices import DeviceShare, DeviceSlice, Measured
from router.meter.holdback import VERSION, held_back
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger
from router.meter.record import (
    Arm,
    Attempt,
    Correction,
    Draw,
    EnergyMethod,
    Feedback,
    Intent,
    Outcome,
    Pair,
    Role,
    Shadow,
    Status,
    Trace,
)
from router.meter.rollup import add_up, add_up_day, due, due_days
from router.meter.seal import Seals
from router.meter.tariff import Tariffs
from router.meter.ulid import ulid_text
from router.reason import Reason
from router.request import ChatRequest

HOUR_US = 3_600_000_000
START_US = 1_793_520_000_000_000
"""2026-11-01, 08:00 UTC."""

KEY = bytes(range(32))
"""That conversations are drawn with."""

ERRORS = {
    Status.OK: None, Status.ERROR: "upstream_error", Status.PARTIAL: "upstream_error",
    Status.CANCELLED: "CancelledError",
}  # fmt: skip

DAY = date(2026, 1, 1)


def registry(**changes: object) -> Registry:
    """Three experts, each charged in another way; the fallback is a machine of one's own."""
    price = Price(input_usd_per_mtok=0.15, output_usd_per_mtok=0.6, cached_usd_per_mtok=0.075, source="list", as_of=DAY)
    weights = WeightsSpec(source="file:a.gguf", sha256="0" * 64, licence="MIT", size_bytes=400_000_000)
    owned = Hardware(
        capex_usd=30_000, power_w=1000, usd_per_kwh=0.12, tokens_per_s=3000, source="quote", as_of=DAY, embodied_kg=1500
    )
    shared = {"description": "x", "context": 4096}
    url = {"kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m"}
    told: dict[str, object] = {
        "version": 1,
        "encoder": Encoder(path=Path("/none"), sha256="0" * 64),
        "fallback": "big",
        "policies": {"balanced": Policy(threshold=0.8)},
        "power": Power(
            dynamic_w_per_core=1.92, usd_per_kwh=0.3, embodied_kg=900, cores=8, pue=1.2, source="test", as_of=DAY
        ),
        "experts": (
            LlamaCppSpec(id="sql", kind="llama_cpp", params_b=0.6, weights=weights, memory_mb=600, **shared),
            OpenAISpec(id="law", params_b=3, price=price, **url, **shared),
            ScriptedSpec(id="help", kind="scripted", params_b=0, script=Path("/none"), **shared),
            OpenAISpec(id="big", params_b=70, batch=64, hardware=owned, capacity="fixed", **url, **shared),
        ),
        **changes,
    }
    return Registry.model_validate(told)


def entries(
    tariffs: Tariffs,
    count: int,
    seed: int = 0,
    start_us: int = START_US,
    hours: float = 5.0,
    held: bool = False,
) -> Iterator[tuple[Intent, Outcome]]:
    """`count` requests spread over some hours, in the order of time; some are held back where `held`, else nobody."""
    draw = random.Random(seed)  # noqa: S311
    for moment in sorted(start_us + draw.randrange(int(hours * HOUR_US)) for _ in range(count)):
        yield _entry(draw, tariffs, moment, held)


def _entry(draw: random.Random, tariffs: Tariffs, ts_us: int, drawn: bool) -> tuple[Intent, Outcome]:
    request_id = ulid_text((ts_us // 1000 << 80 | draw.getrandbits(80)).to_bytes(16, "big"))
    grid = tariffs.grids.at(ts_us)
    small = draw.choice(["sql", "law", "help"])
    first = small if draw.random() < 0.8 else "big"
    decision, key = _decision(draw, first), draw.choice(["team-a", "team-b", ""])
    request = ChatRequest(request_id, {"model": "auto", "stream": draw.random() < 0.5}, key, endpoint="chat")
    intent = Intent(
        request, ts_us, decision, Role.ROUTED if first == small else Role.FALLBACK, "3f2a9c", grid, tariffs.terms,
        draw=conversation_draw(draw, first) if drawn else Draw(Arm.OFF),
    )  # fmt: skip
    ends = {
        "ok": [Status.OK], "retried": [Status.ERROR, Status.OK], "failed": [Status.ERROR, Status.ERROR],
        "left": [Status.CANCELLED], "broken": [Status.PARTIAL], "unasked": [],
    }  # fmt: skip
    (end,) = draw.choices(list(ends), [80, 8, 3, 5, 3, 1])
    held = intent.draw is not None and intent.draw.held
    order = ["big", small] if held else [first, "big"]
    intent.role = Role.FALLBACK if held else intent.role
    attempts = [
        attempt_of(
            draw, tariffs, expert, intent.role if n == 0 else Role.ROUTED if held else Role.FALLBACK, status, grid
        )
        for n, (expert, status) in enumerate(zip(order, ends[end], strict=False))
    ]
    return intent, outcome(tariffs, intent, attempts, draw.randrange(50_000, 3_000_000))


def _decision(draw: random.Random, first: str) -> Decision:
    label, probability = draw.choice(["text-to-sql", "law", None]), draw.randrange(1_000_001) / 1e6
    known = draw.randrange(1_000_001) / 1e6
    return Decision(first, probability, 0.8, label, "balanced", "a reason", known=known)


def conversation_draw(draw: random.Random, first: str) -> Draw | None:
    """As the experiment draws, with `KEY`, one in five; some cannot be drawn."""
    if first == "big":
        return None
    if draw.random() < 0.3:
        return Draw(Arm.BUSY)
    talk = draw.randbytes(8)
    return Draw(Arm.HOLDBACK if held_back(KEY, talk, 0.2) else Arm.NORMAL, 200_000, talk, VERSION)


def attempt_of(
    draw: random.Random, tariffs: Tariffs, expert: str, role: Role, status: Status, grid: Intensity
) -> Attempt:
    """One expert asked, charged as an account does it."""
    attempt = Attempt(expert, role, status)
    given, made = draw.randrange(5, 3000), draw.randrange(1, 900)
    heard = status is not Status.ERROR
    written = given // 4 if made % 3 == 0 else 0
    usage = Usage(given, made, draw.choice([0, given // 2]), made // 3, "upstream", written) if heard else Usage()
    process = tariffs.of(expert).has_process
    tariffs.of(expert).charge(attempt, usage, draw.randrange(10**9) if process else None, grid.mg_per_kwh)
    attempt.total_us = draw.randrange(10_000, 9_000_000)
    attempt.first_byte_us = attempt.total_us // 3 if heard else None
    attempt.error_code = ERRORS[status]
    return attempt


def shadow(draw: random.Random, tariffs: Tariffs, intent: Intent) -> Shadow:
    """What runs beside a held-back request."""
    grid = tariffs.grids.at(intent.ts_us)
    beside = attempt_of(draw, tariffs, intent.decision.expert, Role.SHADOW, Status.OK, grid)
    return Shadow(intent.request_id, [beside], Pair(same=False))


def outcome(tariffs: Tariffs, intent: Intent, attempts: list[Attempt], router_cpu_ns: int) -> Outcome:
    """The end of a request, charged as an account does it."""
    ci = intent.grid.mg_per_kwh
    spent, alone = tariffs.router(router_cpu_ns, ci), counterfactual(attempts, tariffs.fallback, ci)
    last = attempts[-1] if attempts else None
    status = last.status if last else Status.CANCELLED
    held = intent.draw is not None and intent.draw.held
    before = status is Status.OK and (len(attempts) > 1 or (intent.role is Role.FALLBACK and not held))
    return Outcome(
        intent.request_id, status, last.expert if last and status is Status.OK else None,
        "before" if before else None, attempts, *spent, 700,
        last.first_byte_us if last else None, sum(each.total_us for each in attempts) + 1_000, *alone,
        last.error_code if last else None,
        (Reason.FAILED if len(attempts) > 1 else Reason.NOT_SURE) if before else None,
        tariffs.electricity,
    )  # fmt: skip


async def fill(path: Path, traffic: list[tuple[Intent, Outcome]], beside: Iterable[Shadow] = ()) -> None:
    """Write them into a ledger, as a server does it."""
    ledger = Ledger.open(path)
    await asyncio.gather(*[ledger.begin(intent) for intent, _ in traffic])
    await asyncio.gather(*[ledger.finish(ended) for _, ended in traffic])
    await asyncio.gather(*[ledger.note(each) for each in beside])
    await ledger.aclose()


def without_method(connection: sqlite3.Connection) -> None:
    """As it was before the router's own work could be measured, in version 10."""
    without_rejected(connection)
    for table in ("requests", "hour_requests", "day_requests"):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN router_method")
    _without_seeds(connection)
    connection.execute("PRAGMA user_version = 10")


def unnamed_key(path: Path) -> None:
    """Make it one of the version before it kept which key its draws were made with."""
    with closing(sqlite3.connect(path)) as connection, connection:
        without_rejected(connection)
        _without_seeds(connection)
        connection.execute("PRAGMA user_version = 11")


def without_cache_writes(connection: sqlite3.Connection) -> None:
    """As it was before tokens written into a cache were counted, in version 13: charged as input, sealed without."""
    seals, pruned = Seals(), connection.execute("SELECT hour FROM hours WHERE pruned > 0").fetchall()
    written = connection.execute("SELECT DISTINCT request_id FROM attempts WHERE cache_write_tokens > 0").fetchall()
    _seal_again(connection, seals, written, pruned, -1)
    for table in ("attempts", "hour_attempts", "day_attempts"):
        connection.execute(f"UPDATE {table} SET cache_write_tokens = 0")  # noqa: S608 (constants)
    _seal_again(connection, seals, written, pruned, 1)
    seals.write(connection)
    for table in ("attempts", "hour_attempts", "day_attempts"):
        connection.execute(f"ALTER TABLE {table} DROP COLUMN cache_write_tokens")
    connection.execute("PRAGMA user_version = 13")


def _seal_again(
    connection: sqlite3.Connection, seals: Seals, requests: list[tuple[bytes]], hours: list[tuple[int]], sign: int
) -> None:
    for (request_id,) in requests:
        seals.kept(connection, request_id, sign)
    for (hour,) in hours:
        one = Seals()
        one.sums(connection, hour)
        for at, parts in one.hours.items():
            for place, part in enumerate(parts):
                seals.hours[at][place] += sign * part


def without_rejected(connection: sqlite3.Connection) -> None:
    """As it was before rejected answers were added up, in version 12."""
    without_cache_writes(connection)
    seals = Seals()
    for (request_id,) in connection.execute("SELECT request_id FROM rejected"):
        seals.rejected(request_id, sign=-1)
    seals.write(connection)
    connection.executescript("DROP TABLE rejected; DROP TABLE hour_rejected; DROP TABLE day_rejected")
    connection.execute("PRAGMA user_version = 12")


def _without_seeds(connection: sqlite3.Connection) -> None:
    seals = Seals()
    for row in connection.execute("SELECT * FROM seeds"):
        seals.word("seeds", row, sign=-1)
    seals.write(connection)
    connection.execute("DROP TABLE seeds")


def unsealed(path: Path) -> None:
    """Make it one of the version before rows were sealed as they are written."""
    with closing(sqlite3.connect(path)) as connection, connection:
        without_method(connection)
        connection.execute("DROP TABLE seals")
        connection.execute("ALTER TABLE hours ADD COLUMN rows_hash BLOB")
        connection.execute("ALTER TABLE hours ADD COLUMN held_hash BLOB")
        connection.execute("PRAGMA user_version = 9")


async def fill_everything(path: Path) -> None:
    """Rows in every table: two days of traffic, what ran beside, what was measured, said and kept."""
    tariffs, draw = Tariffs.of_registry(registry()), random.Random(5)  # noqa: S311
    traffic = list(entries(tariffs, 150, held=True))
    held = [intent for intent, ended in traffic if intent.draw and intent.draw.held and ended.answered_by == "big"]
    assert len(held) > 5
    for intent, _ in traffic:
        intent.trace = Trace("a maker", b"vector", b"surface", "a text")
    await fill(path, traffic, [shadow(draw, tariffs, intent) for intent in held])
    ledger = Ledger.open(path)
    await ledger.seed(KEY)
    later = list(entries(tariffs, 20, 1, START_US + DAY_US))
    for begun, ended in later:
        await ledger.begin(begun)
        await ledger.finish(ended)
    own = ((begun, n, a) for begun, ended in later for n, a in enumerate(ended.attempts))
    intent, at, _ = next(each for each in own if each[2].expert == "sql" and each[2].input_tokens)
    ledger.measured(measured(intent, at))
    forgotten, rejected = [intent for intent, ended in later if ended.status is Status.OK][:2]
    await ledger.hear(Feedback(forgotten.request_id, START_US, 100_000))
    await ledger.purge(0, START_US + 2 * DAY_US, 0)
    await ledger.hear(Feedback(rejected.request_id, START_US, 200_000))
    for score in (300_000, 900_000):
        await ledger.hear(Feedback(traffic[0][0].request_id, START_US, score, ("expected", "comment")))
    await ledger.aclose()


async def add_up_all(path: Path) -> None:
    """Every hour and day, as housekeeping does it."""
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        for hour in due(connection, START_US + 60 * HOUR_US):
            await ledger.roll_up(add_up(connection, hour))
        for day in due_days(connection, START_US + 60 * HOUR_US):
            await ledger.roll_up(add_up_day(connection, day))
    await ledger.aclose()


def measured(intent: Intent, at: int) -> Measured:
    """A counter was read while an attempt was under way."""
    carbon = co2_ug(24_000, intent.grid.mg_per_kwh)
    fix = Correction(intent.request_id, at, 24_000, carbon, EnergyMethod.MEASURED, also_counterfactual=False)
    share = DeviceShare(
        intent.ts_us // HOUR_US, "cpu", EnergyMethod.MEASURED, 1_200_000, counter_uj=50_000, attempts_uj=20_000,
        router_uj=10_000, idle_uj=15_000, other_uj=5_000, charged_uj=24_000, samples=1,
    )  # fmt: skip
    ends = share.hour * HOUR_US, share.hour * HOUR_US + 1_000_000
    part = DeviceSlice("cpu", share.method, share.pue_ppm, *ends, [50_000, 15_000, 5_000, 0, 0])
    return Measured([fix], [share], [part])
