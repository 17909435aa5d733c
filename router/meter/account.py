"""One request's open account: what was intended, every attempt, and the receipt at the end.

The intent is durable before the first upstream byte and the outcome before the client is told it is done; whatever
ends a request (an answer, an error, the client leaving, a cancelled task) closes its account exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator, Sequence
from typing import Final, Self

from experts.wire import Call, Vector
from router.decide import Decision
from router.meter.attempt import AttemptUnderWay, Books, Step, Timing
from router.meter.counterfactual import HEARD, counterfactual
from router.meter.counters.accounting import Accounting
from router.meter.errors import EntryRefused
from router.meter.receipt import Escalation, Receipt
from router.meter.record import Arm, Attempt, Draw, Intent, Outcome, Status, Trace
from router.meter.tariff import Tariffs
from router.meter.writer import Written
from router.reason import Reason
from router.request import ChatRequest

_OK: Final = Status.OK
"""Looked up once: an enumeration finds its members more slowly than a module its names."""


class Account:
    """Opened by the pipeline when it has decided, closed when the request has ended."""

    __slots__ = (
        "_attempts", "_begun", "_books", "_closed", "_encode_us", "_intent", "_records", "_request", "_steps",
        "_tariffs", "_timing", "call", "ci_mg_per_kwh", "decision",
    )  # fmt: skip

    def __init__(
        self, books: Books, tariffs: Tariffs, request: ChatRequest, decision: Decision, steps: Sequence[Step],
        version: str, vector: Vector | None, timing: Timing, kept: Trace | None = None, draw: Draw | None = None,
        encode_us: int = 0,
    ) -> None:  # fmt: skip
        self._books = books
        self._tariffs = tariffs
        self._request = request
        self._steps = steps
        self._timing = timing
        self._encode_us = encode_us
        self._attempts: list[AttemptUnderWay] = []
        self._records: list[Attempt] = []
        ts_us = time.time_ns() // 1000
        grid = tariffs.grids.at(ts_us)
        # By position: names take several times as long, and every request pays for it.
        self._intent = Intent(request, ts_us, decision, steps[0].role, version, grid, tariffs.terms, draw, kept)
        self.ci_mg_per_kwh = grid.mg_per_kwh
        self._closed = False
        self.decision = decision
        self.call = Call(request.body, request.request_id, vector, request.prompts)

    async def __aenter__(self) -> Self:
        try:
            self._begun = self._books.ledger.begin(self._intent)
            await self._begun
        except asyncio.CancelledError:
            # Its beginning may be written already, so its end has to be, however often this is cancelled.
            outcome = self._outcome(Status.CANCELLED, None)
            ended = self._books.ledger.finish_if_begun(outcome)
            ended.add_done_callback(lambda done: self._left(outcome, done))
            await asyncio.wait([ended])
            raise
        except BaseException:
            self._books.abandon(self._timing)
            raise
        return self

    def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> Awaitable[None]:
        # Of a closed account what was waited for already, which is made once; a coroutine is made each time.
        return self._begun if self._closed else self._end(self._status_of(error), error)[1]

    def attempts(self) -> Iterator[AttemptUnderWay]:
        """The experts to ask, one after the other, until one has answered or none is left."""
        last = len(self._steps) - 1
        for n, step in enumerate(self._steps):
            tariff = self._tariffs.of(step.expert)
            attempt = AttemptUnderWay(self._books, self._request, step, tariff, n == last, self.ci_mg_per_kwh, n)
            record = attempt.record
            self._attempts.append(attempt)
            self._records.append(record)
            yield attempt
            if record.status is _OK:
                return

    def close(self) -> tuple[Receipt, Awaitable[None]]:
        """Close with success: the receipt, and the wait for it to be durable; who cancels that loses nothing."""
        outcome, written = self._end(_OK, None)
        receipt = Receipt(  # by position, as in `__init__`
            self._intent,
            outcome,
            self._records[-1].expert,
            self._tariffs,
            self.escalation() if outcome.escalated else None,
            self._books.counters is not None and self._is_measured(outcome),
        )
        return receipt, written

    def _is_measured(self, outcome: Outcome) -> bool:
        return outcome.router_awaits_counter or any(attempt.is_measured for attempt in self._attempts)

    @property
    def held_back(self) -> bool:
        """Whether the fallback answers in a small expert's place, so that savings can be verified."""
        return self._intent.draw is not None and self._intent.draw.held

    def escalation(self) -> Escalation | None:
        """Whether the fallback stands in for another, and why; known as soon as somebody answers."""
        records, decision = self._records, self.decision
        if len(records) > 1:
            failed = records[0]
            told = f"{failed.expert} failed: {failed.error_code}"
            return Escalation(failed.expert, records[-1].expert, told, Reason.FAILED)
        if decision.escalated_from is not None:
            why = decision.why or Reason.NOT_SURE
            return Escalation(decision.escalated_from, records[-1].expert, decision.reason, why)
        return None

    def _stood_in(self) -> bool:
        """Whether another was asked in the place of a fallback that failed, whether or not the client heard it out."""
        own = self._tariffs.fallback.expert
        return any(each.expert == own for each in self._records[:-1])

    def _status_of(self, error: BaseException | None) -> Status:
        if error is None or isinstance(error, asyncio.CancelledError | GeneratorExit):
            return Status.CANCELLED
        started = any(record.first_byte_us is not None for record in self._records)
        return Status.PARTIAL if started else Status.ERROR

    def _end(self, status: Status, error: BaseException | None) -> tuple[Outcome, Awaitable[None]]:
        """The outcome, handed in, and the wait for it to be durable; who cancels that loses nothing."""
        self._closed = True
        books, outcome = self._books, self._outcome(status, error)
        if books.counters is not None:
            self._tell_counters(books.counters, outcome)
        books.on_close(self._intent, outcome)
        return outcome, books.ledger.finish(outcome)

    def _left(self, outcome: Outcome, ended: Written) -> None:
        """A client left before it was known whether its request had begun: now it is; what had not is not counted."""
        if isinstance(ended.exception(), EntryRefused):
            return
        books = self._books
        if books.counters is not None:
            self._tell_counters(books.counters, outcome)
        books.on_close(self._intent, outcome)

    def _tell_counters(self, counters: Accounting, outcome: Outcome) -> None:
        """What counters say of the attempts comes after their rows, which go into the ledger's queue now."""
        heard = next((a for a in reversed(self._attempts) if a.record.status in HEARD), None)
        own = self._tariffs.fallback.expert
        for attempt in self._attempts:
            attempt.handed_in(is_fallback_answer=attempt is heard and attempt.step.expert == own)
        counters.closed(outcome, self._timing[1], self._tariffs.of(own), self.ci_mg_per_kwh)

    def _outcome(self, status: Status, error: BaseException | None) -> Outcome:
        tariffs, carbon, records, now_ns = self._tariffs, self.ci_mg_per_kwh, self._records, time.monotonic_ns()
        started_ns, mark = self._timing
        last = records[-1] if records else None
        answered = last if last is not None and last.status is _OK else None
        plain = answered is None or (len(records) == 1 and self.decision.escalated_from is None)
        escalation = None if plain else self.escalation()
        own_us, own_uj, own_ug = tariffs.router(self._books.router_clock.finish(mark, now_ns), carbon)
        alone_nusd, alone_uj, alone_ug = counterfactual(records, tariffs.fallback, carbon)
        return Outcome(  # by position, as in `__init__`
            self._request.request_id,
            status,
            answered.expert if answered is not None else None,
            escalation.stage if escalation is not None else None,
            records,
            own_us,
            own_uj,
            own_ug,
            self._encode_us,
            last.first_byte_us if last is not None else None,
            (now_ns - started_ns) // 1000,
            alone_nusd,
            alone_uj,
            alone_ug,
            self._books.error_code(error) if error is not None else None,
            escalation.why if escalation is not None else None,
            tariffs.electricity,
            Arm.FAILED if len(records) > 1 and self._stood_in() else None,
        )
