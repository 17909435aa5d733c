"""Counters that vanish, machines that sleep, cards that fall off: what is known stays, and nothing is made up."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from experts.wire import Usage
from router.meter.cost import NO_PRICE
from router.meter.counters.accounting import LOST_NS, Accounting
from router.meter.counters.cpu import Clocks
from router.meter.counters.device import idle_power
from router.meter.counters.nvml import NvidiaCard
from router.meter.counters.stake import Stake
from router.meter.devices import DeviceShare, Measured
from router.meter.energy import UnitEnergy
from router.meter.record import Attempt, Correction, EnergyMethod, Role, Status
from router.meter.tariff import Tariff
from tests.router.meter.test_accounting import PARTS, Counter, Streamed
from tests.router.meter.test_counters import RANGE_UJ, Library

STEP_NS = 100_000_000
HOURS_NS = 8 * 3600 * 10**9


@dataclass
class Machine:
    """One device whose counter the test moves; it takes 10 W when it rests."""

    device: str
    range_uj: int | None = None
    now_ns: int = 10**9
    raw: int | None = 0
    cpu: dict[str, int] = field(default_factory=lambda: {"big": 0, "router": 0, "machine": 0})
    told: list[Measured] = field(default_factory=list)
    settled: list[tuple[str, EnergyMethod, int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        clocks = Clocks(self.cpu.get, lambda: self.cpu["router"], lambda: self.cpu["machine"])
        self.counters = Accounting(
            [Counter(self.device, [self.range_uj])], clocks, self.told.append, lambda: 400_000,
            {self.device: idle_power(self.device, 10.0)},
            now_us=lambda: self.now_ns // 1000, now_ns=lambda: self.now_ns,
            settled=lambda *told: self.settled.append(told),
        )  # fmt: skip
        self.read()

    def read(self) -> None:
        raw = None if self.raw is None else [self.raw]
        self.counters.take([self.counters.note(self.device, self.now_ns, raw)])

    def work(self, uj: int, ns: int = STEP_NS) -> None:
        """The device takes so much, all of it for the expert, and its counter is read."""
        self.now_ns += ns
        for name in ("big", "machine"):
            self.cpu[name] += ns
        if self.raw is not None:
            self.raw += uj
        self.read()

    def begin(self, name: str, attempt: Streamed | None = None) -> Stake | None:
        tariff = Tariff(NO_PRICE, UnitEnergy(10, 10), 0, has_process=self.device == "cpu", device=self.device)
        return self.counters.enter(name, 0, "big", tariff, 400_000, 100, attempt or Streamed())

    def end(self, stake: Stake) -> None:
        self.counters.leave(stake, Usage(100, 50))
        stake.closed = True

    def shares(self) -> list[DeviceShare]:
        self.counters.tell()
        return [share for each in self.told for share in each.devices]

    def fixes(self) -> dict[str, Correction]:
        self.counters.tell()
        return {fix.request_id: fix for each in self.told for fix in each.corrections}

    def total(self, part: str) -> int:
        return sum(getattr(share, part) for share in self.shares())


@pytest.mark.parametrize(("device", "range_uj"), [("cpu", RANGE_UJ), ("gpu:0", None)])
def test_a_counter_that_vanishes_leaves_rows_as_they_are_and_holds_nothing(device: str, range_uj: int | None) -> None:
    machine = Machine(device, range_uj)
    before, through = machine.begin("before"), machine.begin("through")
    assert before is not None
    assert through is not None
    machine.work(4_000_000)
    machine.end(before)
    machine.work(2_000_000)
    machine.raw = None
    during = machine.begin("during")
    for _ in range(LOST_NS // STEP_NS + 1):
        machine.work(0)
    assert machine.begin("after") is None, "its answer must not promise a figure that never comes"
    assert during is not None
    machine.end(during)
    machine.end(through)
    assert not machine.counters._stakes, "what nobody measures waits for nothing"
    assert machine.fixes().keys() == {"before"}
    assert machine.total("charged_uj") == machine.total("attempts_uj") == machine.fixes()["before"].energy_uj
    assert machine.total("counter_uj") == 6_000_000 == sum(machine.total(part) for part in PARTS)
    assert machine.total("missed") == LOST_NS // STEP_NS + 1


def test_a_counter_that_was_never_read_is_lost_too() -> None:
    machine = Machine("gpu:0", raw=None)
    stake = machine.begin("A")
    assert stake is not None
    machine.end(stake)
    for _ in range(LOST_NS // STEP_NS + 1):
        machine.work(0)
    assert not machine.counters._stakes
    assert machine.begin("B") is None
    machine.raw = 5
    machine.work(0)
    assert machine.total("counter_uj") == 0, "there is nothing to compare the first reading with"
    assert machine.begin("C") is not None


def test_whoever_waits_is_told_what_was_measured_or_else_what_was_modelled() -> None:
    machine = Machine("gpu:0")
    one, two, three = (machine.begin(name) for name in ("one", "two", "three"))
    assert one is not None
    assert two is not None
    assert three is not None
    machine.work(4_000_000)
    machine.end(one)
    machine.work(1_000_000)
    fixed = machine.fixes()["one"]
    assert machine.settled == [("big", EnergyMethod.MEASURED, fixed.energy_uj, fixed.co2_ug)]
    machine.end(two)
    machine.raw = None
    machine.work(0)
    machine.counters.end()
    assert machine.settled[1:] == [("big", EnergyMethod.TABLE, 77, 7)], "its row is closed, so nobody else tells of it"
    assert three.lost, "its own account tells"


def test_a_card_that_comes_back_is_measured_again_and_the_time_between_is_nobodys() -> None:
    machine = Machine("gpu:0")
    machine.work(1_000_000)
    machine.raw = None
    for _ in range(LOST_NS // STEP_NS + 1):
        machine.work(0)
    machine.raw = 1_000_000
    gap_ns = LOST_NS + 2 * STEP_NS
    machine.work(500_000_000)
    idle_uj = 1_000_000 + 10 * gap_ns // 1000
    assert machine.total("idle_uj") == idle_uj, "10 W all the time; nobody was there in the first window"
    assert machine.total("other_uj") == 501_000_000 - idle_uj, "whoever was there was not noted"
    stake = machine.begin("again")
    assert stake is not None
    machine.work(3_000_000)
    machine.end(stake)
    machine.work(1_000_000)
    assert machine.fixes()["again"].energy_uj == 2_000_000
    assert machine.total("counter_uj") == sum(machine.total(part) for part in PARTS) == 505_000_000


def test_who_ended_before_the_counter_moved_is_charged_with_whoever_came_next() -> None:
    machine = Machine("gpu:0")
    first = machine.begin("first")
    assert first is not None
    machine.now_ns += 40_000_000
    machine.end(first)
    machine.work(1_000_000, 60_000_000)  # idle power; what it took is not shown yet
    assert machine.fixes() == {}
    after = machine.begin("after")
    assert after is not None
    machine.work(3_000_000)
    machine.end(after)
    machine.work(1_000_000)
    fixes = machine.fixes()
    assert fixes["first"].energy_uj > 500_000
    assert fixes["after"].energy_uj > 500_000
    assert fixes["first"].energy_uj + fixes["after"].energy_uj == 2_000_000
    assert machine.total("counter_uj") == sum(machine.total(part) for part in PARTS)


@pytest.mark.parametrize("woken_at_uj", [7_000_000, 250_000_000_000])
def test_a_laptop_that_slept_takes_nothing_made_up(woken_at_uj: int) -> None:
    """Its counter began again at the resume, or went on: a wrap would be 262 kJ, and nobody can tell."""
    machine = Machine("cpu", RANGE_UJ, raw=200_000_000_000)
    asleep = machine.begin("asleep")
    assert asleep is not None
    machine.work(2_000_000)
    machine.now_ns += HOURS_NS
    machine.raw = woken_at_uj
    machine.read()
    machine.end(asleep)
    machine.work(3_000_000)
    assert machine.total("counter_uj") == 5_000_000 == sum(machine.total(part) for part in PARTS)
    assert machine.fixes() == {}, "half of it was not measured, so its row stays modelled"
    awake = machine.begin("awake")
    assert awake is not None
    machine.work(3_000_000)
    machine.end(awake)
    machine.work(1_000_000)
    assert machine.fixes()["awake"].energy_uj == 2_000_000


def test_who_takes_of_the_processor_without_being_our_child_is_not_measured_as_nothing() -> None:
    machine = Machine("cpu", RANGE_UJ)
    tariff = Tariff(NO_PRICE, UnitEnergy(10, 10), 0, device="cpu")
    assert machine.counters.enter("A", 0, "elsewhere", tariff, 400_000, 100, Streamed()) is None
    assert machine.begin("B") is not None


def test_before_idle_power_is_known_nobody_is_measured_as_nothing() -> None:
    machine = Machine("gpu:0")
    idle = machine.counters._devices["gpu:0"].idle
    idle.fixed, idle.watts = False, None
    assert machine.begin("in the first second") is None
    for _ in range(12):
        machine.work(2_000_000)
    assert machine.begin("after a second, that may be of a request") is None
    for _ in range(12):
        machine.work(2_000_000)
    assert machine.begin("after two seconds in which nobody asked") is not None


def under_way() -> Streamed:
    """An attempt that has not ended."""
    return Streamed(record=Attempt("big", Role.ROUTED, Status.STARTED))


def test_what_a_card_takes_for_requests_that_are_not_measured_is_not_what_it_takes_for_nothing() -> None:
    machine, early = Machine("gpu:0"), under_way()
    idle = machine.counters._devices["gpu:0"].idle
    idle.fixed, idle.watts = False, None
    assert machine.begin("in the first second", early) is None
    for _ in range(50):
        machine.work(2_200_000)  # 22 W
    early.record.status = Status.OK
    for _ in range(30):
        machine.work(2_000_000)
    assert idle.watts == pytest.approx(20)
    through, during = under_way(), under_way()
    assert machine.begin("through", through) is not None
    machine.raw, shown = None, machine.raw
    for _ in range(LOST_NS // STEP_NS + 1):
        machine.work(0)
    assert machine.begin("while it was lost", during) is None
    machine.raw = shown
    machine.read()
    for attempt in (during, through):
        for _ in range(50):
            machine.work(2_200_000)
        assert idle.watts == pytest.approx(20)
        attempt.record.status = Status.OK
    for _ in range(100):
        machine.work(2_200_000)
    assert idle.watts == pytest.approx(22), "another model was loaded meanwhile"
    assert machine.counters._devices["gpu:0"].unmeasured == []


def test_sleep_is_not_taken_for_the_least_a_card_takes() -> None:
    machine = Machine("gpu:0")
    idle = machine.counters._devices["gpu:0"].idle
    idle.fixed, idle.watts = False, None
    for _ in range(20):
        machine.work(2_000_000)  # 20 W
    machine.now_ns += HOURS_NS
    machine.work(0)
    for _ in range(20):
        machine.work(2_000_000)
    assert idle.watts == pytest.approx(20)


@pytest.mark.parametrize(("device", "range_uj"), [("cpu", RANGE_UJ), ("gpu:0", None)])
def test_a_counter_that_began_again_teaches_nothing_of_what_idle_is(device: str, range_uj: int | None) -> None:
    machine = Machine(device, range_uj)
    idle = machine.counters._devices[device].idle
    idle.fixed, idle.watts = False, None
    for _ in range(50):
        machine.work(2_000_000)  # 20 W
    machine.raw = 0  # 9 seconds of which it shows the last one
    machine.work(2_000_000, LOST_NS - 10 * STEP_NS)
    for _ in range(50):
        machine.work(2_000_000)
    assert idle.watts == pytest.approx(20)
    assert machine.total("missed") == 1


def test_a_wall_clock_that_is_set_moves_joules_to_another_hour_and_loses_none() -> None:
    machine = Machine("gpu:0")
    wall_us = [machine.now_ns // 1000]
    machine.counters._now_us = lambda: wall_us[0]
    for step_us in (0, 7_200_000_000, -86_400_000_000, 0):
        wall_us[0] += step_us
        machine.work(5_000_000)
    assert len({share.hour for share in machine.shares()}) == 3
    assert machine.total("counter_uj") == 20_000_000 == sum(machine.total(part) for part in PARTS)


class Fallen(Library):
    """The second card is there and has fallen off its bus."""

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if index == 1:
            raise self.NVMLError("GPU is lost")
        return index


def test_one_card_that_has_fallen_off_leaves_the_others_measured(caplog: pytest.LogCaptureFixture) -> None:
    library = Fallen([5_000, 6_000, 7_000])
    with caplog.at_level(logging.WARNING):
        cards = NvidiaCard.find_all(library)
    assert [card.name for card in cards] == ["gpu:0", "gpu:2"]
    assert "gpu:1: GPU is lost. Remedy: look at its driver" in caplog.text
    for card in cards:
        card.close()
    assert library.held == 0
