"""Dividing a counter's joules among those who used the device. Pure: integers, and never one more or less than came in.

Idle energy is what the device takes whether anyone asks or not; it belongs to nobody and is a line of its own. The rest
of a processor goes by CPU time (what other programs used is theirs), the rest of a card, and of an expert's own part,
by the work its requests put in: tokens, weighed by what a token of each kind takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class IdlePower:
    """The least power a device was seen to take over a second: what it takes for doing nothing."""

    watts: float | None = None
    _energy_uj: int = 0
    _ns: int = 0
    fixed: bool = False
    """The registry says how much it is, so nothing is learnt."""

    def see(self, energy_uj: int, ns: int) -> None:
        """Learn from a window."""
        if self.fixed:
            return
        self._energy_uj += energy_uj
        self._ns += ns
        if self._ns >= 1_000_000_000:
            seen = self._energy_uj * 1000 / self._ns
            self.watts = seen if self.watts is None else min(self.watts, seen)
            self._energy_uj = self._ns = 0

    def of(self, energy_uj: int, ns: int) -> int:
        """The idle part of a window; all of it as long as nothing was learnt."""
        if self.watts is None:
            return energy_uj
        return min(energy_uj, round(self.watts * ns / 1000))


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
    _at_ns: int = field(default=0)

    def begin(self, now_ns: int) -> None:
        """It is asked."""
        self._at_ns = now_ns

    def advance(self, now_ns: int, tokens: int, pace_pj_per_s: float) -> float:
        """The work of a window that ends now; `tokens` were heard in all, 0 while nothing was."""
        ns, self._at_ns = now_ns - self._at_ns, now_ns
        self.heard = tokens > 0
        if not tokens:
            return self._reach(self.done_pj + pace_pj_per_s * ns / 1e9)
        return self._reach(self.prompt_pj + tokens * self.per_token_pj)

    def finish(self, input_tokens_pj: float, output_tokens: int) -> float:
        """The work of the last window, now that all tokens are counted."""
        return self._reach(input_tokens_pj + output_tokens * self.per_token_pj)

    def _reach(self, reached_pj: float) -> float:
        step = max(0.0, reached_pj - self.done_pj)
        self.done_pj += step
        return step
