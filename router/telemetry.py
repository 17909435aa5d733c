"""Prometheus metrics: base units, labels bounded by the registry, never a prompt, key or name a client made up.

A request that has ended is only noted. It is added up on the ledger's thread after its commit, and when somebody looks,
in plain dictionaries: the client library's own counters take a lock and two microseconds an addition, and a request has
a dozen. Amounts are kept as the ledger's integers and divided only when they are shown, so a counter never drifts from
the ledger.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from experts.spec import Registry
from router.live import ENCODER_MODEL
from router.meter.record import Attempt, EnergyMethod, Intent, Outcome, Status
from router.reason import Reason

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

MOST_EXPERTS: Final = 256
"""Different experts told apart; those of later registries are counted together."""

OTHER: Final = "other"

COUNTERS: Final = {
    "shoal_requests": ("Requests that ended.", ("endpoint", "expert", "status"), 1),
    "shoal_tokens": ("Tokens of all attempts.", ("expert", "direction", "modality"), 1),
    "shoal_energy_joules": ("Energy of all attempts and of the router.", ("expert", "source"), 1_000_000),
    "shoal_cost": ("Money of all attempts, in millionths of the currency.", ("expert", "currency"), 1_000),
    "shoal_co2_grams": ("CO2 equivalent of all attempts and of the router.", ("expert",), 1_000_000),
    "shoal_escalations": ("Requests the fallback answered in another's place.", ("stage", "reason"), 1),
}
"""Name -> what it says, its labels, and how many of the ledger's units make one of its own."""

HISTOGRAMS: Final = {
    "shoal_request_duration_seconds": "From the request's arrival to its entry in the ledger.",
    "shoal_time_to_first_token_seconds": "From asking an expert to the first of its answer.",
}

STATUSES: Final = tuple(status.name.lower() for status in Status)
SOURCES: Final = tuple(method.label for method in EnergyMethod)
"""By their numbers: an enumeration takes long to say its names."""


class Writer(Protocol):
    """What the ledger tells of its own health."""

    def owing(self) -> tuple[int, int]:
        """Times the disk refused a commit so far, and entries handed in that are not on it yet."""


class Telemetry(Collector):
    """Counts what the ledger records; a figure here and there is the same figure."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self, ledger: Writer, registry: Callable[[], Registry], promises: Callable[[], Mapping[str, bool]] = dict
    ) -> None:
        """`registry` gives the one that serves now, `promises` by policy whether what it promises is kept now."""
        self._ledger = ledger
        self._promises_now = promises
        self._registry_now = registry
        self._collectors = CollectorRegistry()
        self._collectors.register(self)
        ProcessCollector(registry=self._collectors)
        self._experts = {ENCODER_MODEL}
        self._counts: dict[tuple[str, ...], int] = defaultdict(int)
        self._buckets: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(SECONDS) + 1))
        self._sums: dict[tuple[str, str], int] = defaultdict(int)
        self._noted: deque[tuple[Intent, Outcome] | Attempt] = deque()
        self._adding = Lock()

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """A request has ended and its outcome is on its way into the ledger."""
        self._noted.append((intent, outcome))

    def beside(self, attempt: Attempt) -> None:
        """An attempt that ran beside an answer has ended; it is charged as every other."""
        self._noted.append(attempt)

    def add_up(self) -> None:
        """Count what was noted; on whichever thread."""
        with self._adding:
            for _ in range(len(self._noted)):
                noted = self._noted.popleft()
                if isinstance(noted, Attempt):
                    self._attempt(noted)
                else:
                    self._request(*noted)

    def _request(self, intent: Intent, outcome: Outcome) -> None:
        expert, counts = self._name(outcome.answered_by or intent.expert), self._counts
        counts["shoal_requests", intent.endpoint, expert, STATUSES[outcome.status]] += 1
        counts["shoal_energy_joules", "router", "modelled"] += outcome.router_energy_uj
        counts["shoal_co2_grams", "router"] += outcome.router_co2_ug
        if outcome.escalated:
            counts["shoal_escalations", outcome.escalated, outcome.why or Reason.NOT_SURE] += 1
        for attempt in outcome.attempts:
            self._attempt(attempt)
        self._observe("shoal_request_duration_seconds", expert, outcome.total_us)
        if outcome.status is Status.OK and outcome.first_byte_us is not None:
            self._observe("shoal_time_to_first_token_seconds", expert, outcome.first_byte_us)

    def render(self) -> bytes:
        """Everything in the text format."""
        return generate_latest(self._collectors)

    def collect(self) -> Iterator[Metric]:
        """The metric families as they stand."""
        self.add_up()
        with self._adding:
            counts, sums = dict(self._counts), dict(self._sums)
            spreads = {which: list(buckets) for which, buckets in self._buckets.items()}
        for name, (told, labels, units) in COUNTERS.items():
            family = CounterMetricFamily(name, told, labels=labels)
            for (which, *values), count in counts.items():
                if which == name:
                    family.add_metric(values, count / units)
            yield family
        for name, told in HISTOGRAMS.items():
            spread = HistogramMetricFamily(name, told, labels=("expert",))
            for (which, expert), buckets in spreads.items():
                if which == name:
                    spread.add_metric([expert], _cumulative(buckets), sums[which, expert] / 1e6)
            yield spread
        kept = GaugeMetricFamily(
            "shoal_promise_kept", "1 while a policy's promise is kept, else 0.", labels=("policy",)
        )
        for policy, holds in self._promises_now().items():
            kept.add_metric([policy], float(holds))
        yield kept
        failures, pending = self._ledger.owing()
        told = "Times the disk refused a commit of the ledger."
        yield CounterMetricFamily("shoal_meter_write_failures", told, value=failures)
        told = "Entries handed to the ledger that are not on the disk yet."
        yield GaugeMetricFamily("shoal_meter_pending", told, value=pending)

    def _attempt(self, attempt: Attempt) -> None:
        expert, counts = self._name(attempt.expert), self._counts
        counts["shoal_tokens", expert, "input", "text"] += attempt.input_tokens
        counts["shoal_tokens", expert, "output", "text"] += attempt.output_tokens
        counts["shoal_cost", expert, "usd"] += attempt.cost_nusd
        counts["shoal_energy_joules", expert, SOURCES[attempt.energy_method]] += attempt.energy_uj
        counts["shoal_co2_grams", expert] += attempt.co2_ug

    def _observe(self, name: str, expert: str, us: int) -> None:
        self._buckets[name, expert][bisect_left(SECONDS, us / 1e6)] += 1
        self._sums[name, expert] += us

    def _name(self, expert: str) -> str:
        """The expert as a label: only names the registry gave, and not too many of them."""
        if expert not in self._experts:
            if len(self._experts) >= MOST_EXPERTS or self._registry_now().find(expert) is None:
                return OTHER
            self._experts.add(expert)
        return expert


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    total, found = 0, []
    for bound, count in zip((*map(str, SECONDS), "+Inf"), buckets, strict=True):
        total += count
        found.append((bound, float(total)))
    return found
