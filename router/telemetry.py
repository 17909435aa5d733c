"""Prometheus metrics: base units, labels bounded by the registry, never a prompt, key or name a client made up.

Requests add to plain dictionaries, and the metric families are made of them when somebody looks: the client library's
own counters take a lock and two microseconds an addition, and a request has a dozen.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from router.meter.record import Attempt, Intent, Outcome, Status

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

COUNTERS: Final = {
    "shoal_requests": ("Requests that ended.", ("endpoint", "expert", "status")),
    "shoal_tokens": ("Tokens of all attempts.", ("expert", "direction")),
    "shoal_energy_joules": ("Energy of all attempts and of the router.", ("expert", "source")),
    "shoal_cost_nanousd": ("Money, in nano US dollars.", ("expert",)),
    "shoal_co2_micrograms": ("CO2 equivalent.", ("expert",)),
    "shoal_escalations": ("Requests the fallback answered in another's place.", ("stage",)),
}
HISTOGRAMS: Final = {
    "shoal_request_duration_seconds": "From the request's arrival to its entry in the ledger.",
    "shoal_time_to_first_token_seconds": "From asking an expert to the first of its answer.",
}


class Telemetry(Collector):
    """Counts what the ledger records; a figure here and there is the same figure."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._counts: dict[tuple[str, ...], float] = defaultdict(float)
        self._buckets: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(SECONDS) + 1))
        self._sums: dict[tuple[str, str], float] = defaultdict(float)

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """A request has ended and its outcome is on its way into the ledger."""
        expert, counts = outcome.answered_by or intent.expert, self._counts
        counts["shoal_requests", intent.endpoint, expert, outcome.status.name.lower()] += 1
        counts["shoal_energy_joules", "router", "modelled"] += outcome.router_energy_uj / 1e6
        counts["shoal_co2_micrograms", "router"] += outcome.router_co2_ug
        if outcome.escalated:
            counts["shoal_escalations", outcome.escalated] += 1
        for attempt in outcome.attempts:
            self._attempt(attempt)
        self._observe("shoal_request_duration_seconds", expert, outcome.total_us / 1e6)
        if outcome.status is Status.OK and outcome.first_byte_us is not None:
            self._observe("shoal_time_to_first_token_seconds", expert, outcome.first_byte_us / 1e6)

    def render(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """The metric families as they stand."""
        for name, (told, labels) in COUNTERS.items():
            family = CounterMetricFamily(name, told, labels=labels)
            for (which, *values), count in self._counts.items():
                if which == name:
                    family.add_metric(values, count)
            yield family
        for name, told in HISTOGRAMS.items():
            spread = HistogramMetricFamily(name, told, labels=("expert",))
            for (which, expert), buckets in self._buckets.items():
                if which == name:
                    spread.add_metric([expert], _cumulative(buckets), self._sums[which, expert])
            yield spread

    def _attempt(self, attempt: Attempt) -> None:
        expert, counts = attempt.expert, self._counts
        counts["shoal_tokens", expert, "input"] += attempt.input_tokens
        counts["shoal_tokens", expert, "output"] += attempt.output_tokens
        counts["shoal_cost_nanousd", expert] += attempt.cost_nusd
        counts["shoal_energy_joules", expert, attempt.energy_method.label] += attempt.energy_uj / 1e6
        counts["shoal_co2_micrograms", expert] += attempt.co2_ug

    def _observe(self, name: str, expert: str, seconds: float) -> None:
        self._buckets[name, expert][bisect_left(SECONDS, seconds)] += 1
        self._sums[name, expert] += seconds


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total, found = 0, []
    for bound, count in zip((*map(str, SECONDS), "+Inf"), buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
