"""A request that has ended, told as spans and metrics. Names, numbers and reasons only: never a word of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from experts.own_labels import ROUTER
from router.meter.devices import DeviceShare
from router.meter.money import exact_usd
from router.meter.record import Attempt, EnergyMethod, Intent, Outcome, Status
from router.otel.names import DEVICE_ENERGY, METRICS, OPERATIONS, OWN, Generation, Instrument, attributes, instruments

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

PROVIDER: Final = "shoal"

MOST_ERRORS: Final = 64
"""Kinds of failure told apart in metrics: an upstream words its own, and may word each anew."""

OTHER_ERROR: Final = "_OTHER"
"""What the conventions call those not told apart."""

parent: ContextVar[Context | None] = ContextVar("parent", default=None)
"""The caller's span, where its request named one."""


class Story:
    """Tells every request as it is closed; what it costs is paid only where a collector is configured."""

    def __init__(
        self, tracer: Tracer, meter: Meter, sent: tuple[Generation, ...], remote: Callable[[str], bool]
    ) -> None:
        """`remote` says whether an expert is another server's."""
        self._tracer = tracer
        self._sent = sent
        self._remote = remote
        made = cache(lambda told: _made(meter, told))  # what several are called alike is one instrument
        self._told = {what: [made(each) for each in instruments(what, sent)] for what in METRICS}
        self._own = {what: made(each) for what, each in OWN.items()}
        self._device_energy = made(DEVICE_ENERGY)
        self._errors = set[object]()

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """A request has ended just now."""
        end_ns = time.time_ns()
        failed = self._failed(outcome.status, outcome.error_code)
        operation = OPERATIONS.get(intent.request.endpoint, "chat")
        common = {"operation": operation, "provider": PROVIDER, "request_model": intent.request.model}
        self._spans(intent, outcome, common, end_ns)
        named = attributes({**common, "response_model": outcome.answered_by}, self._sent) | failed
        self._record("server_duration", outcome.total_us / 1e6, named)
        if intent.request.stream and not failed:
            self._streamed(outcome, named)
        for attempt in outcome.attempts:
            self._attempt(attempt, operation, stream=intent.request.stream)
        if not outcome.router_awaits_counter:
            own = (outcome.router_energy_uj, outcome.router_co2_ug, outcome.router_yusd)
            self.settled(None, EnergyMethod.MODELLED, *own)
        if outcome.escalated:
            self._count("escalations", 1, {"shoal.stage": outcome.escalated, "shoal.reason": str(outcome.why)})

    def beside(self, attempt: Attempt) -> None:
        """An attempt that ran beside an answer has ended; it has no span, as its request's is over."""
        self._attempt(attempt, "chat", stream=False)

    def settled(
        self, expert: str | None, method: EnergyMethod, energy_uj: int, co2_ug: int, yusd: int | None = None
    ) -> None:
        """An attempt's energy is known or, without an expert, the router's for a request, and what that cost."""
        whose = {"shoal.expert": expert or ROUTER}
        self._count("energy", energy_uj / 1e6, whose | {"shoal.source": method.label})
        self._count("co2", co2_ug / 1e6, whose)
        if yusd is not None:
            self._count("cost", exact_usd(yusd), whose)

    def noted(self, shares: Sequence[DeviceShare]) -> None:
        """What devices took since the last time."""
        for share in shares:
            kind = "gpu" if share.device.startswith("gpu:") else "cpu"
            device = {"hw.id": share.device, "hw.type": kind, "shoal.source": share.method.label}
            self._device_energy.add(share.counter_uj / 1e6, device)

    def _streamed(self, outcome: Outcome, named: Mapping[str, object]) -> None:
        """How soon tokens came; of an answer in one piece there is no first one."""
        if outcome.first_byte_us is None:
            return
        self._record("server_first_token", outcome.first_byte_us / 1e6, named)
        last = outcome.attempts[-1]
        if last.first_byte_us is not None and last.output_tokens > 1:
            each_us = (last.total_us - last.first_byte_us) / (last.output_tokens - 1)
            self._record("server_each_token", each_us / 1e6, named)

    def _spans(self, intent: Intent, outcome: Outcome, common: Mapping[str, object], end_ns: int) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        told = {
            **common,
            "response_model": outcome.answered_by,
            "response_id": intent.request_id,
            "stream": intent.request.stream,
            "finish_reasons": _reasons(outcome.attempts[-1:]),
            "first_chunk": _first_chunk(intent, outcome.first_byte_us),
        }
        priced = all(attempt.price_version for attempt in outcome.attempts)
        own = {
            "shoal.policy": intent.decision.policy or "",
            "shoal.expert": intent.decision.expert,
            "shoal.escalated": outcome.escalated or "no",
            "shoal.energy_j": outcome.energy_uj / 1e6,
            "shoal.co2_g": outcome.co2_ug / 1e6,
        } | ({"shoal.cost_usd": exact_usd(outcome.cost_yusd)} if priced else {})
        name, start_ns = f"{common['operation']} {intent.request.model}", end_ns - outcome.total_us * 1000
        facts: Any = attributes(told, self._sent) | own | _error(outcome.status, outcome.error_code)
        span = self._tracer.start_span(name, parent.get(), SpanKind.SERVER, facts, start_time=start_ns)
        _mark(span, outcome.status)
        inside = set_span_in_context(span)
        # Attempts follow one another and the last has just ended, so their places follow from their lengths.
        starts = end_ns - sum(attempt.total_us for attempt in outcome.attempts) * 1000
        for attempt in outcome.attempts:
            kind = SpanKind.CLIENT if self._remote(attempt.expert) else SpanKind.INTERNAL
            child: Any = attributes(_of_attempt(intent, attempt, str(common["operation"])), self._sent)
            child |= {"shoal.role": attempt.role.name.lower(), "shoal.energy_source": attempt.energy_method.label}
            child |= _error(attempt.status, attempt.error_code)
            title = f"{common['operation']} {attempt.expert}"
            part = self._tracer.start_span(title, inside, kind, child, start_time=starts)
            _mark(part, attempt.status)
            starts += attempt.total_us * 1000
            part.end(starts)
        span.end(end_ns)

    def _attempt(self, attempt: Attempt, operation: str, *, stream: bool) -> None:
        failed = self._failed(attempt.status, attempt.error_code)
        named = attributes({"operation": operation, "provider": PROVIDER, "request_model": attempt.expert}, self._sent)
        embeds = operation == "embeddings"
        self._record("embeddings_duration" if embeds else "duration", attempt.total_us / 1e6, named | failed)
        if not embeds:
            self._used(attempt, named | failed)
        if not failed:
            if stream and attempt.first_byte_us is not None:
                self._record("first_chunk", attempt.first_byte_us / 1e6, named)
            for direction, tokens in (("input", attempt.input_tokens), ("output", attempt.output_tokens)):
                self._record("tokens", tokens, named | {"gen_ai.token.type": direction})
                if not embeds:
                    self._record(f"operation_{direction}_tokens", tokens, named)
            if embeds:
                self._record("embeddings_input_tokens", attempt.input_tokens, named)
        if attempt.price_version:  # what has no price is not told as 0
            self._count("cost", attempt.cost_nusd / 1e9, {"shoal.expert": attempt.expert})
        if not attempt.awaits_counter:
            self.settled(attempt.expert, attempt.energy_method, attempt.energy_uj, attempt.co2_ug)

    def _failed(self, status: Status, code: str | None) -> dict[str, object]:
        """As `_error`, in so many words at most."""
        told = _error(status, code)
        if set(told.values()) <= self._errors:
            return told
        if len(self._errors) >= MOST_ERRORS:
            return dict.fromkeys(told, OTHER_ERROR)
        self._errors.update(told.values())
        return told

    def _used(self, attempt: Attempt, named: Mapping[str, object]) -> None:
        """Tokens of an attempt, also of one that failed."""
        modality = {"gen_ai.token.modality": "unknown" if attempt.token_source == "none" else "text"}
        for what, tokens in (
            ("input_tokens", attempt.input_tokens),
            ("output_tokens", attempt.output_tokens),
            ("cached_tokens", attempt.cached_tokens),
            ("cache_write_tokens", attempt.cache_write_tokens),
            ("reasoning_tokens", attempt.reasoning_tokens),
        ):
            self._add(what, tokens, {**named, **modality})

    def _record(self, what: str, value: float, named: Mapping[str, object]) -> None:
        for instrument in self._told[what]:
            instrument.record(value, named)

    def _add(self, what: str, value: int, named: Mapping[str, object]) -> None:
        for instrument in self._told[what]:
            instrument.add(value, named)

    def _count(self, what: str, value: float, named: Mapping[str, object]) -> None:
        self._own[what].add(value, named)


def _made(meter: Meter, told: Instrument) -> Any:
    if told.buckets is None:
        return meter.create_counter(told.name, told.unit)
    return meter.create_histogram(told.name, told.unit, explicit_bucket_boundaries_advisory=told.buckets)


def _first_chunk(intent: Intent, first_byte_us: int | None) -> float | None:
    """Seconds to the first of a stream; None of what is none."""
    return first_byte_us / 1e6 if intent.request.stream and first_byte_us is not None else None


def _of_attempt(intent: Intent, attempt: Attempt, operation: str) -> dict[str, object]:
    return {
        "operation": operation,
        "provider": PROVIDER,
        "request_model": attempt.expert,
        "response_model": attempt.expert,
        "finish_reasons": _reasons([attempt]),
        "first_chunk": _first_chunk(intent, attempt.first_byte_us),
        "input_tokens": attempt.input_tokens,
        "output_tokens": attempt.output_tokens,
        "cached_tokens": attempt.cached_tokens,
        "cache_write_tokens": attempt.cache_write_tokens,
        "reasoning_tokens": attempt.reasoning_tokens,
    }


def _reasons(attempts: list[Attempt]) -> tuple[str, ...] | None:
    return tuple(attempt.finish_reason for attempt in attempts if attempt.finish_reason) or None


def _error(status: Status, code: str | None) -> dict[str, object]:
    """A client that left is called one thing, whatever Python raised where that was noticed."""
    if status is Status.OK:
        return {}
    return {"error.type": (code if status is not Status.CANCELLED else None) or status.name.lower()}


def _mark(span: Any, status: Status) -> None:
    if status is not Status.OK:
        from opentelemetry.trace import StatusCode

        span.set_status(StatusCode.ERROR)
