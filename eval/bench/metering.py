"""What metering costs a request: `python -m eval.bench.metering` writes eval/results/metering.json.

Requests are metered exactly as the server does it, without the server: an account is opened, an attempt noted, the
account closed, counted for Prometheus, and entered in a ledger that is a real file, on the event loop that the server
runs on and with its collector's settings. The event loop's figure is the CPU time of its thread, less what it takes for
the same requests without an account; the writer's is that of the ledger's thread. Rounds of all cases take turns, so
that a slow minute of the machine is in each of them, and every figure is made round by round: what is a sum here has
the quartiles of the sum.

`work` is what accounts do on the event loop, behind a ledger that takes every entry at once; `told` is what it takes
more to say their figures in the answer, and `metering` both. `busy` is `metering` with the real ledger, when many
requests are under way at once, and `durable` what that takes more: that each answer waits until both its entries are on
the disk. `alone` is `busy` for one request at a time, where a thread goes to sleep and wakes up at each wait.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from eval.bench.machine import disk, yardstick
from eval.bench.spread import Spread
from eval.provenance import ROOT, origin
from experts.destination import require_file, write_there
from experts.errors import ShoalError
from experts.registry import load_registry
from experts.spec import Registry
from experts.wire import Call, Completion, Usage
from router import memory
from router.decide import Decision
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.energy import READ_EVERY_NS, SharedCpuClock
from router.meter.ledger import Ledger
from router.meter.receipt import Receipt
from router.meter.record import Intent, Outcome, Role
from router.meter.tariff import Tariffs
from router.meter.ulid import new_ulid
from router.meter.work import WorkClock
from router.meter.writer import Written
from router.request import ChatRequest
from router.telemetry import Telemetry

RESULT: Final = ROOT / "eval/results/metering.json"
SCRATCH: Final = ROOT / ".shoal"
"""The ledger of a measurement lies where real ones do: on a disk, not in memory."""

BUSY: Final = 64
"""Requests under way at once on a busy router."""

Work = Callable[[], Awaitable[None]]

_BODY: Final = {"model": "auto", "messages": [{"role": "user", "content": "How do I add an expert?"}]}
_DECISION: Final = Decision("chat", 0.9, 0.8, "chat", "balanced", "smallest expert above its threshold")
_STEPS: Final = (Step("shoal-help", Role.ROUTED), Step("chat", Role.FALLBACK))
_ANSWER: Final = {"choices": [{"message": {"content": "Edit registry.yaml."}, "finish_reason": "stop"}]}


class NoLedger(Ledger):
    """Takes every entry at once and keeps none: what is left is the work of the event loop."""

    def __init__(self) -> None:
        pass

    def afterwards(self, work: Callable[[], None]) -> None:
        """There is no thread to do it on."""

    def begin(self, intent: Intent) -> Written:
        """As often back to the event loop as a ledger would be."""
        return _at_once()

    def finish(self, outcome: Outcome) -> Written:
        """As `begin`."""
        return _at_once()


@dataclass(frozen=True, slots=True)
class Case:
    """One way to go through requests: what each does, how many of them, how many at once."""

    work: Work
    requests: int
    at_once: int = BUSY
    writer: int | None = None
    """The thread that writes, where there is one."""


FIGURES: Final = {
    "loop_work_us": (("unsaid",), ("waiting",)),
    "loop_told_us": (("said",), ("unsaid",)),
    "loop_metering_us": (("said",), ("waiting",)),
    "loop_durable_us": (("busy", "waiting"), ("bare", "said")),
    "loop_busy_us": (("busy",), ("bare",)),
    "writer_busy_us": (("busy, writer",), ()),
    "loop_alone_us": (("alone",), ("bare alone",)),
    "writer_alone_us": (("alone, writer",), ()),
}
"""Of each figure the cases that it is made of in a round, and those that are taken off."""


def main(
    requests: Annotated[int, typer.Option(min=100, help="Requests in each round.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds to measure; the medians are reported.")] = 7,
    out: Annotated[Path, typer.Option(help="The file to write the result to.")] = RESULT,
) -> None:
    """Measure, print the medians and write the result.

    Example: python -m eval.bench.metering --rounds 3 --out /tmp/metering.json
    """
    import uvloop

    try:
        require_file("--out", out)
    except ShoalError as error:
        raise typer.BadParameter(str(error)) from None
    memory.settle()
    found = uvloop.run(measured(requests, rounds))
    write_there("--out", out, [json.dumps(found, indent=1).encode(), b"\n"])
    for name, value in found["figures"].items():
        typer.echo(f"{name}: {value}")


async def measured(requests: int, rounds: int) -> dict[str, Any]:
    """Every case, as the object that metering.json holds."""
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="metering-", dir=SCRATCH) as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            ledger = Ledger.open(folder / "ledger.sqlite")
            stack.push_async_callback(ledger.aclose)
            cases = _cases(registry, ledger, requests)
            taken = [await _round(cases) for _ in range(rounds)]
        return _told(taken, requests, disk(folder))


def _cases(registry: Registry, ledger: Ledger, requests: int) -> dict[str, Case]:
    """Every one says the decision, which is no figure of metering."""
    tariffs, none = Tariffs.of_registry(registry), NoLedger()
    real, null = books_of(ledger, registry, ledger.thread), books_of(none, registry, ledger.thread)
    null.on_close = lambda *_: None  # nobody would ever add it up

    async def metered() -> None:
        (await request(real, tariffs)).to_json()

    async def said() -> None:
        (await request(null, tariffs)).to_json()

    async def unsaid() -> None:
        (await request(null, tariffs)).intent.decision.to_json()

    few = max(1, requests // 20)
    return {
        "waiting": Case(_waiting, requests),
        "unsaid": Case(unsaid, requests),
        "said": Case(said, requests),
        "bare": Case(_unmetered, requests),
        "busy": Case(metered, requests, writer=ledger.thread),
        "bare alone": Case(_unmetered, few, 1),
        "alone": Case(metered, few, 1, ledger.thread),
    }


def books_of(ledger: Ledger, registry: Registry, writer: int | None) -> Books:
    """What accounts share, as the server opens it; its own threads are this one, the writer's and the encoder's."""
    clock = WorkClock()
    for thread in (None, writer, None):
        clock.join(thread)
    shared = SharedCpuClock(clock, READ_EVERY_NS)
    telemetry = Telemetry(ledger, lambda: registry)
    ledger.afterwards(telemetry.add_up)
    return Books(ledger, lambda _: "error", shared, lambda _: shared, telemetry.closed)


async def request(books: Books, tariffs: Tariffs) -> Receipt:
    """One request, answered by a server that tells its usage."""
    asked = ChatRequest(new_ulid(), dict(_BODY))
    account = Account(books, tariffs, asked, _DECISION, _STEPS, "3f2a9c", None, books.start())
    async with account:
        for attempt in account.attempts():
            with attempt:
                attempt.completed(Completion(_ANSWER, Usage(12, 6, source="upstream")))
        receipt, written = account.close()
        await written
        return receipt


async def _unmetered() -> None:
    """The same request without an account."""
    asked = ChatRequest(new_ulid(), dict(_BODY))
    Call(asked.body, asked.request_id, None, asked.prompts)
    Completion(_ANSWER, Usage(12, 6, source="upstream"))
    _DECISION.to_json()


async def _waiting() -> None:
    """The same, with the waits of one that has an account."""
    await _unmetered()
    await _at_once()
    await _at_once()


def _at_once() -> Written:
    loop = asyncio.get_running_loop()
    written = loop.create_future()
    loop.call_soon(written.set_result, None)
    return written


async def _round(cases: dict[str, Case]) -> dict[str, float]:
    """Microseconds of CPU a request, of each case on the event loop and, with `, writer` behind its name, beside it."""
    took: dict[str, float] = {}
    for name, case in cases.items():
        clock = time.pthread_getcpuclockid(case.writer) if case.writer is not None else None
        before = time.clock_gettime_ns(clock) if clock is not None else 0
        took[name] = await _timed(case)
        if clock is not None:
            took[f"{name}, writer"] = (time.clock_gettime_ns(clock) - before) / case.requests / 1000
    return took


async def _timed(case: Case) -> float:
    """Microseconds of this thread's CPU for each request."""
    left = iter(range(case.requests))

    async def client() -> None:
        for _ in left:
            await case.work()

    before = time.thread_time_ns()
    await asyncio.gather(*[client() for _ in range(case.at_once)])
    return (time.thread_time_ns() - before) / case.requests / 1000


def _told(taken: list[dict[str, float]], requests: int, on_disk: dict[str, Any]) -> dict[str, Any]:
    spread = {
        name: Spread.of([sum(took[each] for each in of) - sum(took[each] for each in less) for took in taken])
        for name, (of, less) in FIGURES.items()
    }
    return {
        **origin(),
        "figures": {name: round(each.median, 1) for name, each in spread.items()},
        "spread": {name: each.to_json() for name, each in spread.items()},
        "detail": {
            "requests": requests,
            "rounds": len(taken),
            "at_once": BUSY,
            "load": round(os.getloadavg()[0], 1),
            "yardstick": yardstick(),
            "ledger": {"synchronous": "full", **on_disk},
        },
    }


if __name__ == "__main__":
    typer.run(main)
