"""The measurement: rounds of windows, every figure once a round, so that noise falls on all of them alike."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from eval.bench.errors import BenchError
from eval.bench.load import Address, Window, largest_gaps_ns, post, window
from eval.bench.processes import Shoal
from eval.bench.prompts import REPEATED, distinct_prompts
from eval.bench.spread import Spread
from eval.bench.upstream import BURST, PACED

QUIET_STREAMS: Final = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured, and how."""

    rounds: int = 7
    seconds: float = 2.0
    connections: int = 16
    seed: int = 0
    settle_s: float = 0.4
    """Between the first request of a load and its window."""

    @property
    def windows(self) -> int:
        """Windows in all."""
        return self.rounds * len(FIGURES) + len(FLOORS)


@dataclass(frozen=True, slots=True)
class Load:
    """The requests of one figure; `model` None is the fallback, by its name."""

    model: str | None
    stream: bool = False
    distinct: bool = False

    def requests(self, port: int, named: str, prompts: Iterator[str]) -> Iterator[bytes]:
        """Without end: the same one again and again, or a new prompt every time."""
        model = self.model or named
        if self.distinct:
            return (post(port, model, prompt, self.stream) for prompt in prompts)
        return itertools.repeat(post(port, model, REPEATED, self.stream))


FIGURES: Final = {
    "named_us": Load(None),
    "stream_us": Load(None, stream=True),
    "stream_paced_us": Load(PACED, stream=True),
    "routed_us": Load("auto", distinct=True),
    "repeat_us": Load("auto"),
}
"""Own CPU time per answer, by the load that is on."""

FLOORS: Final = {"plain": Load(BURST), "stream": Load(BURST, stream=True)}
"""The same load straight at the upstream: what load and upstream can do on their one core."""


class Measurement:
    """Everything seen of one running Shoal."""

    def __init__(self, plan: Plan, shoal: Shoal, upstream_port: int, named: str, advance: Callable[[], None]) -> None:
        """`named` is the expert asked by name; `advance` is called after each window."""
        self._plan = plan
        self._shoal = shoal
        self._upstream_port = upstream_port
        self._named = named
        self._advance = advance
        self._prompts = distinct_prompts(plan.seed)
        self._windows: dict[str, list[Window]] = defaultdict(list)
        self._floors: dict[str, float] = {}
        self._gaps_ms: list[float] = []
        self._rss_mb = (0.0, 0.0)

    async def run(self) -> None:
        """Measure. Raises BenchError when an answer was wrong."""
        fresh_mb = self._shoal.rss_mb()
        for name, load in FLOORS.items():
            address = Address(self._upstream_port, b'"choices"')
            seen = await self._window(address, load, time.process_time_ns)
            self._floors[name] = seen.tally.answers / (seen.wall_ns / 1e9)
        for _ in range(self._plan.rounds):
            for name, load in FIGURES.items():
                self._windows[name].append(await self._window(Address(self._shoal.port), load, self._shoal.cpu_ns))
        request = post(self._shoal.port, self._named, REPEATED, stream=True)
        gaps = await largest_gaps_ns(Address(self._shoal.port), request, QUIET_STREAMS)
        self._gaps_ms = [gap / 1e6 for gap in gaps]
        self._rss_mb = fresh_mb, self._shoal.rss_mb()

    @property
    def answers(self) -> int:
        """All that Shoal answered, and so all that its ledger must hold."""
        windows = itertools.chain.from_iterable(self._windows.values())
        return QUIET_STREAMS + sum(seen.tally.answers + seen.outside for seen in windows)

    def spreads(self) -> dict[str, Spread]:
        """By figure: how its windows, or for `stall_ms` its streams, differ."""
        found = {name: Spread.of([seen.cpu_us for seen in windows]) for name, windows in self._windows.items()}
        return {**found, "stall_ms": Spread.of(self._gaps_ms)}

    def figures(self) -> dict[str, float]:
        """Medians of own CPU time per answer; the longest wait within a stream; resident memory after the load."""
        spreads = self.spreads()
        medians = {name: round(spreads[name].median, 1) for name in FIGURES}
        return {**medians, "stall_ms": round(spreads["stall_ms"].max, 2), "rss_mb": round(self._rss_mb[1], 1)}

    def detail(self) -> dict[str, Any]:
        """What else was seen, for those who doubt the figures."""
        return {
            "loads": {name: _load_detail(windows) for name, windows in self._windows.items()},
            "floor_per_s": {name: round(rate) for name, rate in self._floors.items()},
            "rss_fresh_mb": round(self._rss_mb[0], 1),
            "answers": self.answers,
        }

    async def _window(self, address: Address, load: Load, cpu_ns: Callable[[], int]) -> Window:
        plan = self._plan
        requests = load.requests(address.port, self._named, self._prompts)
        seen = await window(address, requests, plan.connections, plan.settle_s, plan.seconds, cpu_ns)
        if seen.tally.errors or not seen.tally.answers:
            why = seen.tally.first_error or "no answer came within the window"
            raise BenchError(f"{seen.tally.errors} wrong answers, so there is nothing to measure. The first: {why}")
        self._advance()
        return seen


def _load_detail(windows: list[Window]) -> dict[str, Any]:
    latencies = Spread.of([each / 1e6 for seen in windows for each in seen.tally.latencies_ns])
    wall_ns, cpu_ns = (sum(getattr(seen, key) for seen in windows) for key in ("wall_ns", "cpu_ns"))
    answers = sum(seen.tally.answers for seen in windows)
    experts: dict[str, int] = defaultdict(int)
    for seen in windows:
        for expert, count in seen.tally.experts.items():
            experts[expert] += count
    return {
        "answers": answers,
        "per_s": round(answers / (wall_ns / 1e9), 1),
        "core_busy": round(cpu_ns / wall_ns, 3),
        "p50_ms": round(latencies.median, 3),
        "p99_ms": round(latencies.p99, 3),
        "answered_by": dict(experts),
    }
