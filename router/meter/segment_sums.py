"""A segment under way: what hours, days and rows tell of the requests served under one fallback, added up. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from router.meter.alike import AttemptsAlike, RequestsAlike
from router.meter.clustered import Doubles
from router.meter.coefficients import Size
from router.meter.dilution import Machines, written_part
from router.meter.kept import KeptTariffs, avoidable_ppm, electricity
from router.meter.money import YUSD_PER_NUSD
from router.meter.ppm import PPM
from router.meter.record import BESIDE, DRAWN, Arm, EnergyMethod, Role, Status
from router.meter.savings import Held, Traffic
from router.meter.segment import COST, COUNTERS, ENERGY, UNKNOWN, WATTS, Model, Plain, Segment, Spell

_REQUESTS, _SPENT, _ALONE, _PAID = 0, slice(1, 4), slice(4, 7), 7
"""Places in the sums of requests alike: how many, what was spent on them, what the fallback alone would have taken for
them (each money, energy, carbon), and the money it was paid."""


class SegmentSums:
    """A segment under way: sums of the rows read so far."""

    def __init__(self, fallback: int, model: Model, names: Mapping[int, str]) -> None:
        """`fallback` is its number among `names`, 0 where it is not known."""
        self._number, self._model, self._names = fallback, model, names
        self._spells: dict[tuple[str, Size | None], int] = {}
        """By what the tariffs say of its capacity."""
        self._at = 0
        self._versions: dict[int, int] = {}
        """The spell of the tariffs that charged."""
        self.unpriced = False
        """Whether the fallback had no price when some of them came."""
        self._own_uj, self._undrawn_uj, self._known_in_uj = Counter[int](), Counter[int](), Counter[int]()
        self._own_tokens: defaultdict[int, Doubles] = defaultdict(lambda: np.zeros(2))
        """Read, but for those from a cache, and written by the fallback, by spell."""
        self._other_tokens: defaultdict[int, Doubles] = defaultdict(lambda: np.zeros(2))
        """Of the answers that others gave in its place likewise."""
        self._held_tokens: defaultdict[bool, Doubles] = defaultdict(lambda: np.zeros(2))
        """Of those held back, by the fallback or not, in all spells: how many it takes where others take theirs."""
        self._known, self._same_tokens = np.zeros(3), np.zeros(3)
        self._plain: defaultdict[tuple[int, int], Doubles] = defaultdict(lambda: np.zeros(8))
        """By arm and spell."""
        self._avoidable_ppm_nusd: defaultdict[tuple[int, int], Counter[str]] = defaultdict(Counter)
        self._router_yusd = Counter[int]()
        self._others: defaultdict[int, set[str]] = defaultdict(set)
        self._without_price: defaultdict[int, set[str]] = defaultdict(set)
        self._another_time = 0
        """Small answers that came while nobody could be drawn."""
        self._small: defaultdict[int | None, Doubles] = defaultdict(lambda: np.zeros(6))
        self._spent_uj: Counter[str] = Counter()
        self._known_uj: Counter[str] = Counter()

    @property
    def order(self) -> tuple[int, int]:
        """Of fallbacks as they were named first, and of their sizes likewise."""
        return self._number, min(self._versions, default=0)

    def charged(self, version: int, tariffs: KeptTariffs | None) -> None:
        """Requests follow that were charged by these tariffs."""
        said = ("", None) if tariffs is None else declared(tariffs)
        self._at = self._spells.setdefault(said, len(self._spells))
        if tariffs is not None:
            self._versions[version] = self._at

    def add_requests(self, tariffs: KeptTariffs | None, row: RequestsAlike, arm: int) -> None:
        """Requests alike, under this arm: the router's work for them, and what the fallback alone would have taken."""
        count, router_uj, alone = row.many, row.router_energy_uj, row.alone
        self._avoidable_ppm_nusd[arm, self._at]["alone"] += alone[COST] * avoidable_ppm(tariffs)
        if arm in (Arm.OFF, Arm.BUSY) and row.answered_by not in (None, self._number):
            self._another_time += count
        self._plain[arm, self._at] += np.array([count, 0, router_uj, row.router_co2_ug, *alone, 0])
        self._router_yusd[arm] += electricity(tariffs).cost_yusd(router_uj)
        if arm in DRAWN:
            self._spent_uj[WATTS if row.router_method == EnergyMethod.MODELLED else COUNTERS] += router_uj
        if arm == Arm.NORMAL and row.answered_by not in (None, self._number):
            self._same_tokens = self._same_tokens + alone

    def add_attempts(self, tariffs: KeptTariffs | None, row: AttemptsAlike, arm: int) -> None:
        """Attempts alike, under this arm. Of requests that were not routed, only how busy the fallback was."""
        own = row.expert == self._number
        if own:
            self._own_uj[self._at] += row.energy_uj
        self._add_tokens(row, arm)
        if not row.routed:
            return
        expert = self._names[row.expert]
        self._plain[arm, self._at][_SPENT] += row.amounts
        avoidable_ppm_nusd = row.cost_nusd * avoidable_ppm(tariffs, expert)
        self._avoidable_ppm_nusd[arm, self._at]["spent"] += avoidable_ppm_nusd
        if own:
            self._plain[arm, self._at][_PAID] += row.cost_nusd
            self._avoidable_ppm_nusd[arm, self._at]["paid"] += avoidable_ppm_nusd
        else:
            self._others[arm].add(expert)
        if row.unpriced:
            self._without_price[arm].add(expert)
        if arm not in DRAWN:
            self._undrawn_uj[self._at] += row.energy_uj if own else 0
            return
        coefficient = self._coefficient(row.expert, row.energy_method)
        self._spent_uj[coefficient] += row.energy_uj
        if row.status != Status.OK or row.expert != row.answered_by or row.role in BESIDE:
            return
        if own:
            self._known = self._known + row.amounts
            self._known_in_uj[self._at] += row.energy_uj
            self._known_uj[coefficient] += row.energy_uj
        elif arm == Arm.NORMAL and row.role == Role.ROUTED:  # any other stood in for a fallback that could not answer
            self._small[row.label] += np.array([row.many, row.input_tokens, row.output_tokens, *row.amounts])

    def _add_tokens(self, row: AttemptsAlike, arm: int) -> None:
        own, tokens = row.expert == self._number, np.array([row.input_tokens - row.cached_tokens, row.output_tokens])
        if own:
            self._own_tokens[self._at] += tokens
        elif row.role == Role.ROUTED and row.answered_by in (None, row.expert):
            self._other_tokens[self._at] += tokens
        if arm == Arm.HOLDBACK and row.role != Role.GRADER:
            self._held_tokens[own] += tokens

    def segment(self, held: HeldRows, end_us: int | None) -> Segment:
        """As it stands, with those held back before a moment."""
        labels, before, held_us = held.up_to(end_us, self._number, self._versions, self._small)
        table = np.array([self._small.get(label, np.zeros(6)) for label in labels] or [np.zeros(6)])
        own = self._plain_of(*DRAWN)
        undrawn = {arm: self._plain_of(arm) for arm in sorted({arm for arm, _ in self._plain} - {*DRAWN})}
        spells, said = self._in_order(), list(self._spells)
        beside_uj = sum((each.alone_in[:, ENERGY] for each in undrawn.values()), np.zeros(len(spells)))
        return Segment(
            fallback=self._names.get(self._number, UNKNOWN),
            model=self._model,
            traffic=Traffic(own.spent, self._known, table[:, 0], table[:, 1:3], before),
            plain=own,
            undrawn=undrawn,
            another_time=self._another_time,
            same_tokens=self._same_tokens,
            small_spent=table[:, 3:].sum(axis=0),
            spent_uj=dict(self._spent_uj),
            known_uj=dict(self._known_uj),
            unpriced=self.unpriced,
            spells=tuple(self._spell(*said[at], at, beside) for at, beside in zip(spells, beside_uj, strict=True)),
            held_us=held_us,
        )

    def _in_order(self) -> list[int]:
        """Spells by their first tariffs, for the order in which rows and sums come is not the same."""
        first = {at: version for version, at in sorted(self._versions.items(), reverse=True)}
        return sorted(range(len(self._spells)), key=lambda at: first.get(at, 0))

    def _plain_of(self, *arms: int) -> Plain:
        """Requests of these arms."""
        spells = self._in_order()
        each = [[self._plain.get((arm, at), np.zeros(8)) for at in spells] for arm in arms]
        table: Doubles = np.sum(each, axis=0)
        sums = table.sum(axis=0)
        alone = [sum(self._avoidable_ppm_nusd[arm, at]["alone"] for arm in arms) for at in spells]
        spent, paid = (
            sum(self._avoidable_ppm_nusd[arm, at][what] for arm in arms for at in spells) for what in ("spent", "paid")
        )
        # Whole numbers until here, so that hours and rows give the same to the last bit.
        router_yusd = sum(self._router_yusd[arm] for arm in arms)
        return Plain(
            requests=int(sums[_REQUESTS]),
            spent=sums[_SPENT] + np.array([router_yusd / YUSD_PER_NUSD, 0, 0]),
            alone=sums[_ALONE],
            paid_nusd=float(sums[_PAID]),
            spent_yusd=int(sums[_SPENT][COST]) * YUSD_PER_NUSD + router_yusd,
            avoidable_yusd=spent * (YUSD_PER_NUSD // PPM) + router_yusd,
            paid_avoidable_nusd=paid / PPM,
            requests_in=table[:, _REQUESTS],
            alone_in=table[:, _ALONE],
            avoidable_in=np.array([ppm_nusd / PPM for ppm_nusd in alone]),
            others=frozenset[str]().union(*(self._others[arm] for arm in arms)),
            without_price=frozenset[str]().union(*(self._without_price[arm] for arm in arms)),
        )

    def _spell(self, capacity: str, size: Size | None, at: int, beside_uj: float) -> Spell:
        """`beside_uj` is what the fallback would have taken in it for those that were not drawn."""
        if size is None:
            return Spell(capacity, None, None)
        other_uj = self._own_uj[at] - self._known_in_uj[at] + beside_uj - self._undrawn_uj[at]
        tokens = self._own_tokens[at], self._other_tokens[at], self._held_tokens[True], self._held_tokens[False]
        written, others, held, beside = (written_part(size, *each) for each in tokens)
        # What small answers say of it is mended by what both wrote where both answered.
        unseen = float(np.clip(others + held - beside, 0, 1)) if self._held_tokens[False].any() else others
        return Spell(capacity, size, Machines(size, self._own_uj[at], float(other_uj), written, unseen))

    def _coefficient(self, expert: int, method: int) -> str:
        """A table's joules per token are each expert's own."""
        if method == EnergyMethod.MODELLED:
            return WATTS
        return self._names[expert] if method == EnergyMethod.TABLE else COUNTERS


class HeldRows:
    """What was held back, in the order of time."""

    def __init__(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of moment, fallback, domain, small answer's tokens in and out, rate, conversation, amounts, tariffs.

        What stands behind these is not looked at.
        """
        columns = list(zip(*rows, strict=True)) or [()] * 11
        self._ts_us = columns[0]
        self._fallback = np.array(columns[1], np.intp)
        # Names are numbered from 1, so 0 stands for no domain.
        self._label = np.array([label or 0 for label in columns[2]], np.intp)
        self._numbers = np.array([*columns[3:6], *columns[7:10]], float).T.copy()
        talks = {talk: at for at, talk in enumerate(dict.fromkeys(columns[6]))}
        self._version = np.array([version or 0 for version in columns[10]], np.intp)
        self._talk = np.array([talks[talk] for talk in columns[6]], np.intp)

    def up_to(
        self, end_us: int | None, fallback: int, versions: Iterable[int], others: Iterable[int | None]
    ) -> tuple[list[int | None], Held, int]:
        """All domains, the `others` too, as in `Held.domain`, and those that began before a moment; when the last did.

        Of one fallback, charged by one of these versions of the tariffs.
        """
        count = len(self._ts_us) if end_us is None else bisect_left(self._ts_us, end_us)
        charged = np.isin(self._version[:count], list(versions))
        own = np.flatnonzero(charged & (self._fallback[:count] == fallback))
        label, numbers = self._label[own], self._numbers[own]
        known = np.union1d(label, np.array([each or 0 for each in others], np.intp))
        held = Held(
            domain=np.searchsorted(known, label),
            points=numbers[:, :2],
            fallback=numbers[:, 3:],
            rate=numbers[:, 2],
            conversation=self._talk[own],
        )
        return [each or None for each in known.tolist()], held, self._ts_us[own[-1]] if len(own) else 0


def declared(tariffs: KeptTariffs) -> tuple[str, Size | None]:
    """The fallback's capacity, and its size where its machines are fixed."""
    own = tariffs.of(tariffs.fallback.expert)
    return own.capacity, own.size if own.capacity == "fixed" else None


def model(tariffs: KeptTariffs) -> Model:
    """How large the fallback is."""
    size = tariffs.of(tariffs.fallback.expert).size
    return None if size is None else (size.params_b, size.total_params_b, size.bits)
