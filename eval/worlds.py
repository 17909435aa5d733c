"""Made-up traffic in which the truth is known: what the fallback would have taken for every single request.

A world says how long prompts and answers are, how they differ between models, how the router chooses and errs, and
how requests hang together. The estimator of savings sees of it what a ledger would show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.meter.savings import Held, Traffic

Doubles = NDArray[np.float64]

_ROUTER_J: Final = 0.2
"""What judging one request takes."""

_LONGEST: Final = 4096
"""Tokens at which an answer is cut off."""


@dataclass(frozen=True, slots=True)
class World:
    """One kind of traffic."""

    name: str
    requests: int = 30_000
    rate: float = 0.025
    """Share of conversations held back."""
    domains: int = 8
    evenness: float = 2.0
    """Of the domains' sizes; small is uneven."""
    turns: int = 1
    """Requests in a conversation."""
    spread: float = 0.8
    """Standard deviation of the logarithm of an answer's length."""
    chatty: float = 1.0
    """A small model's answer length over the fallback's."""
    likeness: float = 0.6
    """Correlation of the two lengths."""
    escalated: float = 0.15
    tokens: float = 1.12
    """The fallback's tokens for the same prompt, over the small model's."""
    small: tuple[float, float] = (0.003, 0.05)
    """Joules of a prompt and an answer token."""
    fallback: tuple[float, float] = (0.18, 0.86)
    skill: float = 0.4
    """How much the router's score tells of the domain."""


WORLDS: Final = (
    World("plain"),
    World("chatty small models", chatty=2.2),
    World("terse small models", chatty=0.4),
    World("prompt tokens cost nothing", fallback=(0.0, 0.86)),
    World("prompt tokens cost most", fallback=(0.5, 0.2)),
    World("lengths tell nothing", likeness=0.0),
    World("lengths tell all", likeness=0.95),
    World("even answers", spread=0.4),
    World("uneven answers", spread=1.1),
    World("one domain", domains=1),
    World("three domains", domains=3),
    World("forty uneven domains", domains=40, evenness=0.6),
    World("two turns", turns=2, requests=40_000),
    World("four turns", turns=4, requests=60_000),
    World("many escalations", escalated=0.5, requests=50_000),
    World("no escalation", escalated=0.0),
    World("same tokenizer", tokens=1.0),
    World("other tokenizer", tokens=1.4),
    World("dear small models", small=(0.05, 0.6)),
    World("blind router", skill=0.0),
    World("little held back of much", requests=100_000, rate=0.0075),
    World("much held back of little", requests=14_000, rate=0.05),
)


@dataclass(frozen=True, slots=True)
class Run:
    """What a ledger would show of one period, and what it would not."""

    traffic: Traffic
    true_share: float
    same_tokens_share: float
    """The usual figure: the small answers' tokens at the fallback's rate, nothing else charged."""


def run(world: World, seed: int | Sequence[int]) -> Run:
    """One period of `world`; everything about it is drawn from `seed`."""
    rng = np.random.default_rng(seed)
    size = world.requests // world.turns * world.turns
    talk = np.repeat(np.arange(size // world.turns), world.turns)
    domain = rng.choice(world.domains, len(talk) // world.turns, p=_sizes(world, rng))[talk]
    prompt, small_tokens, fallback_tokens = _lengths(world, rng, domain, talk)
    ease = rng.uniform(0.2, 0.95, world.domains)[domain]
    tried = rng.random(size) < ease
    score = np.clip(0.5 + world.skill * (ease - 0.5) + 0.2 * rng.normal(size=size), 0, 1)
    escalated = tried & (rng.random(size) < world.escalated * (1.5 - score))
    held = (rng.random(size // world.turns) < world.rate)[talk]

    fallback = world.fallback[0] * prompt * world.tokens + world.fallback[1] * fallback_tokens
    small = world.small[0] * prompt + world.small[1] * small_tokens
    served = tried & ~escalated
    spent = _ROUTER_J + np.where(tried, small, 0) + np.where(~served | held, fallback, 0)
    unknown, shown = served & ~held, served & held
    points = np.stack([prompt, small_tokens], axis=1)
    traffic = Traffic(
        spent=np.array([spent.sum()]),
        known=np.array([fallback[~unknown].sum()]),
        rows=np.bincount(domain[unknown], minlength=world.domains).astype(float),
        sums=np.stack([np.bincount(domain[unknown], each, world.domains) for each in points[unknown].T], axis=1),
        held=Held(
            domain[shown], points[shown], fallback[shown, None], np.full(int(shown.sum()), world.rate), talk[shown]
        ),
    )
    naive = np.where(served, world.fallback[0] * prompt + world.fallback[1] * small_tokens, fallback)
    naively_spent = np.where(served, small, fallback)
    return Run(traffic, 1 - spent.sum() / fallback.sum(), 1 - naively_spent.sum() / naive.sum())


def _sizes(world: World, rng: np.random.Generator) -> Doubles:
    return rng.dirichlet(np.full(world.domains, world.evenness))


def _lengths(
    world: World, rng: np.random.Generator, domain: NDArray[np.intp], talk: NDArray[np.intp]
) -> tuple[Doubles, Doubles, Doubles]:
    """Prompt tokens, the small model's and the fallback's answer tokens, (n,) each."""
    size = len(domain)
    prompts, answers = rng.normal(5.5, 0.5, world.domains), rng.normal(5.2, 0.6, world.domains)
    mood = rng.normal(size=int(talk[-1]) + 1)[talk]
    own, other, detail = rng.normal(size=(3, size))
    alike = world.likeness * own + (1 - world.likeness**2) ** 0.5 * other
    prompt = np.exp(prompts[domain] + 0.3 * mood + 0.7 * detail)
    usual = answers[domain] + 0.2 * mood + 0.2 * detail
    small = np.minimum(np.exp(usual + world.spread * alike) * world.chatty, _LONGEST)
    return prompt, small, np.minimum(np.exp(usual + world.spread * own), _LONGEST)
