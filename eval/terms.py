"""Made-up periods within which the fallback's terms change: its capacity, its batch, its price.

Requests are those of a world. What a ledger would tell of them is added up as a report does it, tariffs by tariffs, and
estimated by the code of `shoal meter report`; the truth is what the fallback would have taken for every request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from eval.worlds import Doubles, Indices, Requests, Truths, World, requests
from router.meter.alike import AttemptsAlike, RequestsAlike
from router.meter.coefficients import USUAL_BITS, Size, accelerator_j
from router.meter.kept import KeptTariffs
from router.meter.paired import Paired
from router.meter.ppm import PPM
from router.meter.record import Arm, EnergyMethod, Role, Status
from router.meter.segment_sums import HeldRows, SegmentSums, model

Unit = Literal["cost", "energy"]

_SMALL_USD: Final = (0.05, 0.1)
"""Dollars per million prompt and answer tokens."""
_UG_PER_UJ: Final = 0.000127
_BIG, _LITTLE, _DOMAINS_FROM = 1, 2, 3
"""Numbers of names, as in a ledger."""
_NAMES: Final = {_BIG: "big", _LITTLE: "small"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What the registry says of the fallback for some of the time."""

    share: float
    """Of the period's requests."""
    capacity: Literal["api", "autoscaled", "fixed"] = "api"
    batch: float = 64
    usd: tuple[float, float] = (0.6, 0.8)
    """Per million prompt and answer tokens."""
    avoidable: float = 1.0
    """The part of that which is not paid when the fallback is not asked."""

    @property
    def size(self) -> Size:
        """A model of 70B, whose joules per token are the table's."""
        return Size(70, batch=self.batch)

    @property
    def body(self) -> str:
        """What a server keeps of its tariffs."""
        own = {"capacity": self.capacity, "avoidable_ppm": round(self.avoidable * PPM), "embodied_ng_per_s": 0}
        size = [70, None, USUAL_BITS, self.batch, "h100", None]
        energy_pj = [round(each * 1e12) for each in accelerator_j(self.size)]
        big = {**own, "price": _price(self.usd), "energy_pj": energy_pj, "size": size}
        small = {**own, "price": _price(_SMALL_USD), "energy_pj": [0, 0], "size": None}
        small |= {"capacity": "api", "avoidable_ppm": PPM}
        shared = {"uw_per_core": 1_920_000, "pue_ppm": PPM, "embodied_ng_per_core_s": 0, "fallback": "big"}
        return json.dumps({**shared, "experts": {"big": big, "small": small}})


@dataclass(frozen=True, slots=True)
class Period:
    """A world whose fallback's terms change."""

    world: World
    terms: tuple[Terms, ...]
    """One after the other."""
    units: tuple[Unit, ...] = ("energy", "cost")
    """In which its figures are looked at."""


PERIODS: Final = (
    Period(
        World("fixed machines from midway", requests=40_000),
        (Terms(0.6), Terms(0.4, "fixed", batch=16, avoidable=0.3)),
    ),
    Period(
        World("fixed machines for a while", requests=40_000, chatty=2.2),
        (Terms(0.3), Terms(0.5, "fixed", avoidable=0.3), Terms(0.2)),
    ),
    Period(World("a dearer fallback midway", requests=40_000), (Terms(0.5), Terms(0.5, usd=(2.5, 10.0))), ("cost",)),
    Period(
        World("cheaper on fixed machines midway", turns=4, requests=60_000),
        (Terms(0.5, usd=(2.5, 10.0)), Terms(0.5, "fixed", avoidable=0.3)),
    ),
)
"""Worlds in which the fallback's capacity or price changes midway."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a report would read of one period, and what it would not."""

    paired: Paired
    true_share: dict[Unit, float]


@dataclass(frozen=True, slots=True)
class _Taken:
    """Of all requests under some terms; money, energy and carbon (3), in the ledger's units."""

    terms: Terms
    alone: Doubles
    """By the fallback, had it answered all, in batches as they are."""
    own: Doubles
    """By the fallback as it was."""
    others: Doubles
    """By the small model and the router."""
    tokens: Doubles
    """(2,) read and written by the fallback, had it answered all."""
    own_tokens: Doubles
    """By the fallback as it was."""

    @property
    def factor(self) -> float:
        """What the fallback would have taken in the batches it would have had, over what it would in those it had.

        A batch is of answers under way, and what reading a prompt takes does not depend on it.
        """
        if self.terms.capacity != "fixed":
            return 1.0
        size = self.terms.size
        larger = replace(size, batch=size.batch * float(self.tokens[1] / self.own_tokens[1]))
        then_j, now_j = (float(self.tokens @ np.array(accelerator_j(each))) for each in (larger, size))
        return then_j / now_j


def run_under(period: Period, seed: Sequence[int]) -> Told:
    """One period; everything about it is drawn from `seed`."""
    drawn = requests(period.world, np.random.default_rng(seed))
    size = len(drawn.domain)
    ends = np.round(np.cumsum([0.0, *(each.share for each in period.terms)]) * size).astype(int)
    place = np.arange(size)
    sums = SegmentSums(_BIG, model(KeptTariffs.of_body(period.terms[0].body)), _NAMES)
    held, taken = list[tuple[float, ...]](), list[_Taken]()
    for version, (terms, (first, end)) in enumerate(zip(period.terms, pairwise(ends), strict=True), start=1):
        here = (place >= first) & (place < end)
        part = _Part(period.world, drawn, terms, here)
        part.add_to(sums, version)
        held += part.held(version)
        taken.append(part.taken)
    return Told(Paired((sums.segment(HeldRows(held), None),)), _true_shares(taken))


def _true_shares(taken: Sequence[_Taken]) -> dict[Unit, float]:
    """Of all that the fallback would have taken: its joules, in its batches; the money that is not paid."""
    alone_j = sum(each.factor * each.alone[1] for each in taken)
    avoided = sum(each.terms.avoidable * (each.factor * each.alone[0] - each.own[0]) - each.others[0] for each in taken)
    return {
        "energy": float(1 - sum(each.own[1] + each.others[1] for each in taken) / alone_j),
        "cost": float(avoided / sum(each.alone[0] for each in taken)),
    }


@dataclass(frozen=True, slots=True)
class _Way:
    """Requests that went alike: which (n,), and whom they were answered by."""

    here: Truths
    arm: Arm
    answered_by: int
    asked: tuple[tuple[int, Role, Status], ...]


class _Part:
    """The requests under some terms, in whole tokens and in the ledger's whole units."""

    def __init__(self, world: World, drawn: Requests, terms: Terms, here: Truths) -> None:
        self._terms, self._tariffs, self._rate = terms, KeptTariffs.of_body(terms.body), world.rate
        self._domain, self._talk = drawn.domain[here] + _DOMAINS_FROM, drawn.talk[here]
        self._tried, self._served, self._held = drawn.tried[here], drawn.served[here], drawn.held[here]
        self._tokens = {_BIG: _whole(drawn.asked[here]), _LITTLE: _whole(drawn.points[here])}
        rate = accelerator_j(terms.size)
        self._amounts = {
            _BIG: _amounts(self._tokens[_BIG], terms.usd, rate),
            _LITTLE: _amounts(self._tokens[_LITTLE], _SMALL_USD, world.small),
        }
        self._same_tokens = _amounts(self._tokens[_LITTLE], terms.usd, rate)
        self._router_uj = round(world.router_j * 1e6)

    @property
    def _ways(self) -> tuple[_Way, ...]:
        """The draw is of requests that the small model was chosen for; some of them it fails at."""
        tried, served, held = self._tried, self._served, self._held
        big = (_BIG, Role.FALLBACK, Status.OK)
        return (
            _Way(~tried, Arm.NORMAL, _BIG, (big,)),
            _Way(tried & served & ~held, Arm.NORMAL, _LITTLE, ((_LITTLE, Role.ROUTED, Status.OK),)),
            _Way(tried & ~served & ~held, Arm.NORMAL, _BIG, ((_LITTLE, Role.ROUTED, Status.ERROR), big)),
            _Way(tried & served & held, Arm.HOLDBACK, _BIG, (big, (_LITTLE, Role.SHADOW, Status.OK))),
            _Way(tried & ~served & held, Arm.HOLDBACK, _BIG, (big, (_LITTLE, Role.SHADOW, Status.ERROR))),
        )

    def add_to(self, sums: SegmentSums, version: int) -> None:
        """Add them as hours have them: by domain, who was asked and who answered."""
        sums.charged(version, self._tariffs)
        for way in self._ways:
            count = int(way.here.sum())
            alone = (self._amounts[_BIG] if way.answered_by == _BIG else self._same_tokens)[way.here].sum(axis=0)
            router_uj = count * self._router_uj
            row = RequestsAlike(
                None, Status.OK, None, way.answered_by, version, True, way.arm, EnergyMethod.MODELLED, None, count,
                0, router_uj, round(router_uj * _UG_PER_UJ), *alone.tolist(),
            )  # fmt: skip
            sums.add_requests(self._tariffs, row, way.arm)
            for expert, role, status in way.asked:
                domain = self._domain[way.here]
                table = np.hstack([self._tokens[expert], self._amounts[expert]])[way.here]
                counts, *each = (np.bincount(domain, column) for column in (None, *table.T))
                for label in np.flatnonzero(counts).tolist():
                    read, written, *amounts = (int(column[label]) for column in each)
                    attempts = AttemptsAlike(
                        None, version, True, way.arm, way.answered_by, label, expert, role, status, EnergyMethod.TABLE,
                        False, int(counts[label]), read, written, 0, 0, 0, 0, 0, *amounts,
                    )  # fmt: skip
                    sums.add_attempts(self._tariffs, attempts, way.arm)

    def held(self, version: int) -> list[tuple[float, ...]]:
        """Rows of those held back, as the ledger's query gives them."""
        own = np.flatnonzero(self._served & self._held)
        columns = zip(
            self._domain[own].tolist(), self._tokens[_LITTLE][own].tolist(), self._talk[own].tolist(),
            self._amounts[_BIG][own].tolist(), strict=True,
        )  # fmt: skip
        return [
            (version, _BIG, domain, *tokens, self._rate, talk, *amounts, version)
            for domain, tokens, talk, amounts in columns
        ]

    @property
    def taken(self) -> _Taken:
        """What they really took, and would have."""
        big, little = self._amounts[_BIG], self._amounts[_LITTLE]
        others = little[self._tried].sum(axis=0) + len(big) * self._router_uj * np.array([0, 1, _UG_PER_UJ])
        own = ~(self._tried & self._served) | (self._tried & self._held)
        tokens = self._tokens[_BIG]
        return _Taken(
            self._terms, big.sum(axis=0), big[own].sum(axis=0), others, tokens.sum(axis=0), tokens[own].sum(axis=0)
        )


def _price(usd: tuple[float, float]) -> list[int | str]:
    """In pico-dollars per token read, read again and written; its version."""
    asked, answered = (round(each * 1e6) for each in usd)
    return [asked, asked, answered, f"{usd[0]:g} in, {usd[1]:g} out"]


def _whole(tokens: Doubles) -> Indices:
    return np.rint(tokens).astype(np.intp)


def _amounts(tokens: Indices, usd: tuple[float, float], joules: tuple[float, float]) -> Indices:
    """(n, 3) nano-dollars, microjoules and micrograms of (n, 2) tokens."""
    uj = tokens @ np.array(joules) * 1e6
    return _whole(np.stack([tokens @ np.array(usd) * 1e3, uj, uj * _UG_PER_UJ], axis=1))
