"""The routed requests served under one fallback, as the savings estimator takes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from router.meter.clustered import Doubles
from router.meter.coefficients import Size
from router.meter.dilution import Dilution, Machines
from router.meter.money import YUSD_PER_NUSD
from router.meter.savings import Alone, Standing, Traffic, standing

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
    paid_avoidable_nusd: float
    """As `avoidable_yusd`, of `paid_nusd`."""
    requests_in: Doubles
    """(s,), `requests` of each spell of the segment."""
    alone_in: Doubles
    """(s, u), `alone` likewise."""
    avoidable_in: Doubles
    """(s,), of the money in `alone_in` what is not spent when the fallback is not asked, in nano-dollars."""
    others: frozenset[str]
    """Experts but the fallback that were asked."""
    without_price: frozenset[str]
    """Experts of some of whose work no price is known, so that the money in `spent` is not all."""

    @property
    def avoidable_nusd(self) -> float:
        """As `avoidable_yusd`."""
        return self.avoidable_yusd / YUSD_PER_NUSD


Model = tuple[float, float | None, float] | None
"""How large a fallback is (billions of parameters active and in all, bits): of another size it is another fallback.

None where its joules per token were given, so that nothing is said of its size."""


@dataclass(frozen=True, slots=True)
class Spell:
    """The time, in one piece or several, in which the fallback's capacity was declared alike."""

    capacity: str
    """What is avoided when the fallback is not asked: api, autoscaled or fixed; empty where that is not known."""
    size: Size | None
    """Of a fallback on fixed machines."""
    machines: Machines | None
    """None where what the fallback does not answer is not spent either."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Units are those of the ledger; u of them: money, energy, carbon."""

    fallback: str
    model: Model
    traffic: Traffic
    """Of requests that could be held back, and of those that the fallback was chosen for."""
    plain: Plain
    """The same requests."""
    undrawn: Mapping[int, Plain]
    """Those that could not be held back, by their `Arm`; none of them is in anything else here."""
    another_time: int
    """Of these the small answers that could have been another time."""
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
    spells: tuple[Spell, ...]
    """What the fallback writes does not depend on its capacity, so that is estimated for all of them together."""
    held_us: int
    """When the last that is held back came; 0 where none did."""
    money_nusd: tuple[float, float] | None = None
    """What its fallback would have cost for `traffic`, and what of it is avoidable, where the estimate of these cannot
    stand beside that of a part of them; see reconcile.py. Its covariance is the estimate's."""

    @property
    def standing(self) -> Standing:
        """What its figure may be called."""
        return standing(self.traffic.held)

    @property
    def on_machines(self) -> bool:
        """Whether the fallback's machines were fixed at some time, so that its batches grow with what it is asked."""
        return any(each.machines for each in self.spells)

    @property
    def dilutions(self) -> tuple[Dilution | None, ...]:
        """(s,), what its fallback would have taken for `traffic` in each spell in which its machines were fixed."""
        return self._dilutions(self.at_todays_batch()[0]) if self.on_machines else (None,) * len(self.spells)

    def at_todays_batch(self) -> tuple[Doubles, Doubles]:
        """Joules (s,) of the fallback alone in batches as they are, in each spell, and the variances.

        The estimate is divided in proportion to the same tokens at the rates of each spell; where too few were held
        back that guess is all there is.
        """
        if self.standing is Standing.UNVERIFIED:
            return self.plain.alone_in[:, ENERGY], np.zeros(len(self.spells))
        found, part = self.traffic.alone, self._part(ENERGY)
        return part * found.total[ENERGY], part**2 * found.variance[ENERGY]

    def alone(self) -> Alone:
        """What the fallback would have taken for `traffic`, in the batches it would have had.

        More joules make larger batches, in which a token takes less electricity, and so what of the money is avoidable
        errs against the money itself: all that is multiplied goes with the error of the joules, by the delta method.
        Raises ValueError when too few were held back.
        """
        found, parts = self.traffic.alone, self._avoidable_parts
        taken = parts * found.total
        factors, growth, beside = self._in_batches(taken[:, ENERGY], found.total[ENERGY])
        avoidable = factors @ taken
        own = np.diag(factors @ parts)
        own[:, ENERGY] += growth @ taken
        # Machines that are there in any case cost the same in any batch.
        total, step, shift = avoidable.copy(), np.vstack([own, own]), np.tile(beside @ taken, 2)
        total[COST], step[COST], shift[COST] = found.total[COST], np.eye(len(total))[COST], 0.0
        if self.money_nusd is not None:
            total[COST], avoidable[COST] = self.money_nusd
        of_estimate = found.covariance[: len(total), : len(total)]
        return Alone(total, avoidable, step @ of_estimate @ step.T + np.outer(shift, shift), found.freedom)

    def same_rate(self, plain: Plain) -> tuple[Doubles, float]:
        """What the fallback would have taken for requests of this time (u,), by the same tokens and in such batches.

        And the part of its money, in nano-dollars, that is not spent when it is not asked.
        """
        factors = _factors(self.dilutions)
        taken = np.concatenate([plain.alone[:ENERGY], factors @ plain.alone_in[:, ENERGY:]])
        return taken, float(factors @ plain.avoidable_in)

    @property
    def eligible(self) -> int:
        """Requests whose answer a small expert gave, or would have given, and that might be held back another time."""
        return int(self.traffic.rows.sum()) + len(self.traffic.held.domain) + self.another_time

    @property
    def _avoidable_parts(self) -> Doubles:
        """(s, u), of what the fallback would have taken, the part of each spell that is not spent when it is not asked.

        Of money by the same tokens, so that it is an average where tariffs changed; of energy and carbon all.
        """
        nusd = self.plain.alone[COST]
        money = self.plain.avoidable_in / nusd if nusd else np.zeros(len(self.spells))
        return np.stack([money, *(self._part(at) for at in range(ENERGY, len(self.plain.alone)))], axis=1)

    def _part(self, at: int) -> Doubles:
        """(s,), of what the fallback would have taken in a unit, the part that falls to each spell."""
        of = self.plain.alone_in[:, at] if self.plain.alone[at] > 0 else self.plain.requests_in
        found: Doubles = of / of.sum()
        return found

    def _dilutions(self, alone_uj: Doubles) -> tuple[Dilution | None, ...]:
        """Where today's batches would make so much (s,)."""
        each = zip(self.spells, alone_uj.tolist(), strict=True)
        return tuple(None if spell.machines is None else spell.machines.diluted(uj) for spell, uj in each)

    def _in_batches(self, alone_uj: Doubles, whole_uj: float) -> tuple[Doubles, Doubles, Doubles]:
        """What joules are multiplied by (s,), where today's batches would make so many of them, `whole_uj` in all.

        By how much that grows with a microjoule more of the whole, and its error that comes from the others' requests.
        """
        factors, growth, beside = _factors(self._dilutions(alone_uj)), np.zeros(len(alone_uj)), np.zeros(len(alone_uj))
        for at, (spell, uj) in enumerate(zip(self.spells, alone_uj.tolist(), strict=True)):
            if spell.machines and uj > 0:
                growth[at] = (spell.machines.slope(uj) - factors[at]) / whole_uj
                beside[at] = spell.machines.beside(uj) / uj
        return factors, growth, beside


def _factors(dilutions: tuple[Dilution | None, ...]) -> Doubles:
    """(s,), what a fallback's joules are multiplied by."""
    return np.array([1.0 if each is None else each.factor for each in dilutions])
