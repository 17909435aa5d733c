"""An answer's account: what of a stream may be passed on at once and what waits for the ledger, and when it began."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from experts.wire import ChatId, Completion, Usage
from router.decide import Decision
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.energy import SharedCpuClock
from router.meter.ledger import Ledger
from router.meter.record import Role, Status
from router.meter.tariff import Tariffs
from router.meter.ulid import new_ulid
from router.request import ChatRequest
from tests.router.meter.traffic import registry

DECISION = Decision("sql", 0.9, 0.8, "sql", "balanced", "smallest expert above its threshold")
STEPS = (Step("sql", Role.ROUTED),)
WORD = {"content": "SELECT"}


def account(ledger: Ledger) -> Account:
    clock = SharedCpuClock(lambda: 0)
    books = Books(ledger, lambda _: "error", clock, lambda _: clock, lambda *_: None)
    asked = ChatRequest(new_ulid(), {"model": "auto", "messages": [{"role": "user", "content": "one"}]})
    return Account(books, Tariffs.of_registry(registry()), asked, DECISION, STEPS, "1", None, books.start())


async def test_everything_from_the_first_closing_event_on_waits_in_its_order(path: Path) -> None:
    said = ChatId("sql", "chatcmpl-1", 1)
    role = said.chunk({"role": "assistant", "content": ""})
    words = [said.chunk({"content": word}) for word in ("SELECT", " 1", ";", " done")]
    stop, usage = said.chunk({}, "stop"), said.usage(Usage(12, 4, source="upstream"))
    ledger = Ledger.open(path)
    passed = []
    async with account(ledger) as one:
        for attempt in one.attempts():
            with attempt:
                assert attempt.opened([role, words[0], words[1]]) == ([role], words[:2])
                passed += [attempt.heard(words[:2]), attempt.heard([words[2], stop]), attempt.heard([words[3], usage])]
                attempt.finished()
        receipt, written = one.close()
        await written
    await ledger.aclose()
    assert passed == [words[:2], [words[2]], []]
    assert attempt.held == [stop, words[3], usage]
    assert (receipt.outcome.attempts[0].output_tokens, receipt.outcome.attempts[0].finish_reason) == (4, "stop")


async def test_an_answer_begins_with_its_first_word(path: Path) -> None:
    said = ChatId("sql", "chatcmpl-1", 1)
    role, none, word = said.chunk({"role": "assistant", "content": ""}), said.chunk({"content": ""}), said.chunk(WORD)
    ledger = Ledger.open(path)
    async with account(ledger) as one:
        for attempt in one.attempts():
            with attempt:
                for silent in ([role], [none, none]):
                    assert attempt.opened(silent) == ((), ())
                    assert (attempt.record.first_byte_us, attempt.record.output_tokens) == (None, 0)
                assert attempt.opened([none, word]) == ([role, none, none, none], [word])
                assert attempt.record.first_byte_us is not None
                assert (attempt.heard([word]), attempt.record.output_tokens) == ([word], 1)
                attempt.heard([said.chunk({}, "stop"), said.usage(Usage())])
                attempt.finished()
        receipt, written = one.close()
        await written
    await ledger.aclose()
    assert receipt.outcome.attempts[0].output_tokens == 1, "nothing is charged for what says nothing"


async def test_who_leaves_before_the_first_word_leaves_what_nobody_knows(path: Path) -> None:
    ledger = Ledger.open(path)
    with pytest.raises(asyncio.CancelledError):
        async with account(ledger) as one:
            for attempt in one.attempts():
                with attempt:
                    attempt.asked()
                    attempt.opened([ChatId("sql", "chatcmpl-1", 1).chunk({"role": "assistant", "content": ""})])
                    raise asyncio.CancelledError
    await ledger.aclose()
    assert (attempt.record.status, attempt.record.output_tokens) == (Status.UNHEARD, 0)


async def test_a_whole_answer_is_there_with_its_first_byte(path: Path) -> None:
    ledger = Ledger.open(path)
    async with account(ledger) as one:
        for attempt in one.attempts():
            with attempt:
                await asyncio.sleep(0.002)
                body = {"choices": [{"message": {"content": "SELECT 1"}, "finish_reason": "stop"}]}
                attempt.completed(Completion(body, Usage(12, 4, source="upstream")))
        receipt, written = one.close()
        await written
    await ledger.aclose()
    (made,) = receipt.outcome.attempts
    assert made.first_byte_us == made.total_us == receipt.outcome.first_byte_us
    assert 2_000 <= made.total_us <= receipt.outcome.total_us
