"""What is kept to learn from goes when its time is up, and every byte of it; the clock is moved, nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from experts.spec import Learning
from router.learn.editions import Editions
from router.learn.retention import Retention
from router.meter.forgetting import AT_ONCE
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Feedback, Intent, Outcome, Trace
from router.meter.ulid import ulid_us

MakeIntent = Callable[..., Intent]
MakeOutcome = Callable[..., Outcome]

CANARY = "CANARY-7f3a-the-words-of-a-prompt"
MOST_TRACE_BYTES = 540
"""A trace may take on disk: its vector, its surface, its id, and its share of pages that are not full."""


def count(path: Path, table: str) -> int:
    with closing(read_ledger(path)) as connection:
        found: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
        return found


def on_disk(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file())


async def fill(ledger: Ledger, intent: MakeIntent, outcome: MakeOutcome, requests: int, text: str | None) -> int:
    """Enter requests with all that can be kept of them; when the first was made."""
    kept = Trace("maker", bytes(range(256)) + bytes(128), bytes(26), text)

    async def serve() -> Intent:
        begun = intent(trace=kept)
        await ledger.begin(begun)
        await ledger.finish(outcome(begun.request_id))
        await ledger.hear(Feedback(begun.request_id, begun.ts_us, 500_000, (text, text) if text else None))
        return begun

    entered = await asyncio.gather(*[serve() for _ in range(requests)])
    return min(ulid_us(each.request_id) for each in entered)


async def test_each_kind_goes_when_its_own_time_is_up(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    requests = AT_ONCE + 10  # more than one step
    made = await fill(ledger, intent, outcome, requests, CANARY)
    assert CANARY.encode() in on_disk(path.parent)
    learning = Learning(keep_text=True, text_days=30, vector_days=90)
    now = made

    editions = Editions(path.parent / "learned")
    retention = Retention(ledger, editions, lambda: learning, lambda: now)
    assert await retention.forget() == 0
    now = made + 30 * DAY_US - 1
    assert await retention.forget() == 0
    now = made + 31 * DAY_US
    assert await retention.forget() == requests
    assert (count(path, "texts"), count(path, "vectors"), count(path, "feedback")) == (0, requests, requests)
    assert CANARY.encode() not in on_disk(path.parent)
    now = made + 91 * DAY_US
    assert await retention.forget() == 2 * requests
    assert (count(path, "vectors"), count(path, "feedback"), count(path, "requests")) == (0, 0, requests)
    await ledger.aclose()


async def test_a_shorter_time_counts_at_once(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    made = await fill(ledger, intent, outcome, 3, None)
    learning = Learning()
    editions = Editions(path.parent / "learned")
    retention = Retention(ledger, editions, lambda: learning, lambda: made + 10 * DAY_US)
    assert await retention.forget() == 0
    learning = Learning(vector_days=7)
    assert await retention.forget() == 6
    await ledger.aclose()


async def test_texts_that_are_not_to_be_kept_any_more_go_at_once(
    path: Path, intent: MakeIntent, outcome: MakeOutcome
) -> None:
    ledger = Ledger.open(path)
    made = await fill(ledger, intent, outcome, 3, CANARY)
    learning = Learning(keep_text=True)
    retention = Retention(ledger, Editions(path.parent / "learned"), lambda: learning, lambda: made + DAY_US)
    assert await retention.forget() == 0
    learning = Learning(keep_text=False)
    await retention.forget()
    assert (count(path, "texts"), count(path, "vectors")) == (0, 3)
    assert CANARY.encode() not in on_disk(path.parent)
    await ledger.aclose()


async def test_vectors_that_are_not_to_be_kept_any_more_go_at_once_and_scores_stay(
    path: Path, intent: MakeIntent, outcome: MakeOutcome
) -> None:
    ledger = Ledger.open(path)
    made = await fill(ledger, intent, outcome, 3, None)
    learning = Learning()
    retention = Retention(ledger, Editions(path.parent / "learned"), lambda: learning, lambda: made + DAY_US)
    assert bytes(range(256)) in on_disk(path.parent)
    assert await retention.forget() == 0
    learning = Learning(keep_vectors=False)
    assert await retention.forget() == 3
    assert (count(path, "vectors"), count(path, "feedback")) == (0, 3)
    assert bytes(range(256)) not in on_disk(path.parent)
    await ledger.aclose()


async def test_a_reader_is_not_waited_for_and_the_next_purge_cuts_the_log(
    path: Path, intent: MakeIntent, outcome: MakeOutcome
) -> None:
    ledger = Ledger.open(path)
    made = await fill(ledger, intent, outcome, 20, CANARY)
    with closing(ledger.read()) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM texts").fetchone() == (20,)
        await ledger.purge(made, made, made + DAY_US)
        assert CANARY.encode() in on_disk(path.parent), "the reader still sees it"
        reader.execute("COMMIT")
    assert await ledger.purge(made, made, made + DAY_US) == 0
    assert CANARY.encode() not in on_disk(path.parent)
    await ledger.aclose()


async def test_a_trace_is_written_with_its_request_or_not_at_all(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    begun = intent(trace=Trace("maker", b"v", b"s", "text \ud800 and \x00"))
    again = await asyncio.gather(ledger.begin(begun), ledger.begin(begun), return_exceptions=True)
    assert [type(each).__name__ for each in again] == ["NoneType", "EntryRefused"]
    await ledger.aclose()
    assert (count(path, "vectors"), count(path, "texts")) == (1, 1)


async def test_a_trace_takes_little_room(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    sizes = []
    for kept in (None, Trace("maker", bytes(384), bytes(26))):
        own = path.with_name(f"{kept is None}.db")
        ledger = Ledger.open(own)
        for _ in range(10):
            begun = [intent(trace=kept) for _ in range(500)]
            await asyncio.gather(*map(ledger.begin, begun))
        await ledger.aclose()
        sizes.append(own.stat().st_size / 5000)
    assert 384 < sizes[1] - sizes[0] <= MOST_TRACE_BYTES
