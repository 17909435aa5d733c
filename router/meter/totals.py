"""Sums of ledger entries: integers inside; dollars, joules and grams are made at the very end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

from router.meter.dilution import Dilution
from router.meter.idle import Idle
from router.meter.record import EnergyMethod, Status

GroupBy = Literal["expert", "domain", "policy", "key", "day"]

METHOD = "same tokens at the fallback's price: an estimate"

LOADING: Final = "loading experts"
"""Stands beside devices: what experts took before they could answer, which no request is charged for."""

Kind = Literal["answers", "discarded", "shadow"]
"""What attempts were for: what clients heard, what was thrown away, what ran beside to be compared."""


@dataclass(slots=True)
class Sum:
    """Money, energy and carbon, as the ledger counts them."""

    cost_nusd: int = 0
    energy_uj: int = 0
    co2_ug: int = 0

    def __iadd__(self, other: Sum) -> Self:
        for name in _SUM_FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def __sub__(self, other: Sum) -> Sum:
        return Sum(*(getattr(self, name) - getattr(other, name) for name in _SUM_FIELDS))

    def to_json(self, unpriced: bool = False) -> dict[str, Any]:
        """The same in dollars, joules and grams. Money is None where nothing of it has a price: unknown, not 0."""
        known = self.cost_nusd or not unpriced
        return {
            "cost_usd": self.cost_nusd / 1e9 if known else None,
            "energy_j": self.energy_uj / 1e6,
            "co2_g": self.co2_ug / 1e6,
        }


_SUM_FIELDS = tuple(each.name for each in fields(Sum))


@dataclass(slots=True)
class Share:
    """What an expert did, or a group of requests took. A group's sums have the router's work in them."""

    requests: int = 0
    """Answered by the expert; of the group."""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    sums: Sum = field(default_factory=Sum)
    by_method: Counter[EnergyMethod] = field(default_factory=Counter)
    """Microjoules by where the figure comes from."""
    unpriced: bool = False
    """Some attempts had no price: their cost of 0 says nothing."""

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`."""
        return {
            "requests": self.requests,
            "attempts": self.attempts,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            **self.sums.to_json(self.unpriced),
            "energy_by_method": _joules_by_method(self.by_method),
            "priced": not self.unpriced,
        }


@dataclass(slots=True)
class Group(Share):
    """Some of the requests, with what the fallback would have taken for them."""

    counterfactual: Sum = field(default_factory=Sum)
    alone_unpriced: bool = False
    """At some of them the fallback had no price."""

    @property
    def saved_unpriced(self) -> bool:
        """The money saved is unknown: the fallback has no price, or had none at times and what was spent has none."""
        return self.alone_unpriced and not (self.counterfactual.cost_nusd and self.sums.cost_nusd)

    @property
    def saved_at_most(self) -> bool:
        """What has no price could not be taken off the money saved."""
        return self.unpriced and not self.alone_unpriced

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`."""
        return {
            **Share.to_json(self),
            "counterfactual": self.counterfactual.to_json(self.alone_unpriced),
            "savings": self.savings(),
        }

    def savings(self) -> dict[str, Any]:
        """What was not spent, and its share of the counterfactual (None of nothing). Never verified by this method."""
        saved, share = self.counterfactual - self.sums, dict[str, float | None]()
        for name, attribute in (("cost", "cost_nusd"), ("energy", "energy_uj"), ("co2", "co2_ug")):
            alone = getattr(self.counterfactual, attribute)
            share[name] = getattr(saved, attribute) / alone if alone else None
        found = {**saved.to_json(), "share": share, "verified": False, "cost_at_most": self.saved_at_most}
        return found | {"cost_usd": None} if self.saved_unpriced else found


@dataclass(slots=True)
class Report:
    """A period of the ledger. `until_us` is not included; None is open."""

    since_us: int | None
    until_us: int | None
    group_by: GroupBy | None
    own: str | None = None
    """The id of the key whose requests alone these are, None for all. Devices and experiments tell of all only."""
    total: Group = field(default_factory=Group)
    router: Sum = field(default_factory=Sum)
    router_cpu_us: int = 0
    by_expert: defaultdict[str, Share] = field(default_factory=lambda: defaultdict(Share))
    by_status: Counter[Status] = field(default_factory=Counter)
    by_method: Counter[EnergyMethod] = field(default_factory=Counter)
    """Microjoules per method; the router's own are modelled."""
    by_kind: defaultdict[Kind, Sum] = field(default_factory=lambda: defaultdict(Sum))
    escalated: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    groups: defaultdict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    avoidable_ppm_nusd: int = 0
    """Cost times the part of it, in millionths, that is not spent when an expert is not asked."""
    counterfactual_avoidable_ppm_nusd: int = 0
    embodied_fg: int = 0
    """Femtograms: microseconds times nanograms a second."""
    grids: set[str] = field(default_factory=set)
    """Zone and year of each carbon intensity that was used."""
    embodied_us: int = 0
    """Of attempts' time, that on machines of which is known what making them took."""
    worked_us: int = 0
    """Attempts' time, all of it."""
    accepted: int = 0
    """Answers that no client scored below one half."""
    idle: dict[str, Idle] = field(default_factory=dict)
    idle_divided: bool = False
    """Of an hour that lies in the period only in part, the part of the time that does is told."""
    dilution: Dilution | None = None
    whole_hours: bool = False
    """The ends were moved to whole hours, because the rows between are gone and only their hours' sums are kept."""
    assumed_b: dict[str, float] = field(default_factory=dict)
    """Fallbacks of whose size nobody told: the billions of parameters that were assumed."""
    only_in_sums: int = 0
    """Requests whose rows were old and are gone: nothing but the sums of their hours tells of them."""
    adding_up: tuple[int, int] | None = None
    """Hours of the period that are added up and those that could be, where many are missing and read row by row."""
    routed: dict[str, Any] = field(default_factory=dict)
    """What is said of the savings of routed requests; see router/meter/verified.py."""
    regrid: Mapping[str, Any] | None = None
    """Carbon by another table, when one was asked for."""

    def ranked_experts(self) -> list[tuple[str, Share]]:
        """Experts, those who answered most first."""
        return sorted(self.by_expert.items(), key=lambda item: (-item[1].requests, item[0]))

    @property
    def idle_uj(self) -> int:
        """Of all devices."""
        return sum(each.energy_uj for each in self.idle.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values in the units of the outside: dollars, joules, grams, seconds."""
        total = self.total
        found: dict[str, Any] = {
            "from": _iso(self.since_us),
            "to": _iso(self.until_us),
            "requests": total.requests,
            "attempts": total.attempts,
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            **total.sums.to_json(total.unpriced),
            "by_expert": {name: share.to_json() for name, share in self.ranked_experts()},
            "router": {**self.router.to_json(), "cpu_s": self.router_cpu_us / 1e6},
            "charged": {kind: self.by_kind[kind].to_json() for kind in ("answers", "discarded", "shadow")},
            "unanswered": self.unanswered,
            "by_status": {status.name.lower(): self.by_status[status] for status in Status if self.by_status[status]},
            "escalated": {stage: self.escalated[stage] for stage in ("no", "before", "after")},
            "energy_by_method": _joules_by_method(self.by_method),
            "idle": {name: each.to_json() for name, each in sorted(self.idle.items())},
            "idle_j": self.idle_uj / 1e6,
            "idle_divided": self.idle_divided,
            "energy_with_idle_j": (total.sums.energy_uj + self.idle_uj) / 1e6,
            "no_price": sorted(name for name, share in self.by_expert.items() if share.unpriced),
            "counterfactual": {
                **total.counterfactual.to_json(total.alone_unpriced),
                "method": METHOD,
                "assumed_params_b": self.assumed_b,
            },
            "savings": {
                **total.savings(),
                **self._money(),
                "standing": self.routed.get("standing"),
                "routed": self.routed,
            },
            "sci": self.sci(),
            "adding_up": adding_up_json(self.adding_up),
            "only_in_sums": self.only_in_sums,
        }
        if self.dilution is not None:
            found["counterfactual"]["fixed_capacity"] = self.dilution.to_json(total.sums.energy_uj)
        if self.whole_hours:
            found["whole_hours"] = True
        if self.regrid is not None:
            found["carbon"] = dict(self.regrid)
        if self.own is not None:
            found["key"] = self.own
        if self.group_by is not None:
            found["group_by"] = self.group_by
            found["groups"] = {name: group.to_json() for name, group in sorted(self.groups.items())}
        return found

    def _money(self) -> dict[str, float | None]:
        """Of the money saved: what stayed in the pocket, and what was paid all the same; None where it is unknown."""
        if self.total.saved_unpriced:
            return {"avoidable_usd": None, "allocated_usd": None}
        avoided = self.counterfactual_avoidable_ppm_nusd - self.avoidable_ppm_nusd
        saved = (self.total.counterfactual.cost_nusd - self.total.sums.cost_nusd) * 1_000_000
        return {"avoidable_usd": avoided / 1e15, "allocated_usd": (saved - avoided) / 1e15}

    def sci(self) -> dict[str, Any]:
        """Software carbon intensity, (E x I + M) / R in grams: ISO/IEC 21031:2024. What was avoided is no part of it.

        Boundary: the experts' work and the router's, as metered here; networks and clients are outside.
        """
        operational_g, embodied_g = self.total.sums.co2_ug / 1e6, self.embodied_fg / 1e15
        whole = operational_g + embodied_g
        units = {
            "per_request": self.total.requests,
            "per_1000_output_tokens": self.total.output_tokens / 1000,
            "per_accepted_answer": self.accepted,
        }
        return {
            "boundary": "answers, discarded attempts, shadows and the router; networks and clients are outside",
            "intensity": "each request's own, average of its grid and hour; told by grid_version in the rows",
            "embodied": "share of each machine's making by the time it worked, over its life and those beside",
            "grids": sorted(self.grids),
            "operational_g": operational_g,
            "embodied_g": embodied_g if self.embodied_fg else None,
            "embodied_share": self.embodied_us / self.worked_us if self.worked_us else None,
            "accepted_answers": self.accepted,
            **{name: whole / units[name] if units[name] else None for name in units},
        }


def adding_up_json(hours: tuple[int, int] | None) -> dict[str, int] | None:
    """How many hours are added up, of how many; None where that is usual."""
    return None if hours is None else {"hours": hours[0], "of": hours[1]}


def _joules_by_method(by_method: Mapping[EnergyMethod, int]) -> dict[str, float]:
    microjoules: Counter[str] = Counter()
    for method, energy_uj in by_method.items():
        microjoules[method.label] += energy_uj
    return {label: energy_uj / 1e6 for label, energy_uj in sorted(microjoules.items()) if energy_uj}


def _iso(moment_us: int | None) -> str | None:
    return None if moment_us is None else datetime.fromtimestamp(moment_us / 1e6, UTC).isoformat()
