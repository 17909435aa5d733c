"""A client that leaves while its first entry waits: what was entered is closed and counted, what was not is neither."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from router.meter import writer as writer_module
from router.meter.account import Account
from router.meter.attempt import Books
from router.meter.energy import SharedCpuClock
from router.meter.errors import EntryRefused, MeterUnavailable
from router.meter.ledger import Ledger
from router.meter.record import Intent, Outcome, Status
from router.meter.tariff import Tariffs
from router.meter.ulid import new_ulid
from router.request import ChatRequest
from tests.router.meter.test_ledger_faults import no_file_over, recovered, statuses
from tests.router.meter.test_stream_account import DECISION, STEPS
from tests.router.meter.traffic import registry


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "RETRY_S", 0.02)


async def leave(ledger: Ledger, cancels: int = 1) -> list[Outcome]:
    """A client that comes and leaves before its entry is durable; what was counted."""
    counted: list[Outcome] = []
    clock = SharedCpuClock(lambda: 0)
    books = Books(ledger, lambda _: "error", clock, lambda _: clock, lambda _, outcome: counted.append(outcome))
    asked = ChatRequest(new_ulid(), {"model": "auto", "messages": [{"role": "user", "content": "one"}]})
    own = Tariffs.of_registry(registry())
    coming = asyncio.create_task(Account(books, own, asked, DECISION, STEPS, "1", None, books.start()).__aenter__())
    await asyncio.sleep(0)
    for _ in range(cancels):
        coming.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await coming
    return counted


@pytest.mark.parametrize("cancels", [1, 2, 3])
async def test_what_was_entered_is_closed_and_counted(path: Path, cancels: int) -> None:
    ledger = Ledger.open(path)
    counted = await leave(ledger, cancels)
    await ledger.aclose()
    await asyncio.sleep(0)
    assert statuses(path) == [(Status.CANCELLED, 1)]
    assert [each.status for each in counted] == [Status.CANCELLED]


async def test_what_the_disk_did_not_take_is_neither_counted_nor_missed(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(path)
    with no_file_over(1024):
        counted = await leave(ledger)
        assert ledger.fault is not None
    await recovered(ledger)
    await ledger.aclose()
    assert (statuses(path), counted) == ([], [])
    assert [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR] == [ledger_fault(caplog)]


def ledger_fault(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that says that the disk takes nothing."""
    return next(each.getMessage() for each in caplog.records if "look at the disk" in each.getMessage())


async def test_what_was_entered_before_the_disk_broke_is_closed_when_it_is_mended(
    path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome]
) -> None:
    ledger = Ledger.open(path)
    begun, other = intent(), intent()
    await ledger.begin(begun)
    with no_file_over(1024):
        never = ledger.begin(other)
        left = [ledger.finish_if_begun(outcome(each.request_id, status=Status.CANCELLED)) for each in (begun, other)]
        with pytest.raises(MeterUnavailable):
            await never
        with pytest.raises(MeterUnavailable):
            await left[0]
        with pytest.raises(EntryRefused):
            await left[1]
    await recovered(ledger)
    assert statuses(path) == [(Status.CANCELLED, 1)]
    await ledger.aclose()
