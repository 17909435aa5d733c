"""Sums of ledger entries: integers inside; dollars, joules and grams are made at the very end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from router.meter.amounts import headline
from router.meter.changes import Change
from router.meter.compared import Compared, Sum
from router.meter.hours_schema import DAY
from router.meter.idle import IdleTime
from router.meter.record import EnergyMethod, Status
from router.meter.sci import sci

GroupBy = Literal["expert", "domain", "policy", "key", "day"]

NOBODY: Final = "(none)"
"""Stands where a request has no such thing: no key, no domain, nobody who answered."""

LOADING: Final = "loading experts"
"""Stands beside devices: what experts took before they could answer, which no request is charged for."""

Kind = Literal["answers", "discarded", "shadow"]
"""What attempts were for: what clients heard, what was thrown away, what ran beside to be compared."""


@dataclass(slots=True)
class Share:
    """What an expert did, or a group of requests took. A group's sums have the router's work in them."""

    requests: int = 0
    """Answered by the expert; of the group."""
    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    """Of all attempts."""
    answered_tokens: int = 0
    """Of these, what clients were given; the rest was discarded, or ran beside."""
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    """Of `input_tokens`, both."""
    reasoning_tokens: int = 0  # of `output_tokens`
    unheard: int = 0
    """Attempts whose clients left before the first word: what was written by then is unknown, and in no sum."""
    sums: Sum = field(default_factory=Sum)
    by_method: Counter[EnergyMethod] = field(default_factory=Counter)
    """Microjoules by where the figure comes from."""

    @property
    def at_least(self) -> bool:
        """Whether its sums may be larger, by what nobody knows."""
        return self.unheard > 0

    @property
    def counts(self) -> dict[str, int]:
        """Requests, attempts and their tokens."""
        return {
            "requests": self.requests,
            "attempts": self.attempts,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "answered_tokens": self.answered_tokens,
            "cached_tokens": self.cached_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
        }

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`."""
        return {
            **self.counts,
            "unheard": self.unheard,
            **self.sums.to_json(),
            "energy_by_method": _joules_by_method(self.by_method),
            "priced": not self.sums.unpriced,
        }


@dataclass(slots=True)
class Group(Share):
    """Some of the requests, with what the fallback would have taken for those it could have answered."""

    compared: Compared = field(default_factory=Compared)
    unmetered: int = 0
    """Requests that were under way when the server died: what they took is unknown, and in no sum."""
    savings: dict[str, Any] | None = field(default=None, compare=False)
    """What is estimated of the group by itself; see by_group.py. None of experts, and of the total. Not of its sums."""

    @property
    def at_least(self) -> bool:
        """As of any share; and where the server died over some."""
        return self.unheard > 0 or self.unmetered > 0

    def to_json(self) -> dict[str, Any]:
        """As in `shoal meter report --json`."""
        lost = {"requests": self.unmetered}
        more = {} if self.savings is None else {"savings": self.savings}
        return {**Share.to_json(self), "unmetered": lost, "same_token_guess": self.compared.to_json(), **more}


@dataclass(slots=True)
class Report:
    """A period of the ledger, as far as it is `covered` (spans.py). `until_us` is not included; None is open."""

    since_us: int | None
    until_us: int | None
    group_by: GroupBy | None
    own: str | None = None
    """The id of the key whose requests alone these are, None for all. Devices and experiments tell of all only."""
    total: Group = field(default_factory=Group)
    router: Sum = field(default_factory=Sum)
    router_by_method: Counter[EnergyMethod] = field(default_factory=Counter)
    """As `by_method`, of the router's own work alone."""
    router_cpu_us: int = 0
    router_unpriced: int = 0
    """Requests for which no price of electricity was given: the router's work for them counts as 0 in money."""
    by_expert: defaultdict[str, Share] = field(default_factory=lambda: defaultdict(Share))
    by_status: Counter[Status] = field(default_factory=Counter)
    by_method: Counter[EnergyMethod] = field(default_factory=Counter)
    """Microjoules per method, the router's own too."""
    by_kind: defaultdict[Kind, Sum] = field(default_factory=lambda: defaultdict(Sum))
    escalated: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    unpriced: int = 0
    """Attempts without a price: what they cost is unknown."""
    groups: defaultdict[str, Group] = field(default_factory=lambda: defaultdict(Group))
    embodied_fg: int = 0
    """Femtograms: microseconds times nanograms a second."""
    vectors_co2_ug: int = 0
    """Of requests for vectors."""
    vectors_fg: int = 0
    """As `embodied_fg`, of requests for vectors."""
    grids: set[str] = field(default_factory=set)
    """Zone and year of each carbon intensity that was used."""
    changed: list[Change] = field(default_factory=list)
    """By what requests are charged and was another at the beginning."""
    embodied_us: int = 0
    """Of attempts' time, that on machines of which is known what making them took."""
    worked_us: int = 0
    """Attempts' time, all of it."""
    accepted: int = 0
    """Answers that no client scored below one half; vectors are none."""
    idle: IdleTime = field(default_factory=IdleTime)
    asked: tuple[int | None, int | None] | None = None
    """The ends that were asked for, where those of the period are others: of an hour whose rows are gone only sums are
    kept."""
    assumed_b: dict[str, float] = field(default_factory=dict)
    """Fallbacks of whose size nobody told: the billions of parameters that were assumed."""
    only_in_sums: int = 0
    """Requests whose rows were old and are gone: nothing but the sums of their hours tells of them."""
    priced_now: frozenset[str] = frozenset()
    """Experts that had a price when the last request began, whatever they had in this period."""
    adding_up: tuple[int, int] | None = None
    """Hours of the period that are added up and those that could be, where many are missing and read row by row."""
    routed: dict[str, Any] = field(default_factory=dict)
    """What is said of the savings of routed requests; see router/meter/verified.py and, of one key's, by_group.py."""
    regrid: Mapping[str, Any] | None = None
    """Carbon by another table, when one was asked for."""

    def ranked_experts(self) -> list[tuple[str, Share]]:
        """Experts, those who answered most first."""
        return sorted(self.by_expert.items(), key=lambda item: (-item[1].requests, item[0]))

    @property
    def without_price(self) -> list[str]:
        """Experts of some of whose work no price is known."""
        return sorted(name for name, share in self.by_expert.items() if share.sums.unpriced)

    @property
    def savings(self) -> dict[str, Any]:
        """The one figure of what was saved; beside it what it is made of, and the same-token guess."""
        guess = self.total.compared.to_json()
        part = self.routed.get("priced_part") if self.routed else guess["priced_part"]
        return headline(self.routed, guess) | {"priced_part": part, "same_token_guess": guess, "routed": self.routed}

    @property
    def router_by_label(self) -> Mapping[str, int]:
        """Microjoules of the router's own work by the word for where the figure comes from."""
        return _by_label(self.router_by_method)

    @property
    def idle_uj(self) -> int:
        """Of all devices."""
        return sum(each.energy_uj for each in self.idle.devices.values())

    def to_json(self, accounts: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Plain values in the units of the outside: dollars, joules, grams, seconds; groups by key with their names."""
        total, saved = self.total, self.savings
        without = self.unpriced / total.attempts if total.attempts else None
        return {
            "from": _iso(self.since_us),
            "to": _iso(self.until_us),
            **total.counts,
            **total.sums.to_json(),
            "by_expert": {name: share.to_json() for name, share in self.ranked_experts()},
            "router": self._router_json(),
            "charged": {kind: self.by_kind[kind].to_json() for kind in ("answers", "discarded", "shadow")},
            "unanswered": self.unanswered,
            "by_status": {status.name.lower(): self.by_status[status] for status in Status if self.by_status[status]},
            "escalated": {stage: self.escalated[stage] for stage in ("no", "before", "after")},
            "energy_by_method": _joules_by_method(self.by_method),
            **self._idle_json(),
            "no_price": self.without_price,
            "unpriced": {"attempts": self.unpriced, "share": without},
            "unmetered": {"requests": total.unmetered},
            "unheard": total.unheard,
            "counterfactual": saved["counterfactual"] | {"method": saved["method"], "assumed_params_b": self.assumed_b},
            "savings": saved,
            "sci": sci(self),
            "changed": [change.to_json() for change in self.changed],
            "adding_up": adding_up_json(self.adding_up),
            "only_in_sums": self.only_in_sums,
            **self._asked_json(accounts or {}),
        }

    def _router_json(self) -> dict[str, Any]:
        """The router's own work as requests were charged it, and what a counter saw of its process, if one did."""
        by_counter_uj = self.idle.router_uj
        return {
            **self.router.to_json(),
            "cpu_s": self.router_cpu_us / 1e6,
            "energy_by_method": _joules_by_method(self.router_by_method),
            "priced": not self.router_unpriced,
            "unpriced_requests": self.router_unpriced,
            "by_counter_j": None if by_counter_uj is None else by_counter_uj / 1e6,
            "beyond_charged_j": None if by_counter_uj is None else (by_counter_uj - self.router.energy_uj) / 1e6,
        }

    def _idle_json(self) -> dict[str, Any]:
        """What devices took while they idled, which no request is charged for."""
        return {
            "idle": {name: each.to_json() for name, each in sorted(self.idle.devices.items())},
            "idle_j": self.idle_uj / 1e6,
            "idle_divided": self.idle.divided,
            "idle_known_until": _iso(self.idle.known_until_us),
            "energy_with_idle_j": (self.total.sums.energy_uj + self.idle_uj) / 1e6,
        }

    def _asked_json(self, accounts: Mapping[str, str]) -> dict[str, Any]:
        """What is there only where it was asked for. `accounts`: what keys are called, by their ids."""
        found: dict[str, Any] = {}
        if self.asked is not None:
            found |= {"whole_hours": True, "asked": dict(zip(("from", "to"), map(_iso, self.asked), strict=True))}
        if self.regrid is not None:
            found["carbon"] = dict(self.regrid)
        if self.own is not None:
            found["key"] = self.own
        if self.group_by is not None:
            found["group_by"] = self.group_by
            found["groups"] = {name: group.to_json() for name, group in sorted(self.groups.items())}
            for key in accounts.keys() & self.groups.keys():
                found["groups"][key]["name"] = accounts[key]
        return found


def called(of: GroupBy | None, group: int | None, names: Mapping[int | None, str]) -> str:
    """A group's name: that of its number in `names`, or the date of a day since 1970."""
    if of == "day" and group is not None:
        return datetime.fromtimestamp(group * (DAY.us // 1_000_000), UTC).date().isoformat()
    return NOBODY if group is None else names[group]


def adding_up_json(hours: tuple[int, int] | None) -> dict[str, int] | None:
    """How many hours are added up, of how many; None where that is usual."""
    return None if hours is None else {"hours": hours[0], "of": hours[1]}


def _by_label(by_method: Mapping[EnergyMethod, int]) -> Counter[str]:
    microjoules: Counter[str] = Counter()
    for method, energy_uj in by_method.items():
        microjoules[method.label] += energy_uj
    return microjoules


def _joules_by_method(by_method: Mapping[EnergyMethod, int]) -> dict[str, float]:
    return {label: energy_uj / 1e6 for label, energy_uj in sorted(_by_label(by_method).items()) if energy_uj}


def _iso(moment_us: int | None) -> str | None:
    return None if moment_us is None else datetime.fromtimestamp(moment_us / 1e6, UTC).isoformat()
