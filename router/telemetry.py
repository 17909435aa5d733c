"""Prometheus metrics: base units, labels bounded by the registry, never a prompt, key or name a client made up.

A request that has ended is only noted. It is added up on the ledger's thread after its commit, and when somebody looks,
in plain dictionaries: the client library's own counters take a lock and two microseconds an addition, and a request has
a dozen. Amounts are kept as the ledger's integers and divided only when they are shown, so a counter never drifts from
the ledger.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from threading import Lock
from typing import Final, NamedTuple, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from experts.spec import Registry
from router.live import ENCODER_MODEL
from router.meter.record import Attempt, EnergyMethod, Intent, Outcome, Status
from router.reason import Reason
from router.tally import OTHER

SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

MOST_EXPERTS: Final = 256
"""Different experts told apart; those of later registries are counted together."""

COUNTERS: Final = {
    "shoal_http_responses": (
        "HTTP answers by path and status; 499: the client left before one.",
        ("surface", "code"),
        1,
    ),
    "shoal_requests": ("Requests that ended.", ("endpoint", "expert", "status"), 1),
    "shoal_tokens": ("Tokens of all attempts.", ("expert", "direction", "modality"), 1),
    "shoal_energy_joules": ("Energy of all attempts and of the router.", ("expert", "source"), 1_000_000),
    "shoal_cost": (
        "Money of attempts that have a price, in millionths of the currency.",
        ("expert", "currency"),
        1_000,
    ),
    "shoal_co2_grams": ("CO2 equivalent of all attempts and of the router.", ("expert",), 1_000_000),
    "shoal_escalations": ("Requests the fallback answered in another's place.", ("stage", "reason"), 1),
}
"""Name -> what it says, its labels, and how many of the ledger's units make one of its own."""

STATUSES: Final = tuple(status.name.lower() for status in Status)
SOURCES: Final = tuple(method.label for method in EnergyMethod)
"""By their numbers: an enumeration takes long to say its names."""


class Writer(Protocol):
    """What the ledger tells of its own health."""

    def owing(self) -> tuple[int, int]:
        """Times the disk refused a commit so far, and entries handed in that are not on it yet."""


class Cell:
    """A number that is added to."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


class Spread:
    """How long something took, counted by `SECONDS`."""

    __slots__ = ("buckets", "total_us")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.total_us = 0

    def add(self, us: int) -> None:
        """Another of so many microseconds."""
        self.buckets[bisect_left(SECONDS, us / 1e6)] += 1
        self.total_us += us

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus wants it: each bound with how many took no longer."""
        bounds = (*map(str, SECONDS), "+Inf")
        return list(zip(bounds, map(float, accumulate(self.buckets)), strict=True))


class OfExpert(NamedTuple):
    """Where an expert's figures are added, looked up once."""

    label: str
    input_tokens: Cell
    output_tokens: Cell
    cost: Cell
    co2: Cell
    energy: tuple[Cell, ...]
    """By `EnergyMethod`."""
    duration: Spread
    first_token: Spread


HISTOGRAMS: Final[dict[str, tuple[str, Callable[[OfExpert], Spread]]]] = {
    "shoal_request_duration_seconds": (
        "From the request's arrival to its entry in the ledger.", lambda expert: expert.duration,
    ),
    "shoal_time_to_first_token_seconds": (
        "From asking an expert to the first of its answer.", lambda expert: expert.first_token,
    ),
}  # fmt: skip


class Labelled(Collector):
    """What others collect, with more labels."""

    def __init__(self, inner: Collector, labels: Mapping[str, str]) -> None:
        self._inner = inner
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        """The metric families as they stand."""
        for family in self._inner.collect():
            family.samples = [s._replace(labels={**s.labels, **self._labels}) for s in family.samples]
            yield family


class Telemetry(Collector):
    """Counts what the ledger records; a figure here and there is the same figure."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self, ledger: Writer, registry: Callable[[], Registry], promises: Callable[[], Mapping[str, bool]] = dict,
        answers: Callable[[], Iterable[tuple[str, str, int]]] = tuple,
    ) -> None:  # fmt: skip
        """`registry` gives the one that serves now, `promises` by policy whether what it promises is kept now.

        `answers`: HTTP answers so far, by surface and status.
        """
        self._ledger = ledger
        self._promises_now = promises
        self._answers = answers
        self._registry_now = registry
        self._collectors = CollectorRegistry()
        self._collectors.register(self)
        ProcessCollector(registry=self._collectors)
        self._cells: dict[tuple[str, ...], Cell] = {}
        self._experts: dict[str, OfExpert] = {}
        self._other = self._new(OTHER)
        self._router = self._cell("shoal_energy_joules", "router", "modelled"), self._cell("shoal_co2_grams", "router")
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
        expert = self._expert(outcome.answered_by or intent.expert)
        self._cell("shoal_requests", intent.endpoint, expert.label, STATUSES[outcome.status]).n += 1
        energy, co2 = self._router
        energy.n += outcome.router_energy_uj
        co2.n += outcome.router_co2_ug
        if outcome.escalated:
            self._cell("shoal_escalations", outcome.escalated, outcome.why or Reason.NOT_SURE).n += 1
        for attempt in outcome.attempts:
            self._attempt(attempt)
        expert.duration.add(outcome.total_us)
        if outcome.status is Status.OK and outcome.first_byte_us is not None:
            expert.first_token.add(outcome.first_byte_us)

    def render(self, **also: str) -> bytes:
        """Everything in the text format; `also` are labels that every series has."""
        return generate_latest(Labelled(self._collectors, also) if also else self._collectors)

    def collect(self) -> Iterator[Metric]:
        """The metric families as they stand."""
        self.add_up()
        with self._adding:
            counts = [(key, cell.n) for key, cell in self._cells.items()]
            experts = [*self._experts.values(), self._other]
            spreads = {
                name: [
                    (e.label, spread.cumulative(), spread.total_us) for e in experts if any((spread := of(e)).buckets)
                ]
                for name, (_, of) in HISTOGRAMS.items()
            }
        counts += [(("shoal_http_responses", surface, code), n) for surface, code, n in self._answers()]
        for name, (told, labels, units) in COUNTERS.items():
            family = CounterMetricFamily(name, told, labels=labels)
            for (which, *values), count in counts:
                if which == name:
                    family.add_metric(values, count / units)
            yield family
        for name, (told, _) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, told, labels=("expert",))
            for label, buckets, total_us in spreads[name]:
                histogram.add_metric([label], buckets, total_us / 1e6)
            yield histogram
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
        expert = self._expert(attempt.expert)
        expert.input_tokens.n += attempt.input_tokens
        expert.output_tokens.n += attempt.output_tokens
        if attempt.price_version:  # what has no price is not shown as 0
            expert.cost.n += attempt.cost_nusd
            self._cells.setdefault(("shoal_cost", expert.label, "usd"), expert.cost)
        expert.energy[attempt.energy_method].n += attempt.energy_uj
        expert.co2.n += attempt.co2_ug

    def _cell(self, *key: str) -> Cell:
        """The figure with this name and these labels."""
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = Cell()
        return found

    def _expert(self, name: str) -> OfExpert:
        """Figures of an expert: only names the registry gave, and not too many of them; one place is the encoder's."""
        found = self._experts.get(name)
        if found is None:
            known = name == ENCODER_MODEL or self._registry_now().find(name) is not None
            if not known or len(self._experts) >= MOST_EXPERTS - 1:
                return self._other
            found = self._experts[name] = self._new(name)
        return found

    def _new(self, label: str) -> OfExpert:
        return OfExpert(
            label,
            self._cell("shoal_tokens", label, "input", "text"),
            self._cell("shoal_tokens", label, "output", "text"),
            Cell(),
            self._cell("shoal_co2_grams", label),
            tuple(self._cell("shoal_energy_joules", label, source) for source in SOURCES),
            Spread(),
            Spread(),
        )
