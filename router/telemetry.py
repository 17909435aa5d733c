"""Prometheus metrics: base units, labels bounded by the registry, never a prompt, key or name a client made up.

A request that has ended is only noted. It is added up on the ledger's thread after its commit, and when somebody looks,
in plain dictionaries: the client library's own counters take a lock and two microseconds an addition, and a request has
a dozen. Amounts are kept as the ledger's integers and divided only when they are shown, so a counter never drifts from
the ledger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from threading import Lock
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from experts.own_labels import OTHER, ROUTER
from experts.spec import ENCODER_MODEL, Registry
from router.cells import Cell, OfExpert, Taken
from router.labelled import Labelled
from router.meter.cost import unit_price
from router.meter.devices import PARTS, DeviceShare
from router.meter.money import YUSD_PER_NUSD
from router.meter.record import SOURCES, Arm, Attempt, EnergyMethod, Intent, Outcome, Status
from router.reason import FALLBACK_FAILED, Reason
from router.spread import Spread

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
        "Money of attempts that have a price and of the router's electricity, in millionths of the currency.",
        ("expert", "currency"),
        1_000 * YUSD_PER_NUSD,
    ),
    "shoal_co2_grams": ("CO2 equivalent of all attempts and of the router.", ("expert",), 1_000_000),
    "shoal_hardware_energy_joules": (
        "Energy of a device, whoever used it, without what the building takes.", ("device", "source"), 1_000_000,
    ),
    "shoal_idle_energy_joules": (
        "Of a device's energy, what it took while nobody asked it anything; in no request's.", ("device", "source"),
        1_000_000,
    ),
    "shoal_hardware_divided_energy_joules": (
        "What a device's energy went to; the parts are its whole.", ("device", "source", "part"), 1_000_000,
    ),
    "shoal_unheard_answers": (
        "Answers whose client left before the first word: what was written by then is unknown and in no figure.",
        ("expert",), 1,
    ),
    "shoal_escalations": (
        "Requests the fallback answered in another's place; fallback_failed: a small expert in the fallback's.",
        ("stage", "reason"), 1,
    ),
}  # fmt: skip
"""Name -> what it says, its labels, and how many of the ledger's units make one of its own."""

STATUSES: Final = tuple(status.name.lower() for status in Status)
"""By their numbers: an enumeration takes long to say its names."""

BEGUN: Final = tuple(product(("chat", "completions", "responses", "messages"), (Status.OK, Status.ERROR)))
"""How requests of every expert may end, and by which endpoint, that are counted from 0 on."""


class Writer(Protocol):
    """What the ledger tells of itself."""

    interrupted: int
    """Requests of runs that died, which it closed when it was opened."""

    def owing(self) -> tuple[int, int]:
        """Times the disk refused a commit so far, and entries handed in that are not on it yet."""


HISTOGRAMS: Final[dict[str, tuple[str, Callable[[OfExpert], Spread]]]] = {
    "shoal_request_duration_seconds": (
        "From the request's arrival to its entry in the ledger.", lambda expert: expert.duration,
    ),
    "shoal_time_to_first_token_seconds": (
        "Of streams: from asking an expert to the first of its answer.", lambda expert: expert.first_token,
    ),
}  # fmt: skip


class Telemetry(Collector):
    """Counts what the ledger records; a figure here and there is the same figure."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(
        self, ledger: Writer, registry: Callable[[], Registry], promises: Callable[[], Mapping[str, bool]] = dict,
        answers: Callable[[], Iterable[tuple[str, str, int]]] = tuple, left_out: Callable[[], bool] = bool,
        refused: Callable[[], bool] = bool,
    ) -> None:  # fmt: skip
        """`registry` gives the one that serves now, `promises` by policy whether what it promises is kept now.

        `answers`: HTTP answers so far, by surface and status; `left_out`: whether an edition should serve and does not;
        `refused`: whether the registry's file does not.
        """
        self._ledger = ledger
        self._promises_now = promises
        self._answers, self._left_out, self._refused = answers, left_out, refused
        self._registry_now = registry
        self._collectors = CollectorRegistry()
        self._collectors.register(self)
        ProcessCollector(registry=self._collectors)
        self._cells: dict[tuple[str, ...], Cell] = {}
        self._experts: dict[str, OfExpert] = {}
        self._other = self._new(OTHER)
        self._noted: deque[tuple[Intent, Outcome] | Attempt | Taken | DeviceShare] = deque()
        self._adding = Lock()

    def closed(self, intent: Intent, outcome: Outcome) -> None:
        """A request has ended and its outcome is on its way into the ledger."""
        self._noted.append((intent, outcome))

    def beside(self, attempt: Attempt) -> None:
        """An attempt that ran beside an answer has ended; it is charged as every other."""
        self._noted.append(attempt)

    def settled(
        self, expert: str | None, method: EnergyMethod, energy_uj: int, co2_ug: int, yusd: int | None = None
    ) -> None:
        """What awaited its counter is known: an attempt's energy, or without an expert the router's, and its money."""
        self._noted.append(Taken(expert, method, energy_uj, co2_ug, yusd))

    def noted(self, shares: Sequence[DeviceShare]) -> None:
        """What devices took since the last time."""
        self._noted.extend(shares)

    def add_up(self) -> None:
        """Count what was noted; on whichever thread."""
        with self._adding:
            for _ in range(len(self._noted)):
                noted = self._noted.popleft()
                if isinstance(noted, Attempt):
                    self._attempt(noted)
                elif isinstance(noted, Taken):
                    if noted.expert is None:
                        self._own(noted.method, noted.energy_uj, noted.co2_ug, noted.yusd)
                    else:
                        self._energy(self._expert(noted.expert), noted.method, noted.energy_uj, noted.co2_ug)
                elif isinstance(noted, DeviceShare):
                    self._device(noted)
                else:
                    self._request(*noted)

    def _request(self, intent: Intent, outcome: Outcome) -> None:
        expert = self._expert(outcome.answered_by or intent.decision.expert)
        self._cell("shoal_requests", intent.request.endpoint, expert.label, STATUSES[outcome.status]).n += 1
        if not outcome.router_awaits_counter:
            self._own(EnergyMethod.MODELLED, outcome.router_energy_uj, outcome.router_co2_ug, outcome.router_yusd)
        if outcome.escalated:
            away = outcome.answered_by is not None and outcome.answered_by != intent.terms.fallback
            # A key that may not use that fallback has another of its own.
            away = away and (intent.draw is None or intent.draw.arm is not Arm.RESTRICTED)
            why = FALLBACK_FAILED if away else outcome.why or Reason.NOT_SURE
            self._cell("shoal_escalations", outcome.escalated, why).n += 1
        for attempt in outcome.attempts:
            self._attempt(attempt)
        expert.duration.add(outcome.total_us)
        if intent.request.stream and outcome.status is Status.OK and outcome.first_byte_us is not None:
            expert.first_token.add(outcome.first_byte_us)

    def _own(self, method: EnergyMethod, energy_uj: int, co2_ug: int, yusd: int | None) -> None:
        """The router's work for a request."""
        self._cell("shoal_energy_joules", ROUTER, SOURCES[method]).n += energy_uj
        self._cell("shoal_co2_grams", ROUTER).n += co2_ug
        if yusd is not None:  # what has no price is not shown as 0
            self._cell("shoal_cost", ROUTER, "usd").n += yusd

    def _begin(self) -> None:
        """Begin the series of every expert at 0: `increase` misses the request that a series begins with."""
        registry = self._registry_now()
        for spec in registry.experts:
            expert = self._expert(spec.id)
            for endpoint, status in BEGUN:
                self._cell("shoal_requests", endpoint, expert.label, STATUSES[status])
            if unit_price(spec).version:
                self._cells.setdefault(("shoal_cost", expert.label, "usd"), expert.cost)
        if registry.power.usd_per_kwh is not None:
            self._cell("shoal_cost", ROUTER, "usd")

    def render(self, **also: str) -> bytes:
        """Everything in the text format; `also` are labels that every series has."""
        return generate_latest(Labelled(self._collectors, also) if also else self._collectors)

    def collect(self) -> Iterator[Metric]:
        """The metric families as they stand."""
        self.add_up()
        with self._adding:
            self._begin()
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
        told = "1 while what was learnt from use is left out, being damaged or another encoder's, else 0."
        yield GaugeMetricFamily("shoal_edition_left_out", told, value=float(self._left_out()))
        told = "1 while registry.yaml holds an edit that does not serve, being wrong or kept from going live, else 0."
        yield GaugeMetricFamily("shoal_edit_refused", told, value=float(self._refused()))
        failures, pending = self._ledger.owing()
        told = "Times the disk refused a commit of the ledger."
        yield CounterMetricFamily("shoal_meter_write_failures", told, value=failures)
        told = "Requests that were under way when an earlier run died; what they took is unknown and in no figure."
        yield GaugeMetricFamily("shoal_interrupted_requests", told, value=self._ledger.interrupted)
        told = "Entries handed to the ledger that are not on the disk yet."
        yield GaugeMetricFamily("shoal_meter_pending", told, value=pending)

    def _attempt(self, attempt: Attempt) -> None:
        expert = self._expert(attempt.expert)
        expert.input_tokens.n += attempt.input_tokens
        expert.output_tokens.n += attempt.output_tokens
        if attempt.status is Status.UNHEARD:
            self._cell("shoal_unheard_answers", expert.label).n += 1
        if attempt.price_version:  # what has no price is not shown as 0
            expert.cost.n += attempt.cost_nusd * YUSD_PER_NUSD
            self._cells.setdefault(("shoal_cost", expert.label, "usd"), expert.cost)
        if not attempt.awaits_counter:
            self._energy(expert, attempt.energy_method, attempt.energy_uj, attempt.co2_ug)

    @staticmethod
    def _energy(expert: OfExpert, method: EnergyMethod, energy_uj: int, co2_ug: int) -> None:
        expert.energy[method].n += energy_uj
        expert.co2.n += co2_ug

    def _device(self, share: DeviceShare) -> None:
        source = SOURCES[share.method]
        self._cell("shoal_hardware_energy_joules", share.device, source).n += share.counter_uj
        self._cell("shoal_idle_energy_joules", share.device, source).n += share.idle_uj
        for part in PARTS:
            if uj := getattr(share, f"{part}_uj"):
                self._cell("shoal_hardware_divided_energy_joules", share.device, source, part).n += uj

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
