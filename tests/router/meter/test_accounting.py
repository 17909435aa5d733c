"""Recorded traces of counters, replayed through the code that serves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from experts.wire import Usage
from router.meter.coefficients import Size, table_energy
from router.meter.cost import NO_PRICE
from router.meter.counters.accounting import Accounting
from router.meter.counters.cpu import Clocks
from router.meter.counters.device import Reading, idle_power
from router.meter.counters.own import OwnWork
from router.meter.counters.sampler import Sampler
from router.meter.counters.stake import Stake
from router.meter.devices import AMOUNTS, SLICE_US, DeviceShare, DeviceSlice, Measured, Slicer
from router.meter.energy import SharedCpuClock, UnitEnergy
from router.meter.hours_schema import HOUR_US
from router.meter.record import Attempt, Correction, EnergyMethod, Outcome, Role, Status
from router.meter.tariff import Tariff

TRACES = Path(__file__).parent / "traces"
NAMES = (
    "card_overlapping", "card_missed", "card_reset", "card_in_steps", "processor_wrapping", "processor_restarting",
    "processor_router",
)  # fmt: skip
TWO = "card_two_experts"
"""Each engine takes its watts, however many tokens it gives: who took what is known by tokens alone."""
RECORDED = "recorded_card"
"""A real card's counter under 84 requests whose every step is known; a model is loaded while it is looked at."""
SHARED = "recorded_shared"
"""The same card: two engines at once (20 requests), a trickle for one (14), a stranger alone, and beside 6 requests."""
STRANGER = "recorded_stranger"
"""The same card: a stranger alone for ten seconds, beside 3 requests, and alone again; then 2 requests without it."""
PARTS = ("attempts_uj", "router_uj", "idle_uj", "other_uj")


@dataclass
class Counter:
    """The device of a trace; what it shows is set by the replay."""

    name: str
    ranges_uj: Sequence[int | None]
    method: EnergyMethod = EnergyMethod.MEASURED
    raw: Sequence[int] | None = None
    busy: bool | None = None
    closed: bool = False

    def read(self) -> Sequence[int]:
        if self.raw is None:
            raise OSError("lost")
        return self.raw

    def works(self) -> bool | None:
        return self.busy

    def close(self) -> None:
        self.closed = True


@dataclass
class Streamed:
    """An attempt, as far as it was heard."""

    tokens: int = 0
    record: Attempt = field(default_factory=lambda: Attempt("big", Role.ROUTED, Status.OK, energy_uj=77, co2_ug=7))

    def tokens_heard(self) -> int:
        return self.tokens


@dataclass
class Replay:
    """A trace on its way through the accounting."""

    name: str
    pue: float = 1.0
    burst: int = 1
    """So many readings wait until they are heard of: the event loop was busy."""
    now_ns: int = 0
    cpu: dict[str, int] = field(default_factory=dict)
    told: list[Measured] = field(default_factory=list)
    truth: dict[str, Any] = field(default_factory=dict)
    experts: dict[str, str] = field(default_factory=dict)
    """Of each request."""

    def run(self, idle_w: float | None = None, remembered_w: float | None = None) -> Replay:
        """Every event in turn."""
        head, *events = [json.loads(line) for line in (TRACES / f"{self.name}.jsonl").read_text().splitlines()]
        counter = Counter(head["device"], [head["range_uj"]])
        idle = {head["device"]: idle_power(head["device"], idle_w, remembered_w)}
        clocks = Clocks(
            lambda expert: self.cpu.get(f"expert {expert}"), lambda: self.cpu.get("router"),
            lambda: self.cpu.get("machine"),
        )  # fmt: skip
        router = SharedCpuClock(lambda: self.cpu.get("router"))
        accounting = Accounting(
            [counter], clocks, self.told.append, lambda: 400_000, idle, self.pue,
            now_us=lambda: 1_793_520_000_000_000 + self.now_ns // 1000, now_ns=lambda: self.now_ns,
            own=OwnWork(router),
        )  # fmt: skip
        sizes = head.get("params_b", {})
        child = head["device"] == "cpu"
        tariffs = {
            expert: Tariff(
                NO_PRICE, UnitEnergy.of(table_energy(Size(sizes.get(expert, 8)))), 1_920_000,
                has_process=child, device=head["device"], pue_ppm=round(self.pue * 1e6),
            )
            for expert in {event["expert"] for event in events if event["event"] == "begin"}
        }  # fmt: skip
        stakes: dict[str, tuple[Stake, Streamed]] = {}
        marks: dict[str, int] = {}
        waiting: list[Reading] = []
        for event in events:
            self.now_ns = event["t"]
            self.cpu["router"] = event.get("router", self.cpu.get("router", 0))
            match event["event"]:
                case "begin":
                    heard = Streamed()
                    self.experts[event["id"]] = expert = event["expert"]
                    stake = accounting.enter(event["id"], 0, expert, tariffs[expert], 400_000, event["prompt"], heard)
                    assert stake is not None
                    stakes[event["id"]], marks[event["id"]] = (stake, heard), router.start()
                case "heard":
                    stakes[event["id"]][1].tokens = event["tokens"]
                case "end":
                    stake, _ = stakes[event["id"]]
                    accounting.leave(stake, Usage(event["input"], event["output"]))
                    stake.closed = True
                    router.finish(marks[event["id"]])
                    outcome = Outcome(event["id"], Status.OK, stake.expert)
                    accounting.closed(outcome, marks[event["id"]], tariffs[stake.expert], 400_000)
                case "sample":
                    self.cpu, counter.busy = event.get("cpu", {}), event.get("works")
                    waiting.append(accounting.note(head["device"], self.now_ns, event["raw"]))
                    while len(waiting) >= self.burst or (waiting and events[-2] is event):
                        ready, waiting = waiting[: self.burst], waiting[self.burst :]
                        for reading in ready:
                            accounting.take([reading])
                case "truth":
                    self.truth = event
        accounting.tell(last=True)
        return self

    @property
    def corrections(self) -> dict[str, Correction]:
        return {fix.request_id: fix for each in self.told for fix in each.corrections if fix.n is not None}

    @property
    def own_uj(self) -> int:
        """What requests were charged for the router's own work."""
        return sum(fix.energy_uj for each in self.told for fix in each.corrections if fix.n is None)

    def total(self, part: str) -> int:
        return sum(getattr(share, part) for share in self.shares)

    @property
    def shares(self) -> list[DeviceShare]:
        return [share for each in self.told for share in each.devices]


@pytest.mark.parametrize("name", [*NAMES, TWO, RECORDED, SHARED, STRANGER])
def test_attributed_and_idle_are_what_the_device_took(name: str) -> None:
    replay = Replay(name).run()
    parts = sum(replay.total(part) for part in PARTS)
    assert parts == replay.total("counter_uj"), "not a microjoule more or less than the counter moved"
    assert parts == pytest.approx(replay.truth["energy_uj"], rel=0.01)
    assert replay.total("charged_uj") - replay.own_uj == replay.total("attempts_uj")
    assert sum(fix.energy_uj for fix in replay.corrections.values()) == replay.total("attempts_uj")


def test_what_the_router_took_for_requests_is_charged_to_them() -> None:
    replay = Replay("processor_router").run()
    assert len(replay.corrections) == sum(fix.n is None for each in replay.told for fix in each.corrections) == 7
    assert replay.total("router_uj") == pytest.approx(replay.truth["router_uj"], rel=0.01)
    assert replay.own_uj == pytest.approx(replay.truth["router_for_requests_uj"], rel=0.01)
    assert replay.own_uj < 0.95 * replay.total("router_uj"), "what it did while nobody was there is nobody's"


@pytest.mark.parametrize("burst", [2, 3, 5])
@pytest.mark.parametrize("name", [*NAMES, TWO, RECORDED, SHARED, STRANGER])
def test_readings_that_are_heard_of_late_and_together_charge_everybody_the_same(name: str, burst: int) -> None:
    at_once, late = (
        {(fix.request_id, fix.n): fix.energy_uj for each in replay.told for fix in each.corrections}
        for replay in (Replay(name).run(remembered_w=70), Replay(name, burst=burst).run(remembered_w=70))
    )  # remembered: else requests of the moments in which it is learnt that it was quiet would be measured or not
    assert late.keys() == at_once.keys()
    assert late == pytest.approx(at_once, abs=1)


@pytest.mark.parametrize("name", NAMES)
def test_slices_are_of_a_minute_and_add_up_to_the_hour(name: str) -> None:
    replay = Replay(name).run()
    slices = [each for told in replay.told for each in told.slices]
    sums = [sum(amounts) for amounts in zip(*(each.amounts for each in slices), strict=True)]
    assert sums == [replay.total(part) for part in AMOUNTS]
    assert all(after.since_us == before.until_us for before, after in pairwise(slices))
    assert all(0 < each.until_us - each.since_us <= SLICE_US + 5_000_000 for each in slices)


def test_slices_end_with_their_hour_and_stay_in_it_whatever_the_clock_does() -> None:
    begin_us = 498_000 * HOUR_US
    slicer, hour = Slicer(begin_us + HOUR_US - 1_500_000), begin_us // HOUR_US

    def share(hour: int) -> DeviceShare:
        return DeviceShare(hour, "gpu:0", EnergyMethod.MEASURED, 1_000_000, counter_uj=5, idle_uj=5)

    assert slicer.add([share(hour)], begin_us + HOUR_US - 500_000) == []
    old, new = slicer.add([share(hour), share(hour + 1)], begin_us + HOUR_US + 500_000, last=True)
    assert (old.amounts[0], old.until_us, new.since_us) == (10, begin_us + HOUR_US, begin_us + HOUR_US)
    (back,) = slicer.add([share(hour)], begin_us + 7, last=True)  # the clock was set back by an hour
    (ahead,) = slicer.add([share(hour + 9)], begin_us + 9 * HOUR_US, last=True)
    for each, of in ((old, hour), (new, hour + 1), (back, hour), (ahead, hour + 9)):
        assert of * HOUR_US <= each.since_us < (of + 1) * HOUR_US
        assert each.since_us <= each.until_us <= (of + 1) * HOUR_US


@pytest.mark.parametrize("back_us", [10 * 60_000_000, 3 * HOUR_US])
def test_slices_are_of_a_minute_again_when_the_clock_was_set_back(back_us: int) -> None:
    """Else an hour's rest would be one slice at its end, and told of no part of it, or lost with the server."""
    begin_us, second_us = 498_000 * HOUR_US + HOUR_US // 2, 1_000_000
    slicer, told = Slicer(begin_us), list[DeviceSlice]()
    for clock_us in (begin_us, begin_us - back_us):
        for second in range(1, 200):
            now_us = clock_us + second * second_us
            share = DeviceShare(now_us // HOUR_US, "gpu:0", EnergyMethod.MEASURED, 1_000_000, counter_uj=5)
            told += slicer.add([share], now_us)
    after = [each for each in told if each.since_us < begin_us]
    assert [each.amounts[0] for each in after] == [305, 300, 300]
    assert all(0 < each.until_us - each.since_us <= SLICE_US + second_us for each in told)


@pytest.mark.parametrize("name", NAMES)
def test_every_request_gets_about_what_it_took(name: str) -> None:
    replay = Replay(name).run()
    true = replay.truth["requests"]
    assert replay.corrections.keys() == true.keys()
    errors = sorted(abs(replay.corrections[key].energy_uj / true[key] - 1) for key in true)
    assert errors[len(errors) // 2] < 0.10
    assert errors[-1] < 0.30
    assert replay.total("attempts_uj") == pytest.approx(sum(true.values()), rel=0.03)


@pytest.mark.parametrize("name", [*NAMES, TWO, RECORDED])
def test_idle_energy_is_a_line_of_its_own(name: str) -> None:
    replay = Replay(name).run()
    assert replay.total("idle_uj") == pytest.approx(replay.truth["idle_uj"], rel=0.05)
    assert replay.total("idle_co2_ug") == pytest.approx(replay.total("idle_uj") * 400_000 / 3.6e9, rel=1e-3)


def test_requests_of_a_real_card_get_about_what_the_steps_of_their_engine_took() -> None:
    """The first 8 came one after another, the next 16 are the same twice, 8 at once; then 32 at once, and bursts."""
    replay = Replay(RECORDED).run()
    true, told = replay.truth["requests"], replay.corrections
    assert told.keys() == true.keys()
    assert replay.total("attempts_uj") == pytest.approx(sum(true.values()), rel=0.05)
    errors = sorted(abs(told[key].energy_uj / true[key] - 1) for key in true)
    assert errors[len(errors) // 2] < 0.15
    alone, once, again = ([str(n) for n in range(begin, begin + 8)] for begin in (0, 8, 16))
    assert max(abs(told[key].energy_uj / true[key] - 1) for key in alone) < 0.25
    for keys in (alone, once, again):
        charged = sum(told[key].energy_uj for key in keys)
        assert charged == pytest.approx(sum(true[key] for key in keys), rel=0.06)
    assert 3 * sum(told[key].energy_uj for key in once) < sum(told[key].energy_uj for key in alone)
    assert min(told[key].energy_uj / true[key] for key in true) > 0.3, "short ones end before the counter shows them"


def above_idle_uj(name: str, keys: Sequence[str], idle_w: float) -> float:
    """What the card's counter moved by from the first of these requests until .2 s after the last, less idle power."""
    events = [json.loads(line) for line in (TRACES / f"{name}.jsonl").read_text().splitlines()[1:]]
    times = [event["t"] for event in events if event.get("id") in keys]
    shown = [(each["t"], each["raw"][0]) for each in events if each["event"] == "sample"]
    before = max(each for each in shown if each[0] <= min(times))
    after = min(each for each in shown if each[0] >= max(times) + 200_000_000)
    return after[1] - before[1] - idle_w * (after[0] - before[0]) / 1000


def test_what_a_real_card_took_above_idle_is_charged_wherever_nobody_else_was_there() -> None:
    """The steps of an engine miss what the counter shows before the first and after the last, 5 % of short requests."""
    told = Replay(RECORDED).run().corrections
    for first, end in ((0, 8), (8, 16), (16, 24), (24, 56), (56, 80), (80, 84)):
        keys = [str(n) for n in range(first, end)]
        charged = sum(told[key].energy_uj for key in keys)
        assert charged == pytest.approx(above_idle_uj(RECORDED, keys, 123.5), rel=0.02)


def test_requests_that_overlap_by_chance_on_a_real_card_get_what_their_steps_took() -> None:
    replay = Replay(SHARED).run()
    true, told = replay.truth["requests"], replay.corrections
    trickle = [str(n) for n in range(20, 34)]
    errors = sorted(abs(told[key].energy_uj / true[key] - 1) for key in trickle)
    assert errors[len(errors) // 2] < 0.10
    assert errors[-1] < 0.25
    charged = sum(told[key].energy_uj for key in trickle)
    assert charged == pytest.approx(sum(true[key] for key in trickle), rel=0.03)


def test_two_engines_on_a_real_card_take_together_what_it_took_and_each_about_its_part() -> None:
    """Of 8 and 1.2 billion parameters: their parts are by the table of energy, which knows no more than the size."""
    replay = Replay(SHARED).run()
    true, told = replay.truth["requests"], replay.corrections
    both = [str(n) for n in range(20)]
    assert sum(told[key].energy_uj for key in both) == pytest.approx(sum(true[key] for key in both), rel=0.03)
    for expert in ("big", "small"):
        keys = [key for key in both if replay.experts[key] == expert]
        assert sum(told[key].energy_uj for key in keys) == pytest.approx(sum(true[key] for key in keys), rel=0.35)


def test_another_program_on_a_card_is_idle_while_nobody_asks_and_charged_to_whoever_does() -> None:
    """A card's counter cannot tell who took it: known, documented, and no joule of it is lost."""
    replay = Replay(SHARED).run()
    true, told, stranger = replay.truth["requests"], replay.corrections, replay.truth["stranger_uj"]
    assert replay.total("idle_uj") == pytest.approx(replay.truth["idle_uj"] + stranger["alone"], rel=0.02)
    beside = [str(n) for n in range(34, 40)]
    took = sum(true[key] for key in beside) + stranger["beside"]
    assert sum(told[key].energy_uj for key in beside) == pytest.approx(took, rel=0.03)


def test_another_program_that_works_while_nobody_asks_is_not_learnt_as_what_a_card_takes_for_nothing() -> None:
    """Ten seconds at 510 W: were they idle power, requests beside it would be measured as nothing."""
    replay = Replay(STRANGER).run()
    true, told, stranger = replay.truth["requests"], replay.corrections, replay.truth["stranger_uj"]
    beside, again = ("0", "1", "2"), ("3", "4")
    took = sum(true[key] for key in beside) + stranger["beside"]
    assert sum(told[key].energy_uj for key in beside) == pytest.approx(took, rel=0.06)
    assert all(told[key].energy_uj == pytest.approx(true[key], rel=0.10) for key in again)
    assert replay.total("idle_uj") == pytest.approx(replay.truth["idle_uj"] + stranger["alone"], rel=0.02)


def test_two_experts_on_one_card_take_together_what_it_took_and_each_about_its_part() -> None:
    replay = Replay(TWO).run()
    true = replay.truth["requests"]
    assert replay.corrections.keys() == true.keys()
    assert replay.total("attempts_uj") == pytest.approx(sum(true.values()), rel=0.03)
    errors = sorted(abs(replay.corrections[key].energy_uj / true[key] - 1) for key in true)
    assert errors[len(errors) // 2] < 0.20
    assert errors[-1] < 0.60


def test_what_other_programs_took_is_theirs() -> None:
    replay = Replay("processor_wrapping").run()
    assert replay.total("other_uj") == pytest.approx(replay.truth["other_uj"], rel=0.10)


def test_a_known_idle_power_is_taken_as_it_is() -> None:
    replay = Replay("card_overlapping").run(idle_w=70)
    assert replay.total("idle_uj") == pytest.approx(replay.truth["idle_uj"], rel=0.001)


def steady(remembered_w: float | None = None) -> tuple[list[Measured], list[int]]:
    """What is told of a card of 60 W idle that four ask at any moment, each for 40 W, and who was measured."""
    counter, told, now, measured = Counter("gpu:0", [None], raw=[0]), list[Measured](), 0, list[int]()
    clocks = Clocks(lambda _: None, lambda: None, lambda: None)
    idle = {"gpu:0": idle_power("gpu:0", None, remembered_w)}
    accounting = Accounting([counter], clocks, told.append, lambda: 0, idle, now_ns=lambda: now)
    tariff = Tariff(NO_PRICE, UnitEnergy(0, 10), 0, device="gpu:0")
    under_way: dict[int, tuple[Streamed, Stake | None]] = {}
    for tenth in range(400):
        now = tenth * 100_000_000
        if tenth % 5 == 0:
            for n, (heard, stake) in [(n, each) for n, each in under_way.items() if n <= tenth - 20]:
                heard.record.status = Status.OK
                if stake is not None:
                    accounting.leave(stake, Usage(10, 20))
                    stake.closed = True
                    measured.append(n)
                del under_way[n]
            heard = Streamed(record=Attempt("big", Role.ROUTED, Status.STARTED))
            under_way[tenth] = heard, accounting.enter(str(tenth), 0, "big", tariff, 0, 10, heard)
        counter.raw = [counter.raw[0] + (60 + 160) * 100_000]
        accounting.take([accounting.note("gpu:0", now, counter.raw)])
    accounting.tell(last=True)
    return told, measured


def test_a_card_that_was_never_left_alone_measures_nobody() -> None:
    """Its least second is of four requests: taken for idle, it would leave nothing of what they took."""
    told, measured = steady()
    assert measured == []
    assert not any(fix for each in told for fix in each.corrections)
    shares = [share for each in told for share in each.devices]
    assert sum(share.attempts_uj for share in shares) == 0
    assert sum(share.idle_uj + share.other_uj for share in shares) == sum(share.counter_uj for share in shares)


def test_a_card_whose_idle_power_was_kept_measures_from_the_first_reading_on() -> None:
    told, measured = steady(remembered_w=60)
    charged = [fix.energy_uj for each in told for fix in each.corrections]
    assert len(charged) == len(measured) > 60
    assert sum(charged) / len(charged) == pytest.approx(2 * 40e6, rel=0.1), "two seconds of 40 W"


def test_what_requests_take_that_are_not_measured_is_not_idle() -> None:
    """Else it would be in the report twice: as what they took by the table, and as the card's idle energy."""
    counter, told, now = Counter("gpu:0", [None], raw=[0]), list[Measured](), 0
    clocks = Clocks(lambda _: None, lambda: None, lambda: None)
    accounting = Accounting([counter], clocks, told.append, lambda: 0, now_ns=lambda: now)
    tariff = Tariff(NO_PRICE, UnitEnergy(0, 10), 0, device="gpu:0")
    heard = Streamed(record=Attempt("big", Role.ROUTED, Status.STARTED))
    for tenth in range(60):
        now, watts = tenth * 100_000_000, 60 if tenth < 12 else 220
        if tenth == 12:
            assert accounting.enter("A", 0, "big", tariff, 0, 10, heard) is None
        counter.raw = [counter.raw[0] + watts * 100_000]
        accounting.take([accounting.note("gpu:0", now, counter.raw)])
    accounting.tell(last=True)
    shares = [share for each in told for share in each.devices]
    assert sum(share.other_uj for share in shares) == pytest.approx(160e6 * 4.8, rel=0.05)
    assert sum(share.idle_uj for share in shares) == pytest.approx(60e6 * 5.9, rel=0.25)


def test_the_building_is_charged_and_the_counter_stays_what_it_is() -> None:
    plain, building = Replay("card_overlapping").run(), Replay("card_overlapping", pue=1.25).run()
    assert building.total("attempts_uj") == plain.total("attempts_uj")
    assert building.total("charged_uj") == pytest.approx(1.25 * plain.total("charged_uj"), rel=1e-6)
    assert {share.pue_ppm for share in building.shares} == {1_250_000}


def test_failed_looks_are_counted() -> None:
    assert Replay("card_missed").run().total("missed") > 20
    assert Replay("card_reset").run().total("missed") == 1
    assert Replay("processor_restarting").run().total("missed") == 1
    assert Replay("processor_wrapping").run().total("missed") == 0
    assert Replay("card_overlapping").run().total("missed") == 0


async def test_the_sampler_reads_in_a_thread_and_gives_the_device_back() -> None:
    counter = Counter("gpu:0", [None], raw=[0])
    told: list[Measured] = []
    clocks = Clocks(lambda _: None, lambda: None, lambda: None)
    accounting = Accounting([counter], clocks, told.append, lambda: 0, {"gpu:0": idle_power("gpu:0", 0.0)})
    tariff = Tariff(NO_PRICE, UnitEnergy(0, 10), 0, device="gpu:0")
    async with Sampler([counter], accounting, period_s=0.005):
        stake = accounting.enter("A", 0, "big", tariff, 0, 10, Streamed())
        assert stake is not None
        while not accounting._devices["gpu:0"].last_ns:
            await asyncio.sleep(0.001)
        counter.raw = [700]
        accounting.leave(stake, Usage(10, 20))
        stake.closed = True
    assert counter.closed
    assert [fix.energy_uj for each in told for fix in each.corrections] == [700]
    assert sum(share.counter_uj for each in told for share in each.devices) == 700


async def test_a_counter_that_falls_silent_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter("gpu:0", [None])
    clocks = Clocks(lambda _: None, lambda: None, lambda: None)
    accounting = Accounting([counter], clocks, lambda _: None, lambda: 0)
    async with Sampler([counter], accounting, period_s=0.001):
        while accounting._devices["gpu:0"].missed < 5:
            await asyncio.sleep(0.001)
    assert caplog.text.count("cannot be read any more") == 1


def test_what_no_counter_measures_has_no_stake() -> None:
    accounting = Accounting([], Clocks(lambda _: None, lambda: None, lambda: None), lambda _: None, lambda: 0)
    assert accounting.enter("A", 0, "big", Tariff(NO_PRICE, UnitEnergy(0, 0), 0), 0, 10, Streamed()) is None
