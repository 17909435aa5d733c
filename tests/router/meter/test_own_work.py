"""The router's own work by the processor's counter: nobody is charged for another, and no window gives too much."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from router.meter.counters.accounting import LOST_NS, Accounting
from router.meter.counters.cpu import Clocks
from router.meter.counters.device import Reading, idle_power
from router.meter.counters.own import MOST_WINDOWS, OwnWork
from router.meter.devices import Measured
from router.meter.energy import SharedCpuClock
from router.meter.record import EnergyMethod, Outcome, Status
from router.meter.tariff import Tariff, Tariffs
from tests.router.meter.test_accounting import PARTS, Counter
from tests.router.meter.traffic import registry

STEP_NS = 100_000_000
TARIFFS = Tariffs.of_registry(registry())
BIG: Tariff = TARIFFS.of("big")
PUE = 1.2


@dataclass
class Router:
    """A processor that takes 10 W when it rests, and a router whose CPU time the test moves."""

    now_ns: int = 10**9
    raw: int | None = 0
    own_ns: int = 0
    other_ns: int = 0
    told: list[Measured] = field(default_factory=list)
    settled: list[tuple[object, ...]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SharedCpuClock(lambda: self.own_ns)
        clocks = Clocks(lambda _: None, lambda: self.own_ns, lambda: self.own_ns + self.other_ns)
        self.counters = Accounting(
            [Counter("cpu", [None], EnergyMethod.MEASURED_SHARE)], clocks, self.told.append, lambda: 400_000,
            {"cpu": idle_power("cpu", 10.0)}, PUE,
            now_us=lambda: self.now_ns // 1000, now_ns=lambda: self.now_ns,
            settled=lambda *told: self.settled.append(told), own=OwnWork(self.clock),
        )  # fmt: skip
        self.read()

    def read(self) -> None:
        self.counters.take([self.note()])

    def note(self) -> Reading:
        return self.counters.note("cpu", self.now_ns, None if self.raw is None else [self.raw])

    def work(self, own_ns: int, other_ns: int = 0) -> None:
        """The router's process works, and other programs."""
        self.own_ns += own_ns
        self.other_ns += other_ns

    def window(self, above_idle_uj: int = 0) -> None:
        """The counter moves by so much more than idle, and is read."""
        self.now_ns += STEP_NS
        if self.raw is not None:
            self.raw += 1_000_000 + above_idle_uj
        self.read()

    def end(self, name: str, mark: int) -> bool:
        """A request leaves; whether a counter tells of it."""
        own_us, energy_uj, carbon_ug = TARIFFS.router(self.clock.finish(mark), 400_000)
        outcome = Outcome(name, Status.OK, "big", None, [], own_us, energy_uj, carbon_ug)
        outcome.electricity = TARIFFS.electricity
        self.outcomes.append(outcome)
        self.counters.closed(outcome, mark, BIG, 400_000)
        return outcome.router_awaits_counter

    def fixes(self) -> dict[str, int]:
        self.counters.tell()
        return {fix.request_id: fix.energy_uj for each in self.told for fix in each.corrections}

    def total(self, part: str) -> int:
        self.counters.tell()
        return sum(getattr(share, part) for each in self.told for share in each.devices)


def test_two_at_once_share_what_the_process_took_while_they_were_there() -> None:
    router = Router()
    one = router.clock.start()
    router.work(10_000_000)
    two = router.clock.start()
    router.work(40_000_000)
    assert router.end("one", one)
    router.work(20_000_000, 30_000_000)
    router.window(1_000_000)  # 70 ms of the router and 30 of others: 10 mJ a millisecond
    router.work(50_000_000)
    assert router.end("two", two)
    router.work(50_000_000)  # for nobody
    router.window(2_000_000)
    assert router.fixes() == {"one": round(PUE * 300_000), "two": round(PUE * (200_000 + 200_000 + 1_000_000))}
    assert (router.total("router_uj"), router.total("other_uj")) == (2_700_000, 300_000)
    assert router.total("charged_uj") == sum(router.fixes().values())
    assert sum(router.total(part) for part in PARTS) == router.total("counter_uj")
    price = TARIFFS.electricity
    assert [told[::4] for told in router.settled] == [(None, price.cost_yusd(uj)) for uj in router.fixes().values()]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_requests_are_charged_what_the_router_took_for_them_and_no_more(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    router, there, count, for_nobody = Router(), {}, 0, 0.0
    for _ in range(60):
        used_ns, alone_ns, above_uj = 0, 0, draw.choice((0, draw.randrange(3_000_000)))
        for _ in range(draw.randrange(8)):
            ns = draw.randrange(1, 8_000_000)
            router.work(ns)
            used_ns, alone_ns = used_ns + ns, alone_ns + (0 if there else ns)
            if there and draw.random() < 0.5:
                name = draw.choice(sorted(there))
                assert router.end(name, there.pop(name))
            else:
                there[f"{count}"], count = router.clock.start(), count + 1
        router.window(above_uj)
        for_nobody += above_uj * alone_ns / used_ns if used_ns else 0
    for name, mark in there.items():
        assert router.end(name, mark)
    router.window()
    charged_uj = sum(router.fixes().values())
    assert len(router.fixes()) == count > 50
    assert router.total("charged_uj") == charged_uj
    assert charged_uj == pytest.approx(PUE * (router.total("router_uj") - for_nobody), abs=count)
    assert sum(router.total(part) for part in PARTS) == router.total("counter_uj")


def test_a_reading_that_is_heard_of_late_says_what_was_so_when_it_was_made() -> None:
    """What was used since then, by dividing it too, belongs to the next, and so does who came and went since then."""
    router = Router()
    one = router.clock.start()
    router.work(10_000_000, 90_000_000)
    router.now_ns, router.raw = router.now_ns + STEP_NS, 2_000_000  # 1 J of idle and 1 J for 100 ms
    early = router.note()
    router.work(5_000_000)
    assert router.end("one", one)
    two = router.clock.start()
    router.work(5_000_000, 90_000_000)
    assert router.end("two", two)
    router.counters.take([early])
    assert router.fixes() == {}, "the counter has not shown their last 5 ms"
    assert router.total("router_uj") == 100_000
    router.window(1_000_000)
    assert router.fixes() == {"one": round(PUE * 150_000), "two": round(PUE * 50_000)}
    assert router.total("charged_uj") == round(PUE * router.total("router_uj")) == round(PUE * 200_000)


def test_who_was_there_before_the_first_reading_keeps_the_modelled_figure() -> None:
    router = Router(raw=None)
    early = router.clock.start()
    router.work(5_000_000)
    router.raw = 7
    router.window()
    late = router.clock.start()
    router.work(5_000_000)
    assert not router.end("early", early)
    assert router.end("late", late)
    router.window(600_000)
    assert router.fixes() == {"late": round(PUE * 300_000)}, (
        "the other had its half of the 5 ms, which nobody is charged"
    )


def test_as_long_as_idle_power_is_not_known_nobody_is_measured() -> None:
    router = Router()
    idle = router.counters._devices["cpu"].idle
    idle.fixed, idle.watts = False, None
    router.counters._own = OwnWork(router.clock)
    for _ in range(9):
        mark = router.clock.start()
        router.work(1_000_000)
        assert not router.end("too early", mark)
        router.window()
    router.window()  # a second is over
    mark = router.clock.start()
    router.work(1_000_000)
    assert router.end("measured", mark)
    router.window(50_000)
    assert router.fixes() == {"measured": round(PUE * 50_000)}


def test_a_counter_that_vanishes_leaves_the_modelled_figure_and_says_so() -> None:
    router = Router()
    mark = router.clock.start()
    router.work(5_000_000)
    assert router.end("one", mark)
    router.raw = None
    for _ in range(LOST_NS // STEP_NS + 1):
        router.window()
    (outcome,) = router.outcomes
    told = (None, EnergyMethod.MODELLED, outcome.router_energy_uj, outcome.router_co2_ug, outcome.router_yusd)
    assert router.settled == [told]
    assert router.fixes() == {}
    mark = router.clock.start()
    assert not router.end("two", mark), "its answer must not promise a figure that never comes"


def test_who_is_there_for_longer_than_is_remembered_keeps_the_modelled_figure() -> None:
    router = Router()
    mark = router.clock.start()
    for _ in range(MOST_WINDOWS + 1):
        router.work(1_000_000)
        router.window(1_000)
    brief = router.clock.start()
    router.work(1_000_000)
    assert router.end("brief", brief)
    assert not router.end("for ever", mark)
    assert len(router.counters._own._at_ns) == MOST_WINDOWS
    router.window(1_000)
    assert router.fixes() == {"brief": round(PUE * 500)}
    assert len(router.counters._own._at_ns) == 1, "nobody is there, so nothing need be remembered"
