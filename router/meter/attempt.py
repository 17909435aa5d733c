"""One expert being asked, and what is noted of it: tokens, time, how it ended, what that cost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from msgspec import Struct

from experts.errors import ExpertError, ExpertRefused, ExpertUnfit
from experts.own_labels import OTHER
from experts.wire import Completion, Event, Events, Usage, choices_of
from router.meter.counters.accounting import Accounting
from router.meter.counters.stake import Stake
from router.meter.energy import SharedCpuClock
from router.meter.estimate import StreamedTokens, begins, characters, says
from router.meter.ledger import Ledger
from router.meter.record import Attempt, Intent, Outcome, Role, Status
from router.meter.tariff import Tariff
from router.request import USUAL_CHARS_PER_TOKEN, ChatRequest

log = logging.getLogger("shoal.experts")

_STARTED: Final = Status.STARTED
_OK: Final = Status.OK
"""Looked up once: an enumeration finds its members more slowly than a module its names."""

FINISHES: Final = ("stop", "length", "tool_calls", "function_call", "content_filter")
"""Why answers end, as OpenAI names it; an upstream may say anything."""

CHECKPOINT_TOKENS: Final = 64
"""How often the ledger is told how far a stream is, for the case that this process dies."""


Timing = tuple[int, int]
"""When a request began, by the monotonic clock in nanoseconds, and the mark of the router's CPU clock then."""


@dataclass(slots=True)
class Books:
    """What all accounts of a process share."""

    ledger: Ledger
    error_code: Callable[[BaseException], str]
    router_clock: SharedCpuClock
    clock: Callable[[str], SharedCpuClock]
    """The CPU clock of the child process that runs an expert."""
    on_close: Callable[[Intent, Outcome], None]
    counters: Accounting | None = None
    """None where nothing of this machine is measured."""
    on_shadow: Callable[[Attempt], None] = lambda _: None
    """Told of every attempt that ran beside an answer, for the ledger alone."""

    def start(self) -> Timing:
        """A request begins; its share of the router's CPU time is counted from here."""
        now_ns = time.monotonic_ns()
        return now_ns, self.router_clock.start(now_ns)

    def abandon(self, timing: Timing) -> None:
        """A request that was begun gets no account."""
        self.router_clock.finish(timing[1])


NO_USAGE: Final = Usage()


class Step(Struct, frozen=True):
    """One expert that may be asked, in order."""

    expert: str
    role: Role


class AttemptUnderWay:
    """One expert being asked.

    As a context manager it records how that ended, and swallows an expert's failure while nothing was said yet and
    another expert is left.
    """

    __slots__ = (
        "_asked", "_books", "_ci_mg_per_kwh", "_clock", "_last", "_mark", "_n", "_request", "_silent", "_stake",
        "_started_ns", "_streamed", "_tariff", "_usage", "held", "record", "step",
    )  # fmt: skip

    held: list[Event]
    """The closing events of a stream, kept back until the ledger has the outcome; of a whole answer there are none."""

    def __init__(
        self, books: Books, request: ChatRequest, step: Step, tariff: Tariff, last: bool, ci_mg_per_kwh: int, n: int = 0
    ) -> None:
        self._request = request
        self.step = step
        self.record = Attempt(step.expert, step.role, _STARTED)
        self._books = books
        self._tariff = tariff
        self._last = last
        self._ci_mg_per_kwh = ci_mg_per_kwh
        self._usage = NO_USAGE
        self._asked = False
        self._n = n
        self._silent: list[Event] | None = None
        self._stake: Stake | None = None

    def __enter__(self) -> Self:
        self._started_ns = now_ns = time.monotonic_ns()
        self._clock = self._books.clock(self.step.expert) if self._tariff.has_process else None
        if self._clock is not None:
            self._mark = self._clock.start(now_ns)
        if self._books.counters is not None:
            self._stake = self._books.counters.enter(
                self._request.request_id, self._n, self.step.expert, self._tariff, self._ci_mg_per_kwh,
                self._request.estimated_tokens, self,
            )  # fmt: skip
        return self

    def asked(self) -> None:
        """It has its place and is sent now: who leaves after this leaves work that is done all the same."""
        self._asked = True

    def answered(self, usage: Usage, finish_reason: str | None = None) -> None:
        """The whole answer is here."""
        self._usage = usage if usage.source != "none" else self._estimate()
        self.record.finish_reason = finish_reason if finish_reason is None or finish_reason in FINISHES else OTHER
        self.record.status = _OK

    def completed(self, completion: Completion) -> None:
        """The whole answer is here, as one body; where nobody counted its tokens, it says what is charged."""
        usage, choices = completion.usage, completion.body["choices"]
        if not (usage.input and usage.output and usage.source != "none"):  # else what it says need not be read
            said = sum(characters(choice["message"]) for choice in choices)
            if _lacks_a_count(usage, said):
                self.record.output_tokens = said // USUAL_CHARS_PER_TOKEN
                usage = self._estimate(usage)
                completion.body["usage"] = usage.to_openai(completion.body.get("usage"))
        self.answered(usage, choices[0].get("finish_reason"))

    def opened(self, events: Events) -> tuple[Events, Events]:
        """Look for the first event that says something; until then another expert can still take over.

        Gives all events before it, kept until now, and those from it on that are still to be `heard`; both empty while
        it has not come.
        """
        silent = self._silent = self._silent or []  # which a whole answer needs not, as what is made below
        at = next((at for at, event in enumerate(events) if begins(event)), len(events))
        silent += events[:at]
        if at == len(events):
            return (), ()
        self.record.first_byte_us = (time.monotonic_ns() - self._started_ns) // 1000
        self._streamed, self.held = StreamedTokens(), []
        return silent, events[at:]

    def heard(self, events: Events) -> Events:
        """Note streamed events, of a stream that has `opened`; gives those that may be passed on at once."""
        passed: list[Event] = []
        record, held = self.record, self.held
        known, before = len(held), record.output_tokens
        for event in events:
            (held if held or not event.plain else passed).append(event)
        record.output_tokens += self._streamed.of(passed)  # until the usage event says it exactly
        if held:
            record.output_tokens += self._streamed.of([event for event in held[known:] if says(event)])
        if before // CHECKPOINT_TOKENS != record.output_tokens // CHECKPOINT_TOKENS:
            self._books.ledger.checkpoint(self._request.request_id, record.output_tokens)
        return passed

    def finished(self) -> None:
        """The stream came to its proper end; its closing events say what was used, or else what is charged."""
        choices = [choice for event in self.held for choice in choices_of(event, self.step.expert)]
        reason = next((choice["finish_reason"] for choice in choices if choice.get("finish_reason")), None)
        last = self.held[-1]
        usage = last.usage or NO_USAGE
        if _lacks_a_count(usage, self.record.output_tokens):
            usage = self._estimate(usage)
            self.held[-1] = Event.of({**last.chunk, "usage": usage.to_openai(last.chunk.get("usage"))}, usage)
        self.answered(usage, reason)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        record, now_ns = self.record, time.monotonic_ns()
        record.total_us = (now_ns - self._started_ns) // 1000
        if record.status is not _OK:
            record.status = self._failed_as(error)
            if record.first_byte_us is not None or (self._asked and record.status is Status.CANCELLED):
                self._usage = self._estimate()  # what was read and said before it broke off is paid for all the same
                record.status = record.status if record.first_byte_us is not None else Status.UNHEARD
            record.error_code = self._books.error_code(error) if error else None
        elif record.first_byte_us is None:
            record.first_byte_us = record.total_us  # a whole answer comes at once
        cpu_ns = None
        if self._clock is not None:
            share_ns = self._clock.finish(self._mark, now_ns)
            cpu_ns = None if self._clock.blind else share_ns  # not 0: it is charged by the table
        self._tariff.charge(record, self._usage, cpu_ns, self._ci_mg_per_kwh)
        if self._stake is not None and self._books.counters is not None:
            self._books.counters.leave(self._stake, self._usage)
        if error is not None and isinstance(error, ExpertError):
            grave = logging.DEBUG if error.told else logging.WARNING
            log.log(grave, "request %s: %s: %s", self._request.request_id, error.expert, error.loggable)
            return not self._last and record.first_byte_us is None and _another_may_do(error)
        return False

    @property
    def is_measured(self) -> bool:
        """Whether a counter sees what it takes; the figure comes after its row."""
        return self._stake is not None and not self._stake.lost

    def tokens_heard(self) -> int:
        """Of the answer, so far; 0 while nothing streams."""
        return self.record.output_tokens

    def handed_in(self, *, is_fallback_answer: bool = False) -> None:
        """Its row is on its way into the ledger, so what is measured of it may follow."""
        self.record.awaits_counter = self.is_measured
        if self._stake is not None:
            self._stake.is_fallback_answer = is_fallback_answer
            self._stake.closed = True

    def _estimate(self, counted: Usage = NO_USAGE) -> Usage:
        """What was counted, and of what was not, by characters in, out what was heard."""
        asked, said = counted.input or self._request.estimated_tokens, counted.output or self.record.output_tokens
        return Usage(asked, said, counted.cached, counted.reasoning, "estimate", counted.cache_write)

    def _failed_as(self, error: BaseException | None) -> Status:
        if isinstance(error, Exception):
            return Status.ERROR if self.record.first_byte_us is None else Status.PARTIAL
        return Status.CANCELLED


def _lacks_a_count(usage: Usage, said: int) -> bool:
    """Whether an upstream left one out, or says 0 of a prompt, or of an answer that says something."""
    told_none = usage.source == "upstream" and (not usage.input or bool(said and not usage.output))
    return usage.source == "none" or told_none


def _another_may_do(error: ExpertError) -> bool:
    """A request that was refused is wrong for everybody, unless it was only too long or too much for this one."""
    if isinstance(error, ExpertRefused):
        return isinstance(error, ExpertUnfit) or error.code == "context_length_exceeded"
    return True
