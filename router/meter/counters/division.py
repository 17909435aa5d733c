"""Dividing a counter's joules among those who used the device. Pure: integers, and never one more or less than came in.

Idle energy is what the device takes whether anyone asks or not; it belongs to nobody and is a line of its own. The rest
of a processor goes by CPU time (what other programs used is theirs), the rest of a card, and of an expert's own part,
by the work its requests put in: tokens, weighed by what a token of each kind takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Final

SECOND_NS: Final = 1_000_000_000

TAIL_NS: Final = 300_000_000
"""After its last request a card's counter still moves by what that took."""

STEP_NS: Final = 100_000_000
"""A card's counter moves so often, and shows so late what was taken (ADR 0050)."""

STRETCH_NS: Final = 2 * SECOND_NS
STRETCHES: Final = 5
GRAIN: Final = 0.15
"""A counter that moves ten times a second may miss a step in any second, and be late by another half."""


@dataclass(slots=True)
class IdlePower:
    """The least power a device was seen to take over a second: what it takes for doing nothing."""

    watts: float | None = None
    _energy_uj: int = 0
    _ns: int = 0
    fixed: bool = False
    """The registry says how much it is, so nothing is learnt."""

    @property
    def known(self) -> bool:
        """Whether what requests took can be told from it."""
        return self.watts is not None

    def see(self, energy_uj: int, ns: int, *, quiet: bool = False) -> None:
        """Learn from a window; `quiet` when nobody asked the device for anything in it."""
        if self.fixed:
            return
        self._energy_uj += energy_uj
        self._ns += ns
        if self._ns >= SECOND_NS:
            self._second(self._energy_uj * 1000 / self._ns)
            self._energy_uj = self._ns = 0

    def _second(self, seen: float) -> None:
        self.watts = seen if self.watts is None else min(self.watts, seen)

    def of(self, energy_uj: int, ns: int) -> int:
        """The idle part of a window; all of it as long as nothing was learnt."""
        if self.watts is None:
            return energy_uj
        return min(energy_uj, round(self.watts * ns / 1000))


@dataclass(slots=True)
class QuietPower(IdlePower):
    """What a card takes while nobody asks it: the middle of its last five quiet stretches of two seconds.

    The least of many seconds has lost a step of the counter, a tenth of it; and the least for ever is wrong, for a card
    on which models are loaded may take more than an empty one. Before the first such stretch the least second is only
    the most it can be: under a steady load half of what requests took would be idle.
    """

    quiet: bool = False
    """It was left alone, in this server's time or, by what was kept, before."""
    _stretches: deque[float] = field(default_factory=lambda: deque(maxlen=STRETCHES))
    _quiet_uj: int = 0
    _quiet_ns: int = 0
    _tail_ns: int = 0
    _owed_uj: int = 0
    """Idle energy that the counter has not shown yet."""

    @classmethod
    def remembered(cls, watts: float) -> QuietPower:
        """As it was when a server stopped; one of the stretches that new ones are compared with."""
        return cls(watts, quiet=True, _stretches=deque([watts], maxlen=STRETCHES))

    @property
    def known(self) -> bool:
        return self.fixed or self.quiet

    def of(self, energy_uj: int, ns: int) -> int:
        """The idle part of a window; what was missing in those before it, for want of a step, is made good here."""
        if self.watts is None:
            return energy_uj
        due = round(self.watts * ns / 1000) + self._owed_uj
        idle = min(energy_uj, due)
        self._owed_uj = min(due - idle, round(self.watts * STEP_NS / 1000))
        return idle

    def see(self, energy_uj: int, ns: int, *, quiet: bool = False) -> None:
        IdlePower.see(self, energy_uj, ns)
        if self.fixed:
            return
        if not quiet:
            self._quiet_uj, self._quiet_ns, self._tail_ns = 0, 0, TAIL_NS
            return
        if self._tail_ns > 0:
            self._tail_ns -= ns
            return
        self._quiet_uj += energy_uj
        self._quiet_ns += ns
        if self._quiet_ns >= STRETCH_NS:
            self._stretches.append(self._quiet_uj * 1000 / self._quiet_ns)
            self.watts, self.quiet = median(self._stretches), True
            self._quiet_uj = self._quiet_ns = 0

    def _second(self, seen: float) -> None:
        """Until there was quiet the least second; afterwards one that is less by more than the counter's grain."""
        if not self._stretches:
            IdlePower._second(self, seen)
        elif self.watts is not None and seen < self.watts * (1 - GRAIN):
            self._stretches.clear()
            self.watts = seen


def divide(amount: int, weights: Sequence[float]) -> list[int]:
    """`amount` in whole parts that are as the weights, and add up to it; equal parts where all weights are 0."""
    if not weights:
        return []
    whole = sum(weights)
    shares = [weight / whole for weight in weights] if whole > 0 else [1 / len(weights)] * len(weights)
    given, parts, up_to = 0, [], 0.0
    for share in shares[:-1]:
        up_to += share
        upto = min(amount, round(amount * up_to))
        parts.append(upto - given)
        given = upto
    return [*parts, amount - given]


@dataclass(slots=True)
class Work:
    """How far a request is, in picojoules its tokens would take by the table: only their proportions count.

    While nothing is heard (the prompt is read, or the answer comes as a whole) it is taken to go at the pace its expert
    had so far; what was taken too much or too little is made good as soon as tokens are counted.
    """

    prompt_pj: float
    per_token_pj: float
    done_pj: float = 0.0
    heard: bool = False
    """A whole window was streamed, so its work is known."""
    _points: deque[tuple[int, float]] = field(default_factory=deque)
    """When how much was done, as far back as it is asked for."""

    def begin(self, now_ns: int) -> None:
        """It is asked."""
        self._points.append((now_ns, 0.0))

    def advance(self, now_ns: int, tokens: int, pace_pj_per_s: float) -> float:
        """The work since the last look; `tokens` were heard in all, 0 while nothing was."""
        self.heard = tokens > 0
        if not tokens:
            return self._reach(self.done_pj + pace_pj_per_s * (now_ns - self._points[-1][0]) / 1e9, now_ns)
        return self._reach(self.prompt_pj + tokens * self.per_token_pj, now_ns)

    def finish(self, ended_ns: int, input_tokens_pj: float, output_tokens: int) -> float:
        """The work since the last look, now that it has ended and all tokens are counted."""
        return self._reach(input_tokens_pj + output_tokens * self.per_token_pj, ended_ns)

    def between(self, since_ns: int, until_ns: int) -> float:
        """What was done in a time, even from look to look; of what was before it nobody asks again."""
        while len(self._points) > 1 and self._points[1][0] <= since_ns:
            self._points.popleft()
        return self._by(until_ns) - self._by(since_ns)

    def _by(self, ns: int) -> float:
        """What was done by then; a reading may be older than the request it is divided among."""
        if ns <= self._points[0][0]:
            return self._points[0][1]
        for (from_ns, from_pj), (to_ns, to_pj) in pairwise(self._points):
            if ns < to_ns:
                return from_pj + (to_pj - from_pj) * (ns - from_ns) / (to_ns - from_ns)
        return self._points[-1][1]

    def _reach(self, reached_pj: float, now_ns: int) -> float:
        step = max(0.0, reached_pj - self.done_pj)
        self.done_pj += step
        self._points.append((max(now_ns, self._points[-1][0]), self.done_pj))
        return step
