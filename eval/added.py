"""What a domain added with twenty examples takes over at once, and what that costs the others.

    python -m eval.added --data ../shared/data      writes eval/results/added.json

Twice: every expert of the default registry in turn, on requests as apps send them, each decided as a server does; and
eight intents of clinc150 beside fifty others of forty examples each, as a policy with a threshold decides. A cost is
the others' share of right answers before less that after. Beside both stands what the domain takes and costs once all
its examples are there, and by the likeliest domain alone, without thresholds. The twenty are drawn at random, and once
more as an owner would choose them: one of each kind of request. Intervals are over requests, drawn again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import drawn
from eval.drawn import Doubles
from eval.provenance import ROOT, origin
from eval.requests import read_requests
from eval.samples import read_labelled
from experts.policy import Policy
from experts.registry import load_registry
from experts.spec import Registry
from router.calibrate import Floats
from router.decide import decide
from router.encode import Encoder
from router.judge import Judge
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.fit import Lessons, examples_of, outside_of
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of
from router.prompt import request_text
from router.request import ChatRequest, Needs
from router.rule import Rule

RESULT: Final = ROOT / "eval/results/added.json"
DATA: Final = Path(os.environ.get("SHOAL_EVAL_DATA", ROOT.parent / "shared/data"))
CACHE: Final = ROOT / ".shoal/vectors"

ADDED: Final = 20
"""Examples a domain is added with."""

ROUNDS: Final = 30
"""Of k-means; more move nothing."""

THERE, NEW, TAUGHT = 50, 8, 40
"""Intents of clinc150 that are there, those added one at a time, and the examples of each."""

SURE: Final = 0.7
PLAIN: Final = Policy(threshold=SURE)
"""How requests of clinc150 are decided; the share of known ones that it is ready to send away is the usual one."""

Bools = NDArray[np.bool_]
Told = Mapping[str, tuple[str, list[str]]]
"""By expert, its label and its examples."""
Answered = Callable[[Judge], Bools]
"""Whether a judge is right about each of n requests, (2, n): the right expert answers, its domain is the likeliest."""


@dataclass(frozen=True)
class Asked:
    """Requests with vectors (n, d), surface numbers (n, f) and the label (n,) of who should answer each."""

    vectors: Floats
    features: Floats
    labels: NDArray[np.str_]

    @classmethod
    def of(cls, texts: Sequence[str], labels: Sequence[str], encoder: Encoder, cache: Path) -> Asked:
        """Encoded."""
        return cls(vectors_of(texts, encoder, cache), surfaces(texts), np.array(labels, np.str_))

    def answered(self, judge: Judge, right: Callable[[Judgement, int], bool]) -> Bools:
        """Whether what is chosen is `right`, and whether the likeliest domain is, (2, n)."""
        judged = [judge.judge(*each) for each in zip(self.vectors, self.features, strict=True)]
        chosen = [right(each, at) for at, each in enumerate(judged)]
        return np.array([chosen, [each.label == label for each, label in zip(judged, self.labels, strict=True)]])


def asked_of_registry(registry: Registry, encoder: Encoder, cache: Path) -> tuple[Asked, Answered]:
    """Our own requests that some expert should answer and the fallback can (no pictures), decided as a server does."""
    rows = [row for row in read_requests() if row.label is not None]
    needed = [Needs.of(ChatRequest(row.id, {"model": "auto", "messages": row.messages})) for row in rows]
    kept = [(row, needs) for row, needs in zip(rows, needed, strict=True) if "vision" not in needs.capabilities]
    texts, labels = [request_text(row.messages) for row, _ in kept], [str(row.label) for row, _ in kept]
    asked = Asked.of(texts, labels, encoder, cache)
    rule, ladder = Rule.of(registry.default_policy, registry.policies[registry.default_policy]), Ladder.of(registry)

    def right(judged: Judgement, at: int) -> bool:
        decision = decide(judged, ladder, rule, kept[at][1], lambda _: None)
        return decision.escalated_from is None and registry.expert(decision.expert).label == asked.labels[at]

    return asked, lambda judge: asked.answered(judge, right)


def answered_by_label(asked: Asked) -> Answered:
    """Requests decided by the likeliest label, its probability and how known they are, as `PLAIN` asks."""

    def right(judged: Judgement, at: int) -> bool:
        likely = judged.label == asked.labels[at] and judged.probability[asked.labels[at]] >= SURE
        return likely and judged.known >= PLAIN.out_of_domain

    return lambda judge: asked.answered(judge, right)


@dataclass(frozen=True)
class Newcomer:
    """An expert to be added to others, with its label and all its examples."""

    expert: str
    label: str
    examples: list[str]
    others: Told

    def beside(self, examples: Sequence[str]) -> Told:
        """The others, and it with some examples."""
        return {**self.others, self.expert: (self.label, list(examples))}

    def few(self, seed: int) -> list[str]:
        """So many of its examples as it is added with."""
        order = np.random.default_rng(seed).permutation(len(self.examples))
        return [self.examples[at] for at in order[:ADDED]]


Draw = Callable[[Newcomer, int], list[str]]
"""The few examples that a newcomer is added with, by a seed."""


def covering(encoder: Encoder, cache: Path) -> Draw:
    """One example of each kind: the middles of as many clusters (k-means on the sphere, from seeded examples)."""

    def draw(newcomer: Newcomer, seed: int) -> list[str]:
        vectors = vectors_of(newcomer.examples, encoder, cache)
        middles = vectors[np.random.default_rng(seed).permutation(len(vectors))[:ADDED]]
        for _ in range(ROUNDS):
            nearest = (vectors @ middles.T).argmax(axis=1)
            totals = np.stack([vectors[nearest == at].sum(axis=0) for at in range(len(middles))])
            middles = totals / np.maximum(np.linalg.norm(totals, axis=1, keepdims=True), 1e-9)
        return [newcomer.examples[at] for at in np.unique((vectors @ middles.T).argmax(axis=0))]

    return draw


@dataclass(frozen=True)
class Added:
    """Of c newcomers and n requests: whose they are (c, n), and how often a judge was right about them (c, 2, n)."""

    own: Bools
    theirs: Bools
    before: Doubles
    at_once: Doubles
    """The mean over the seeds."""
    later: Doubles

    def figures(self, which: slice = slice(None)) -> dict[str, Any]:
        """Shares with intervals, the mean over some of the newcomers."""
        told = {
            "taken": (self.at_once, self.own),
            "taken_later": (self.later, self.own),
            "cost": (self.before - self.at_once, self.theirs),
            "cost_later": (self.before - self.later, self.theirs),
        }
        kinds = {"": 0, "likeliest_": 1}
        return {
            f"{kind}{name}": _share(right[which, place], among[which])
            for kind, place in kinds.items()
            for name, (right, among) in told.items()
        }


def _share(right: Doubles, among: Bools) -> dict[str, float | None]:
    def mean(weights: Doubles) -> float:
        return float(np.mean((right * among) @ weights / np.maximum(among @ weights, 1e-12)))

    return drawn(mean, right.shape[1], 0).to_json()


def add(
    newcomers: Sequence[Newcomer],
    fit: Callable[[Told], Judge],
    asked: Asked,
    answered: Answered,
    seeds: Sequence[int],
    draw: Draw = Newcomer.few,
) -> Added:
    """Add every newcomer to its others: with few examples, drawn by every seed, and with all."""
    known: dict[tuple[str, ...], Bools] = {}
    rows = []
    for each in newcomers:
        if tuple(each.others) not in known:
            known[tuple(each.others)] = answered(fit(each.others))
        own, theirs = asked.labels == each.label, np.isin(asked.labels, [label for label, _ in each.others.values()])
        at_once = np.mean([answered(fit(each.beside(draw(each, seed)))) for seed in seeds], axis=0)
        later = answered(fit(each.beside(each.examples)))
        rows.append((own, theirs, known[tuple(each.others)].astype(float), at_once, later.astype(float)))
        print(f"{each.expert}: takes {at_once[0, own].mean():.3f}, later {later[0, own].mean():.3f}", flush=True)
    return Added(*(np.stack(part) for part in zip(*rows, strict=True)))


def experts_added(registry: Registry, encoder: Encoder, cache: Path) -> tuple[list[Newcomer], Callable[[Told], Judge]]:
    """Every expert of a registry in turn, and how a judge is fitted there."""
    every = {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}
    outside = outside_of(registry)
    newcomers = [
        Newcomer(expert, label, examples, {id: told for id, told in every.items() if id != expert})
        for expert, (label, examples) in every.items()
    ]
    return newcomers, lambda told: Lessons.of(told, outside, encoder, cache).fit([])


def intents_added(path: Path, encoder: Encoder, cache: Path) -> tuple[list[Newcomer], Callable[[Told], Judge], Asked]:
    """Intents of a labelled file, each to the same others, how a judge is fitted, and the requests of all of them."""
    rows: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for row in read_labelled(path):
        if row.label is not None:
            rows[row.label, row.split].append(row.input)
    labels = np.random.default_rng(0).permutation(sorted({label for label, _ in rows}))[: THERE + NEW].tolist()
    taught = {label: (label, rows[label, "train"][:TAUGHT]) for label in labels}
    there = {label: taught[label] for label in labels[:THERE]}
    newcomers = [Newcomer(label, *taught[label], there) for label in labels[THERE:]]
    texts = [(text, label) for label in labels for text in rows[label, "test"]]
    asked = Asked.of([text for text, _ in texts], [label for _, label in texts], encoder, cache)
    return newcomers, lambda told: Lessons.of(told, (), encoder, cache).fit([]), asked


def told(found: Added, newcomers: Sequence[Newcomer]) -> dict[str, Any]:
    """The figures of all newcomers together, and of each."""
    apart = {each.expert: found.figures(slice(at, at + 1)) for at, each in enumerate(newcomers)}
    return {"all": found.figures(), "newcomers": apart}


def main() -> None:
    """Measure both, print the figures and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of clinc150.jsonl.gz")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the few examples")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    registry, seeds = load_registry(ROOT / "registry.yaml", {}).registry, range(options.seeds)
    encoder = Encoder.of(registry.encoder)
    experts, fit = experts_added(registry, encoder, CACHE)
    requests, chosen = asked_of_registry(registry, encoder, CACHE), covering(encoder, CACHE)
    ours = told(add(experts, fit, *requests, seeds), experts)
    ours_chosen = told(add(experts, fit, *requests, seeds, chosen), experts)
    intents, fit, asked = intents_added(options.data / "clinc150.jsonl.gz", encoder, CACHE)
    public = told(add(intents, fit, asked, answered_by_label(asked), seeds), intents)
    measured = {"registry": ours, "registry_chosen": ours_chosen, "clinc150": public}
    for name, found in measured.items():
        for figure, each in found["all"].items():
            print(f"{name}, {figure}: {each['value']:.4f} ({each['low']:.4f} to {each['high']:.4f})")
    result = {**origin(), "encoder": encoder.fingerprint, "seeds": options.seeds, "added": ADDED}
    options.out.write_text(json.dumps({**result, **measured}, indent=1) + "\n")


if __name__ == "__main__":
    main()
