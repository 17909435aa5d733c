"""Made-up traffic in which the truth is known: what the fallback would have taken for every single request.

A world says how long prompts and answers are, how they differ between models, how the router chooses and errs, and
how requests hang together. The estimator of savings sees of it what a ledger would show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from router.meter.doubt import TABLE_SPREAD
from router.meter.savings import Held, Traffic
from router.meter.verified import MODELLED_SPREAD

Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]
Truths = NDArray[np.bool_]


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
    """Requests in a conversation; where these are `uneven`, in the longest."""
    uneven: float | None = None
    """Of conversations of one request and more, the exponent of Zipf's law of how many have so many; None where all
    have `turns`."""
    wanders: bool = False
    """Whether each request of a conversation is of a domain of its own."""
    mood: float = 0.2
    """How much the answers of one conversation have in common: of the logarithm of their length."""
    spread: float = 0.8
    """Standard deviation of the logarithm of an answer's length."""
    longest: int = 4096
    """Tokens at which an answer is cut off."""
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
    router_j: float = 0.2
    """What judging one request takes."""
    changed: tuple[float, float, float] | None = None
    """Joules of a prompt and an answer token of a second fallback, and the share of requests, the last, it serves."""
    undrawn: float = 0.0
    """Share of requests, those of busy hours, of which nobody was drawn: the fallback's answers to them are twice as
    long, and the figure is of the others."""
    doubt: tuple[float, float, float] | None = None
    """Of the logarithms of the small model's, the fallback's and the router's coefficients: a ledger shows joules by
    the usual ones, the truth is by others."""


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
    World("four turns of several domains", turns=4, wanders=True, mood=0.5, requests=70_000),
    World("one to fifty turns", turns=50, uneven=2.0, mood=0.5, requests=160_000, rate=0.05),
    World("many escalations", escalated=0.5, requests=50_000),
    World("no escalation", escalated=0.0),
    World("same tokenizer", tokens=1.0),
    World("other tokenizer", tokens=1.4),
    World("dear small models", small=(0.05, 0.6)),
    World("blind router", skill=0.0),
    World("little held back of much", requests=100_000, rate=0.0075),
    World("much held back of little", requests=14_000, rate=0.05),
    World("a fallback changed midway", requests=80_000, changed=(0.05, 0.3, 0.4)),
    World("a fallback changed near the end", requests=120_000, changed=(0.5, 3.0, 0.25)),
    World("nobody drawn in busy hours", requests=60_000, undrawn=0.5),
    World("dear router, nothing certain", router_j=40.0, doubt=(TABLE_SPREAD, TABLE_SPREAD, MODELLED_SPREAD)),
    World("nothing certain", doubt=(TABLE_SPREAD, TABLE_SPREAD, MODELLED_SPREAD)),
)

Of = Literal["key", "domain"]

GROUPS: Final[tuple[tuple[World, Of], ...]] = (
    (World("plain", requests=75_000), "key"),
    (World("chatty small models", chatty=2.2, requests=75_000), "key"),
    (World("uneven answers", spread=1.1, requests=75_000), "key"),
    (World("forty uneven domains", domains=40, evenness=0.6, requests=75_000), "key"),
    (World("four turns", turns=4, requests=150_000), "key"),
    (World("many escalations", escalated=0.5, requests=125_000), "key"),
    (World("plain", requests=100_000), "domain"),
    (World("chatty small models", chatty=2.2, requests=100_000), "domain"),
)
"""Worlds with requests enough for an estimate of each key's or domain's by itself."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a ledger would show of one period, and what it would not."""

    segments: tuple[Traffic, ...]
    """One for each fallback."""
    spent_j: dict[str, float]
    """By coefficient; the fallback's is "fallback"."""
    true_share: float
    """By the coefficients the ledger used."""
    real_share: float
    """By those that were right."""
    same_tokens_share: float
    """The usual figure: the small answers' tokens at the fallback's rate, nothing else charged."""


@dataclass(frozen=True, slots=True)
class Requests:
    """All of a period's, served and asked again of the fallback; (n,) each."""

    domain: Indices
    talk: Indices
    points: Doubles
    """(n, 2): prompt and answer tokens of the small model."""
    asked: Doubles
    """(n, 2): those of the fallback."""
    tried: Truths
    served: Truths
    """By the small model."""
    held: Truths
    busy: Truths
    """Came when nobody was drawn."""
    small: Doubles
    """Joules at the small model."""
    fallback: Doubles
    same_tokens: Doubles
    """Joules of the small model's tokens at the fallback's rate."""

    @property
    def spent(self) -> Doubles:
        """By small model and fallback, router apart."""
        return np.where(self.tried, self.small, 0) + np.where(~self.served | self.held, self.fallback, 0)


def run(world: World, seed: int | Sequence[int]) -> Run:
    """One period of `world`; everything about it is drawn from `seed`."""
    rng = np.random.default_rng(seed)
    drawn = requests(world, rng)
    return _shown(world, drawn, ~drawn.busy, np.exp(rng.normal(size=3) * (world.doubt or (0.0, 0.0, 0.0))))


def run_by(world: World, of: Of, seed: Sequence[int]) -> list[Run]:
    """As `run`, each of its keys or domains by itself. Domains use one of two keys more than the other."""
    drawn = requests(world, np.random.default_rng(seed))
    group = drawn.domain if of == "domain" else _keys(world, drawn, np.random.default_rng([*seed, 1]))
    return [_shown(world, drawn, ~drawn.busy & (group == each), np.ones(3)) for each in np.unique(group)]


def _keys(world: World, drawn: Requests, rng: np.random.Generator) -> Indices:
    """Which of two keys (n,) a request came with: one for all of a conversation, by what its first is about."""
    talks, first = np.unique(drawn.talk, return_index=True)
    inclined = rng.uniform(0.2, 0.8, world.domains)[drawn.domain[first]]
    return (rng.random(len(talks)) < inclined)[drawn.talk].astype(np.intp)


def _shown(world: World, drawn: Requests, counted: Truths, errors: Doubles) -> Run:
    """What a ledger would show of the requests that are `counted` (n,), true coefficients being `errors` as large."""
    size = len(drawn.domain)
    later = np.arange(size) >= size * (1 - world.changed[2]) if world.changed else np.zeros(size, bool)
    segments = tuple(_traffic(world, drawn, here) for here in (counted & ~later, counted & later) if here.any())
    spent_j = {
        "small": drawn.small[drawn.tried & counted].sum(),
        "fallback": drawn.fallback[(~drawn.served | drawn.held) & counted].sum(),
        "router": counted.sum() * world.router_j,
    }
    truly_spent = np.array(list(spent_j.values())) @ errors
    naive = np.where(drawn.served, drawn.same_tokens, drawn.fallback)[counted]
    naively_spent = np.where(drawn.served, drawn.small, drawn.fallback)[counted]
    alone = drawn.fallback[counted].sum()
    return Run(
        segments,
        spent_j,
        true_share=float(1 - sum(spent_j.values()) / alone),
        real_share=float(1 - truly_spent / (errors[1] * alone)),
        same_tokens_share=float(1 - naively_spent.sum() / naive.sum()),
    )


def requests(world: World, rng: np.random.Generator) -> Requests:
    """Those of one period."""
    talk = _talks(world, rng)
    size, talks = len(talk), int(talk[-1]) + 1
    domain = rng.choice(world.domains, size if world.wanders else talks, p=_sizes(world, rng))
    domain = domain if world.wanders else domain[talk]
    prompt, small_tokens, fallback_tokens = _lengths(world, rng, domain, talk)
    ease = rng.uniform(0.2, 0.95, world.domains)[domain]
    tried = rng.random(size) < ease
    score = np.clip(0.5 + world.skill * (ease - 0.5) + 0.2 * rng.normal(size=size), 0, 1)
    escalated = tried & (rng.random(size) < world.escalated * (1.5 - score))
    busy = rng.random(size) < world.undrawn
    fallback_tokens = np.where(busy, 2 * fallback_tokens, fallback_tokens)
    held = (rng.random(talks) < world.rate)[talk] & ~busy
    per_prompt, per_answer = (np.full(size, each) for each in world.fallback)
    if world.changed:
        later = np.arange(size) >= size * (1 - world.changed[2])
        per_prompt, per_answer = np.where(later, [[world.changed[0]], [world.changed[1]]], [per_prompt, per_answer])
    return Requests(
        domain=domain,
        talk=talk,
        points=np.stack([prompt, small_tokens], axis=1),
        asked=np.stack([prompt * world.tokens, fallback_tokens], axis=1),
        tried=tried,
        served=tried & ~escalated,
        held=held,
        busy=busy,
        small=world.small[0] * prompt + world.small[1] * small_tokens,
        fallback=per_prompt * prompt * world.tokens + per_answer * fallback_tokens,
        same_tokens=per_prompt * prompt + per_answer * small_tokens,
    )


def _traffic(world: World, drawn: Requests, here: Truths) -> Traffic:
    """What the ledger shows of some of them."""
    unknown, shown = here & drawn.served & ~drawn.held, here & drawn.served & drawn.held
    domain = drawn.domain[unknown]
    sums = [np.bincount(domain, each, world.domains) for each in drawn.points[unknown].T]
    return Traffic(
        spent=np.array([drawn.spent[here].sum() + here.sum() * world.router_j]),
        known=np.array([drawn.fallback[here & ~unknown].sum()]),
        rows=np.bincount(domain, minlength=world.domains).astype(float),
        sums=np.stack(sums, axis=1),
        held=Held(
            drawn.domain[shown],
            drawn.points[shown],
            drawn.fallback[shown, None],
            np.full(int(shown.sum()), world.rate),
            drawn.talk[shown],
        ),
    )


def _talks(world: World, rng: np.random.Generator) -> Indices:
    """Which conversation (n,) a request is of; those of one follow each other."""
    if world.uneven is None:
        return np.repeat(np.arange(world.requests // world.turns), world.turns)
    lengths = np.minimum(rng.zipf(world.uneven, world.requests), world.turns)
    return np.repeat(np.arange(len(lengths)), lengths)[: world.requests]


def _sizes(world: World, rng: np.random.Generator) -> Doubles:
    return rng.dirichlet(np.full(world.domains, world.evenness))


def _lengths(
    world: World, rng: np.random.Generator, domain: Indices, talk: Indices
) -> tuple[Doubles, Doubles, Doubles]:
    """Prompt tokens, the small model's and the fallback's answer tokens, (n,) each."""
    size = len(domain)
    prompts, answers = rng.normal(5.5, 0.5, world.domains), rng.normal(5.2, 0.6, world.domains)
    mood = rng.normal(size=int(talk[-1]) + 1)[talk]
    own, other, detail = rng.normal(size=(3, size))
    alike = world.likeness * own + (1 - world.likeness**2) ** 0.5 * other
    prompt = np.exp(prompts[domain] + 0.3 * mood + 0.7 * detail)
    usual = answers[domain] + world.mood * mood + 0.2 * detail
    small = np.minimum(np.exp(usual + world.spread * alike) * world.chatty, world.longest)
    return prompt, small, np.minimum(np.exp(usual + world.spread * own), world.longest)
