"""Joules of this machine's counters, divided among requests as they go by, and told to the ledger.

Readings come from a thread, ten times a second, with all that belongs to their moment; they are divided on the event
loop, so nothing is locked, and one that comes late is divided as if it had come at once. A request learns what it took
a moment after it ended: its answer says what was modelled, its row what was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

from experts.wire import Usage
from router.meter.carbon import co2_ug
from router.meter.counters.cpu import Clocks, CpuUse
from router.meter.counters.device import PROCESSOR, Device, Reading
from router.meter.counters.division import IdlePower, Work, divide
from router.meter.counters.own import OwnWork
from router.meter.counters.reader import Reader, now_ns
from router.meter.counters.stake import Heard, Settled, Stake, nobody
from router.meter.devices import DeviceShare, Measured, Slicer
from router.meter.hours_schema import HOUR_US
from router.meter.ppm import PPM
from router.meter.record import Correction, EnergyMethod, Outcome
from router.meter.steady import utc_us
from router.meter.tariff import Tariff

TELL_NS: Final = 1_000_000_000
"""How often the ledger is told at most."""

USUAL_TOKENS_PER_S: Final = 20.0
"""Of a sequence, as long as none of its expert was heard."""

INERTIA: Final = 0.7
"""Of an expert's pace from window to window."""

LOST_NS: Final = 10_000_000_000
"""A counter not read for so long says nothing of those it should have measured: it vanished, or the machine slept. One
with a range may have wrapped meanwhile, more than once, or begun anew."""


class Accounting:
    """What devices took, and who is charged for it."""

    def __init__(
        self, readers: Sequence[Reader], clocks: Clocks, tell: Callable[[Measured], None],
        ci_mg_per_kwh: Callable[[], int], idle: Mapping[str, IdlePower] | None = None, pue: float = 1.0,
        now_us: Callable[[], int] = utc_us, now_ns: Callable[[], int] = now_ns,
        settled: Settled = nobody, own: OwnWork | None = None,
    ) -> None:  # fmt: skip
        """`tell` takes what is to be written; `idle` is what devices take for doing nothing, where that is known.

        `own` divides what the router's process took; without it that is charged to nobody.
        """
        self._devices = {reader.name: Device.of(reader, (idle or {}).get(reader.name)) for reader in readers}
        self._own = own
        self._cpu = CpuUse(clocks)
        self._tell = tell
        self._settled = settled
        self._ci = ci_mg_per_kwh
        self._pue_ppm = round(pue * PPM)
        self._now_us = now_us
        self._now_ns = now_ns
        self._stakes: list[Stake] = []
        self._pace: dict[str, float] = {}
        self._shares: dict[tuple[int, str], DeviceShare] = {}
        self._corrections: list[Correction] = []
        self._slicer = Slicer(now_us())
        self._began_ns = self._told_ns = now_ns()

    @property
    def devices(self) -> list[str]:
        """What is measured."""
        return list(self._devices)

    def enter(
        self, request_id: str, n: int, expert: str, tariff: Tariff, ci_mg_per_kwh: int, prompt_tokens: int,
        attempt: Heard,
    ) -> Stake | None:  # fmt: skip
        """An attempt begins; None where nothing measures it, or where what is idle cannot be told from it yet."""
        device = self._devices.get(tariff.device)
        if device is None or not device.measures(attempt):
            return None
        if tariff.device == PROCESSOR:
            if not tariff.has_process:
                return None  # what it takes of the processor nobody can tell
            self._cpu.meet(expert)
        now = self._now_ns()
        work = Work(prompt_tokens * tariff.energy.input_pj, max(tariff.energy.output_pj, 1))
        work.begin(now)
        stake = Stake(
            request_id, n, expert, tariff.device, tariff.energy, tariff.pue_ppm, ci_mg_per_kwh, attempt, work, now
        )
        self._stakes.append(stake)
        return stake

    def leave(self, stake: Stake, usage: Usage) -> None:
        """An attempt has ended, having used so much."""
        stake.ended_ns, stake.used = self._now_ns(), usage

    def closed(self, outcome: Outcome, mark: int, tariff: Tariff, ci_mg_per_kwh: int) -> None:
        """A request has ended that came at this point of the router's clock; a counter may tell of its work later."""
        device = self._devices.get(PROCESSOR)
        if self._own is not None and device is not None and not device.lost:
            outcome.router_awaits_counter = self._own.ended(outcome, mark, tariff.pue_ppm, ci_mg_per_kwh)

    def note(self, device: str, at_ns: int, raw_uj: Sequence[int] | None) -> Reading:
        """What belongs to a counter's reading that was just made; in the counter's thread."""
        here = device == PROCESSOR
        heard = {s: s.attempt.tokens_heard() for s in self._stakes if s.device == device and s.used is None}
        return Reading(
            device, at_ns, raw_uj, self._cpu.look() if here else {}, self._own.now() if here and self._own else None,
            heard, not heard and bool(self._devices[device].reader.works()),
        )  # fmt: skip

    def take(self, readings: Sequence[Reading], *, last: bool = False) -> None:
        """Divide what the counters moved by, and tell the ledger when it is time; after the `last` nobody waits."""
        for reading in readings:
            device = self._devices[reading.device]
            ns = reading.at_ns - (device.last_ns or self._began_ns)
            if ns > LOST_NS and not device.lost:
                self._lose(device)
            if reading.raw_uj is None:
                device.missed += 1
                continue
            counted = self._read(device, reading, reading.raw_uj, ns)
            device.last_ns, device.lost = reading.at_ns, False
            if counted:
                self._release(device, reading, last=last)
        if self._now_ns() - self._told_ns >= TELL_NS:
            self.tell()

    def _read(self, device: Device, reading: Reading, raw_uj: Sequence[int], ns: int) -> bool:
        """A counter was read, `ns` after the last time; whether it could be compared with what it was then."""
        if device.lost and any(device.increments.ranges_uj):
            device.increments.forget()
            device.missed += 1
        resets = device.increments.resets
        moved = device.increments.since_last(raw_uj, ns)
        device.missed += device.increments.resets - resets
        device.restarted = device.increments.resets > resets
        cpu = self._cpu.since_last(reading.cpu) if device.reader.name == PROCESSOR else None
        if moved is not None:
            self._divide(device, reading, moved, ns, cpu)
        elif cpu is not None:
            self._own_window(device, reading, 0, 0)
        return moved is not None

    def end(self) -> None:
        """Nothing is read any more."""
        for device in self._devices.values():
            self._lose(device)
        self.tell(last=True)

    def tell(self, *, last: bool = False) -> None:
        """Hand everything to the ledger; the `last` time what would else wait for its minute's end too."""
        self._told_ns = self._now_ns()
        for device in self._devices.values():
            if device.missed:
                self._share(device).missed += device.missed
                device.missed = 0
        shares = list(self._shares.values())
        slices = self._slicer.add(shares, self._now_us(), last=last)
        if self._corrections or shares or slices:
            self._tell(Measured(self._corrections, shares, slices))
            self._corrections, self._shares = [], {}

    def _divide(self, device: Device, reading: Reading, moved: int, ns: int, cpu: Mapping[str, int] | None) -> None:
        at_ns, heard = reading.at_ns, reading.heard
        own = [stake for stake in self._stakes if stake.device == device.reader.name and stake.began_by(at_ns, heard)]
        self._pace_of_ended(own, heard)
        there = [stake for stake in own if stake.was_there(at_ns - ns)]
        for stake in there:
            self._step(stake, reading, ns)
        if not (device.lost or device.restarted):  # asleep it takes less than idle, and what was lost is not seen
            device.idle.see(moved, ns, quiet=not (there or reading.works or device.is_asked()))
        idle = device.idle.of(moved, ns)
        since_ns = at_ns - ns - device.behind_ns
        # One that ended before then only waits for its request to be closed.
        stakes = [stake for stake in own if stake.was_there(since_ns)]
        steps = {id(stake): stake.work.between(since_ns, at_ns) for stake in stakes}
        share = self._share(device)
        before_uj = share.router_uj
        share.counter_uj += moved
        share.samples += 1
        if device.lost:  # the rest is of requests that nobody noted
            share.other_uj += moved - idle
            taken = 0
        elif cpu is None:
            if not stakes and not device.is_asked():
                idle = moved
            taken = self._charge(stakes, moved - idle, steps)
            share.other_uj += moved - idle - taken
        else:
            taken = self._divide_by_time(share, stakes, moved - idle, cpu, steps)
            self._own_window(device, reading, share.router_uj - before_uj, cpu["router"])
        share.attempts_uj += taken
        share.idle_uj += idle
        wall_uj = idle * self._pue_ppm // PPM
        share.idle_co2_ug += co2_ug(wall_uj, self._ci())

    def _pace_of_ended(self, stakes: Sequence[Stake], heard: Container[Stake]) -> None:
        """Learn from those that have ended before a reading and were not heard, once each."""
        ended = [stake for stake in stakes if stake.used is not None and stake not in heard and not stake.paced]
        for stake in sorted(ended, key=lambda stake: stake.ended_ns):
            stake.paced = True
            if stake.used is not None and not stake.work.heard and stake.ended_ns > stake.began_ns:
                whole = stake.used.input * stake.energy.input_pj + stake.used.output * stake.energy.output_pj
                self._learn(stake.expert, whole / ((stake.ended_ns - stake.began_ns) / 1e9))

    def _step(self, stake: Stake, reading: Reading, ns: int) -> None:
        """A stake works on in a window; of those that are heard the others' pace is learnt."""
        streaming = stake in reading.heard and stake.work.heard
        usual = USUAL_TOKENS_PER_S * stake.energy.output_pj
        step = stake.step(reading.at_ns, reading.heard.get(stake), self._pace.get(stake.expert, usual))
        if streaming and ns > 0:
            self._learn(stake.expert, step / (ns / 1e9))

    def _learn(self, expert: str, pj_per_s: float) -> None:
        before = self._pace.get(expert, pj_per_s)
        self._pace[expert] = INERTIA * before + (1 - INERTIA) * pj_per_s

    def _divide_by_time(
        self, share: DeviceShare, stakes: list[Stake], busy: int, cpu: Mapping[str, int], steps: Mapping[int, float]
    ) -> int:
        """A processor's part above idle: by CPU time to experts, the router and others; then within each expert."""
        ours = {name: used for name, used in cpu.items() if name != "machine"}
        rest = max(0, cpu["machine"] - sum(ours.values()))
        if not rest and not any(ours.values()):
            share.other_uj += busy
            return 0
        parts = dict(zip([*ours, "rest"], divide(busy, [*ours.values(), rest]), strict=True))
        taken = 0
        for name, part in parts.items():
            inside = [stake for stake in stakes if f"expert {stake.expert}" == name]
            if name == "router":
                share.router_uj += part
            elif inside:
                taken += self._charge(inside, part, steps)
            else:
                share.other_uj += part  # another program's, or an expert's that works for nobody: probes
        return taken

    def _own_window(self, device: Device, reading: Reading, uj: int, used_ns: int) -> None:
        """The router's part of a window; as long as idle power is not known nobody is measured by it."""
        if self._own is not None and device.idle.watts is not None and reading.work_ns is not None:
            self._own.window(uj, used_ns, reading.work_ns)

    @staticmethod
    def _charge(stakes: Sequence[Stake], amount: int, steps: Mapping[int, float]) -> int:
        for stake, part in zip(stakes, divide(amount, [steps[id(stake)] for stake in stakes]), strict=True):
            stake.uj += part
        return amount if stakes else 0

    def _release(self, device: Device, reading: Reading, *, last: bool) -> None:
        """Write off stakes whose requests are closed, and of which the counter has shown all."""
        name, shown_ns = device.reader.name, device.last_ns - device.behind_ns
        own = [stake for stake in self._stakes if stake.device == name and stake.closed]
        done = [stake for stake in own if last or (stake.ended_ns <= shown_ns and stake not in reading.heard)]
        if gone := set(done):
            self._stakes = [stake for stake in self._stakes if stake not in gone]
        for stake in done:
            fix = stake.correction(device.reader.method)
            self._corrections.append(fix)
            self._settled(stake.expert, fix.method, fix.energy_uj, fix.co2_ug)
            self._share(device).charged_uj += fix.energy_uj
        for outcome, fix in self._own.settled(device.reader.method) if self._own and name == PROCESSOR else ():
            self._corrections.append(fix)
            self._tell_own(outcome, fix.method, fix.energy_uj, fix.co2_ug)
            self._share(device).charged_uj += fix.energy_uj

    def _tell_own(self, outcome: Outcome, method: EnergyMethod, energy_uj: int, co2_ug: int) -> None:
        price = outcome.electricity
        self._settled(None, method, energy_uj, co2_ug, price.cost_yusd(energy_uj) if price.version else None)

    def _lose(self, device: Device) -> None:
        """Rows of those it should have measured stay as they are, and what it gave to them so far is nobody's."""
        device.lost = True
        stakes = [stake for stake in self._stakes if stake.device == device.reader.name]
        device.pass_over(stake.attempt for stake in stakes)
        self._stakes = [stake for stake in self._stakes if stake.device != device.reader.name]
        for stake in stakes:
            stake.lost, record = True, stake.attempt.record
            if stake.closed:
                self._settled(stake.expert, record.energy_method, record.energy_uj, record.co2_ug)
        for outcome in self._own.lose() if self._own and device.reader.name == PROCESSOR else ():
            self._tell_own(outcome, EnergyMethod.MODELLED, outcome.router_energy_uj, outcome.router_co2_ug)
        if given := sum(stake.uj for stake in stakes):
            share = self._share(device)
            share.attempts_uj -= given
            share.other_uj += given

    def _share(self, device: Device) -> DeviceShare:
        hour, name = self._now_us() // HOUR_US, device.reader.name
        key = (hour, name)
        if key not in self._shares:
            self._shares[key] = DeviceShare(hour, name, device.reader.method, self._pue_ppm)
        return self._shares[key]
