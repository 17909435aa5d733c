"""The routed requests served under one fallback, as the savings estimator takes them. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from router.meter.coefficients import Size
from router.meter.dilution import Dilution, Machines
from router.meter.kept import PPM, KeptTariffs, avoidable_ppm, electricity
from router.meter.money import YUSD_PER_NUSD
from router.meter.record import BESIDE, DRAWN, Arm, EnergyMethod, Role, Status
from router.meter.savings import Alone, Doubles, Held, Standing, Traffic, alone, standing

COST: Final = 0
ENERGY: Final = 1
"""Their places among the units."""

UNPRICED: Final = -1
"""Stands in the place of an `Arm` for requests that are left out, because some of their like have no price."""

UNKNOWN: Final = "(unknown)"
"""The fallback of rows whose tariffs the ledger has not kept."""

WATTS: Final = "watts per core"
"""The one coefficient behind all modelled joules: the router's and those of every expert on this machine's cores."""

COUNTERS: Final = "counters"
"""Stands for no coefficient: the joules were measured."""


@dataclass(frozen=True, slots=True)
class Plain:
    """Requests, without any estimate."""

    requests: int
    spent: Doubles
    """(u,)"""
    alone: Doubles
    """(u,), what the fallback took, or the same tokens at its rate."""
    paid_nusd: float
    """To the fallback, of `spent`."""
    spent_yusd: int
    """The money in `spent`, exactly."""
    avoidable_yusd: int
    """The part of it that is not spent when an expert is not asked."""
    alone_avoidable_nusd: float
    """As `avoidable_yusd`, of `alone`."""
    paid_avoidable_nusd: float
    """As `avoidable_yusd`, of `paid_nusd`."""
    others: frozenset[str]
    """Experts but the fallback that were asked."""
    without_price: frozenset[str]
    """Experts of some of whose work no price is known, so that the money in `spent` is not all."""

    @property
    def avoidable_nusd(self) -> float:
        """As `avoidable_yusd`."""
        return self.avoidable_yusd / YUSD_PER_NUSD


@dataclass(frozen=True, slots=True)
class Segment:
    """Units are those of the ledger; u of them: money, energy, carbon."""

    fallback: str
    traffic: Traffic
    """Of requests that could be held back, and of those that the fallback was chosen for."""
    plain: Plain
    """The same requests."""
    undrawn: Mapping[int, Plain]
    """Those that could not be held back, by their `Arm`; none of them is in anything else here."""
    same_tokens: Doubles
    """(u,), the small answers' tokens at the fallback's rate."""
    small_spent: Doubles
    """(u,), what those answers themselves took."""
    spent_uj: Mapping[str, float]
    """By the coefficient they were computed with."""
    known_uj: Mapping[str, float]
    """As `spent_uj`, of `traffic.known`."""
    unpriced: bool
    """The fallback had no price, at some time at least."""
    capacity: str
    """What is avoided when the fallback is not asked, as it was declared last: api, autoscaled or fixed."""
    machines: Machines | None
    """None where what the fallback does not answer is not spent either."""

    @property
    def standing(self) -> Standing:
        """What its figure may be called."""
        return standing(self.traffic.held)

    @property
    def dilution(self) -> Dilution | None:
        """What its fallback, on fixed machines, would have taken for `traffic`."""
        if self.machines is None:
            return None
        unsure = self.standing is Standing.UNVERIFIED
        return self.machines.diluted(float((self.plain.alone if unsure else alone(self.traffic).total)[ENERGY]))

    def alone(self) -> Alone:
        """What the fallback would have taken for `traffic`, in the batches it would have had.

        Raises ValueError when too few were held back.
        """
        found = alone(self.traffic)
        if self.machines is None or (dilution := self.dilution) is None:
            return found
        # What energy is multiplied by, its carbon is too.
        of_energy = self.machines.variance(found.total[ENERGY:], found.variance[ENERGY:])
        variance = np.concatenate([found.variance[:ENERGY], of_energy])
        return Alone(found.total * [1, dilution.factor, dilution.factor], variance, found.freedom)

    @property
    def avoidable(self) -> Doubles:
        """The part of `alone` (u,) that is not spent when the fallback is not asked; of energy and carbon all.

        Where tariffs changed, their average. On fixed machines that part is electricity, which batches make less.
        """
        whole, avoidable_nusd = self.same_rate(self.plain)
        return np.array([avoidable_nusd / whole[COST] if whole[COST] else 0.0, 1.0, 1.0])

    def same_rate(self, plain: Plain) -> tuple[Doubles, float]:
        """What the fallback would have taken for requests of this time (u,), by the same tokens and in such batches.

        And the part of its money, in nano-dollars, that is not spent when it is not asked.
        """
        dilution = self.dilution
        factor = 1.0 if dilution is None else dilution.factor
        return plain.alone * [1, factor, factor], plain.alone_avoidable_nusd * factor

    @property
    def eligible(self) -> int:
        """Requests whose answer a small expert gave, or would have given, and that might be held back another time."""
        others = sum(self.undrawn[arm].requests for arm in (Arm.OFF, Arm.BUSY) if arm in self.undrawn)
        return int(self.traffic.rows.sum()) + len(self.traffic.held.domain) + others


class SegmentSums:
    """A segment under way: sums of the rows read so far."""

    def __init__(self, fallback: int, names: Mapping[int, str]) -> None:
        """`fallback` is its number among `names`, 0 where it is not known."""
        self._number, self._names = fallback, names
        self.version = 0
        """The last tariffs that charged."""
        self.size: Size | None = None
        """What they say of a fallback on fixed machines."""
        self.capacity = ""
        self.unpriced = False
        """Whether the fallback had no price when some of them came."""
        self._own_uj, self._undrawn_uj = 0.0, 0.0
        self._known, self._same_tokens = np.zeros(3), np.zeros(3)
        self._plain: defaultdict[int, Doubles] = defaultdict(lambda: np.zeros(8))
        self._avoidable_ppm_nusd: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._router_yusd = Counter[int]()
        self._others: defaultdict[int, set[str]] = defaultdict(set)
        self._without_price: defaultdict[int, set[str]] = defaultdict(set)
        self._small: defaultdict[int | None, Doubles] = defaultdict(lambda: np.zeros(6))
        self._spent_uj: Counter[str] = Counter()
        self._known_uj: Counter[str] = Counter()

    def add_requests(
        self, tariffs: KeptTariffs | None, arm: int, answered_by: int | None, method: int, count: int, router_uj: int,
        router_ug: int, *alone: int,
    ) -> None:  # fmt: skip
        """Requests alike: the router's work for them, and what the fallback would have taken for the same tokens."""
        self._avoidable_ppm_nusd[arm]["alone"] += alone[COST] * avoidable_ppm(tariffs)
        self._plain[arm] += np.array([count, 0, router_uj, router_ug, *alone, 0])
        self._router_yusd[arm] += electricity(tariffs).cost_yusd(router_uj)
        if arm in DRAWN:
            self._spent_uj[WATTS if method == EnergyMethod.MODELLED else COUNTERS] += router_uj
        if arm == Arm.NORMAL and answered_by not in (None, self._number):
            self._same_tokens = self._same_tokens + alone

    def add_attempts(
        self, tariffs: KeptTariffs | None, routed: int, arm: int, answered_by: int | None, label: int | None,
        expert: int, role: int, status: int, method: int, unpriced: int, count: int, input_tokens: int,
        output_tokens: int, *amounts: int,
    ) -> None:  # fmt: skip
        """Attempts alike, with what they took. Of requests that were not routed, only how busy the fallback was."""
        if expert == self._number:
            self._own_uj += amounts[ENERGY]
        if not routed:
            return
        self._plain[arm][1:4] += amounts
        avoidable_ppm_nusd = amounts[COST] * avoidable_ppm(tariffs, self._names[expert])
        self._avoidable_ppm_nusd[arm]["spent"] += avoidable_ppm_nusd
        if expert == self._number:
            self._plain[arm][7] += amounts[COST]
            self._avoidable_ppm_nusd[arm]["paid"] += avoidable_ppm_nusd
        else:
            self._others[arm].add(self._names[expert])
        if unpriced:
            self._without_price[arm].add(self._names[expert])
        if arm not in DRAWN:
            self._undrawn_uj += amounts[ENERGY] if expert == self._number else 0
            return
        coefficient = self._coefficient(expert, method)
        self._spent_uj[coefficient] += amounts[1]
        if status != Status.OK or expert != answered_by or role in BESIDE:
            return
        if answered_by == self._number:
            self._known = self._known + amounts
            self._known_uj[coefficient] += amounts[1]
        elif arm == Arm.NORMAL and role == Role.ROUTED:  # any other stood in for a fallback that could not answer
            self._small[label] = self._small[label] + (count, input_tokens, output_tokens, *amounts)

    def segment(self, held: HeldRows, end_us: int | None) -> Segment:
        """As it stands, with those held back before a moment."""
        labels, before = held.up_to(end_us, self._number, self._small)
        table = np.array([self._small.get(label, np.zeros(6)) for label in labels] or [np.zeros(6)])
        plain = {arm: sums.copy() for arm, sums in self._plain.items()}
        drawn = sum((plain.pop(arm) for arm in DRAWN if arm in plain), np.zeros(8))
        own = self._plain_of(drawn, *DRAWN)
        return Segment(
            fallback=self._names.get(self._number, UNKNOWN),
            traffic=Traffic(own.spent, self._known, table[:, 0], table[:, 1:3], before),
            plain=own,
            undrawn={arm: self._plain_of(sums, arm) for arm, sums in sorted(plain.items())},
            same_tokens=self._same_tokens,
            small_spent=table[:, 3:].sum(axis=0),
            spent_uj=dict(self._spent_uj),
            known_uj=dict(self._known_uj),
            unpriced=self.unpriced,
            capacity=self.capacity,
            machines=self._machines(sum(sums[4 + ENERGY] for sums in plain.values())),
        )

    def _plain_of(self, sums: Doubles, *arms: int) -> Plain:
        """`sums` are those of the arms."""
        avoidable = sum((self._avoidable_ppm_nusd[arm] for arm in arms), Counter[str]())
        # Whole numbers until here, so that hours and rows give the same to the last bit.
        router_yusd = sum(self._router_yusd[arm] for arm in arms)
        return Plain(
            requests=int(sums[0]),
            spent=sums[1:4] + np.array([router_yusd / YUSD_PER_NUSD, 0, 0]),
            alone=sums[4:7],
            paid_nusd=float(sums[7]),
            spent_yusd=int(sums[1]) * YUSD_PER_NUSD + router_yusd,
            avoidable_yusd=avoidable["spent"] * (YUSD_PER_NUSD // PPM) + router_yusd,
            alone_avoidable_nusd=avoidable["alone"] / PPM,
            paid_avoidable_nusd=avoidable["paid"] / PPM,
            others=frozenset[str]().union(*(self._others[arm] for arm in arms)),
            without_price=frozenset[str]().union(*(self._without_price[arm] for arm in arms)),
        )

    def _machines(self, undrawn_uj: float) -> Machines | None:
        """`undrawn_uj` is what the fallback would have taken for those that were not drawn."""
        if self.size is None:
            return None
        other_uj = self._own_uj - self._known[ENERGY] + undrawn_uj - self._undrawn_uj
        return Machines(self.size, self._own_uj, float(other_uj))

    def _coefficient(self, expert: int, method: int) -> str:
        """A table's joules per token are each expert's own."""
        if method == EnergyMethod.MODELLED:
            return WATTS
        return self._names[expert] if method == EnergyMethod.TABLE else COUNTERS


class HeldRows:
    """What was held back, in the order of time."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        """Rows of moment, fallback, domain, tokens in and out of the small answer, rate, conversation, u amounts."""
        self._ts_us = [row[0] for row in rows]
        self._fallback = np.array([row[1] for row in rows], np.intp)
        # Names are numbered from 1, so 0 stands for no domain.
        self._label = np.array([row[2] or 0 for row in rows], np.intp)
        self._numbers = np.array([[*row[3:6], *row[7:]] for row in rows], float).reshape(-1, 6)
        talks = {talk: at for at, talk in enumerate(dict.fromkeys(row[6] for row in rows))}
        self._talk = np.array([talks[row[6]] for row in rows], np.intp)

    def up_to(self, end_us: int | None, fallback: int, others: Iterable[int | None]) -> tuple[list[int | None], Held]:
        """Those of one fallback that began before a moment, and all domains, the `others` too, as in `Held.domain`."""
        count = len(self._ts_us) if end_us is None else bisect_left(self._ts_us, end_us)
        own = np.flatnonzero(self._fallback[:count] == fallback)
        label, numbers = self._label[own], self._numbers[own]
        known = np.union1d(label, np.array([each or 0 for each in others], np.intp))
        held = Held(
            domain=np.searchsorted(known, label),
            points=numbers[:, :2],
            fallback=numbers[:, 3:],
            rate=numbers[:, 2],
            conversation=self._talk[own],
        )
        return [each or None for each in known.tolist()], held
