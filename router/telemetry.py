"""Prometheus metrics: base units, labels bounded by the registry, never a prompt, key or name a client made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from router.meter.record import Attempt, Intent, Outcome, Status

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)


class Telemetry:
    """Counts what the ledger records; a figure here and there is the same figure."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        own = CollectorRegistry(auto_describe=True)
        self._registry = own
        self._requests = Counter(
            "shoal_requests_total", "Requests ended.", ["endpoint", "expert", "status"], registry=own
        )
        self._duration = Histogram(
            "shoal_request_duration_seconds", "From body read to ledger.", ["expert"], registry=own, buckets=SECONDS
        )
        self._first = Histogram(
            "shoal_time_to_first_token_seconds", "To the first event.", ["expert"], registry=own, buckets=SECONDS
        )
        self._tokens = Counter("shoal_tokens_total", "Tokens.", ["expert", "direction"], registry=own)
        self._energy = Counter("shoal_energy_joules_total", "Energy at the wall.", ["expert", "source"], registry=own)
        self._cost = Counter("shoal_cost_nanousd_total", "Money, in nano US dollars.", ["expert"], registry=own)
        self._carbon = Counter("shoal_co2_micrograms_total", "CO2 equivalent.", ["expert"], registry=own)
        self._escalations = Counter("shoal_escalations_total", "Fallback in another's place.", ["stage"], registry=own)
        self._children: dict[tuple[object, ...], Callable[[float], None]] = {}
        self.in_flight = Gauge("shoal_expert_in_flight", "Requests at an expert now.", ["expert"], registry=own)
        self.memory = Gauge("shoal_expert_memory_megabytes", "Resident memory of an expert.", ["expert"], registry=own)
        self.up = Gauge("shoal_expert_up", "1 when it can take requests.", ["expert"], registry=own)

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """A request has ended and is in the ledger."""
        expert = outcome.answered_by or intent.expert
        self._add(self._requests, 1, intent.endpoint, expert, outcome.status.name.lower())
        self._add(self._duration, outcome.total_us / 1e6, expert)
        if outcome.status is Status.OK and outcome.first_byte_us is not None:
            self._add(self._first, outcome.first_byte_us / 1e6, expert)
        if outcome.escalated:
            self._add(self._escalations, 1, outcome.escalated)
        self._add(self._energy, outcome.router_energy_uj / 1e6, "router", "modelled")
        for attempt in outcome.attempts:
            self._attempt(attempt)

    def _attempt(self, attempt: Attempt) -> None:
        self._add(self._tokens, attempt.input_tokens, attempt.expert, "input")
        self._add(self._tokens, attempt.output_tokens, attempt.expert, "output")
        if attempt.energy_uj:
            self._add(self._energy, attempt.energy_uj / 1e6, attempt.expert, attempt.energy_method.label)
            self._add(self._carbon, attempt.co2_ug, attempt.expert)
        if attempt.cost_nusd:
            self._add(self._cost, attempt.cost_nusd, attempt.expert)

    def render(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self._registry)

    def _add(self, metric: Counter | Histogram, amount: float, *labels: str) -> None:
        """Add to a labelled child; looking one up is dearer than adding, so they are kept."""
        key = (metric, *labels)
        add = self._children.get(key)
        if add is None:
            child = metric.labels(*labels)
            add = self._children[key] = child.observe if isinstance(child, Histogram) else child.inc
        add(amount)
