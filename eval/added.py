"""What a domain added with twenty examples takes over at once, and what that costs the others.

    python -m eval.added --data ../shared/data      writes eval/results/added.json

Three times (eval/newcomers.py): domains of public data that no expert of the default registry knows, one at a time and
three together, and every expert of the registry in turn, on requests as apps send them, each decided as a server does;
and eight intents of clinc150 beside fifty others of forty examples each, as a policy with a threshold decides. A cost
is the others' share of right answers before less that after. Beside all stands what the domain takes and costs once all
its examples are there, and by the likeliest domain alone, without thresholds. The twenty are drawn at random, and for
experts of the registry once more as an owner would choose them: one of each kind of request. And both once more where
`shoal learn` has learnt from requests that nobody scored (`_used`): our validation half and validation rows of public
data; only test rows are counted then. Intervals are over requests, drawn again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from eval.bootstrap import drawn
from eval.drawn import Doubles
from eval.newcomers import (
    ADDED,
    Draw,
    Newcomer,
    Told,
    covering,
    experts_added,
    intents_added,
    joined,
    strangers_added,
    together,
)
from eval.provenance import ROOT, origin
from eval.requests import read_requests
from experts.policy import Policy
from experts.registry import load_registry
from experts.spec import Registry
from router.calibrate import Floats
from router.decide import decide
from router.encode import Encoder
from router.judge import Judge
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.evidence import unscored
from router.learn.fit import Lessons, outside_of
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of
from router.prompt import request_text
from router.request import ChatRequest, Needs
from router.rule import Rule

RESULT: Final = ROOT / "eval/results/added.json"
DATA: Final = Path(os.environ.get("SHOAL_EVAL_DATA", ROOT.parent / "shared/data"))
CACHE: Final = ROOT / ".shoal/vectors"

SURE: Final = 0.7
PLAIN: Final = Policy(threshold=SURE)
"""How requests of clinc150 are decided; the share of known ones that it is ready to send away is the usual one."""

FEW: Final = 3
"""Newcomers that are added together."""

Bools = NDArray[np.bool_]
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


def asked_of_registry(
    registry: Registry,
    encoder: Encoder,
    cache: Path,
    more: Sequence[tuple[str, str]] = (),
    splits: Sequence[str] = ("validation", "test"),
) -> tuple[Asked, Answered]:
    """Our own requests that some expert should answer and the fallback can (no pictures), decided as a server does.

    And `more`, texts with the label of who should answer each.
    """
    rows = [(row.messages, row.label) for row in read_requests() if row.label is not None and row.split in splits]
    rows += [([{"role": "user", "content": text}], label) for text, label in more]
    needed = [Needs.of(ChatRequest("", {"model": "auto", "messages": messages})) for messages, _ in rows]
    kept = [(*row, needs) for row, needs in zip(rows, needed, strict=True) if "vision" not in needs.capabilities]
    texts, labels = [request_text(messages) for messages, _, _ in kept], [label for _, label, _ in kept]
    asked = Asked.of(texts, labels, encoder, cache)
    rule, ladder = Rule.of(registry.default_policy, registry.policies[registry.default_policy]), Ladder.of(registry)

    def right(judged: Judgement, at: int) -> bool:
        decision = decide(judged, ladder, rule, kept[at][2], lambda _: None)
        return decision.escalated_from is None and registry.expert(decision.expert).label == asked.labels[at]

    return asked, lambda judge: asked.answered(judge, right)


def answered_by_label(asked: Asked) -> Answered:
    """Requests decided by the likeliest label, its probability and how known they are, as `PLAIN` asks."""

    def right(judged: Judgement, at: int) -> bool:
        likely = judged.label == asked.labels[at] and judged.probability[asked.labels[at]] >= SURE
        return likely and judged.known >= PLAIN.out_of_domain

    return lambda judge: asked.answered(judge, right)


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


def judges(
    outside: Sequence[str], encoder: Encoder, cache: Path, before: Sequence[str] = ()
) -> Callable[[Told], Judge]:
    """How a judge is fitted on experts' examples, on what nobody should answer, and on what was asked `before`."""
    learnt = [unscored(vectors_of(before, encoder, cache), surfaces(before))] if before else []
    return lambda told: Lessons.of(told, outside, encoder, cache).fit(learnt)


def asked_before(more: Sequence[str] = ()) -> list[str]:
    """Our own validation requests, of every expert and of none, and `more`: nobody says whose they are."""
    return [text for row in read_requests() if row.split == "validation" and (text := request_text(row.messages))] + [
        *more
    ]


def add(
    groups: Sequence[tuple[Newcomer, ...]],
    fit: Callable[[Told], Judge],
    asked: Asked,
    answered: Answered,
    seeds: Sequence[int],
    draw: Draw = Newcomer.few,
) -> Added:
    """Add every group of newcomers, most often one, to its others: with few examples, drawn by every seed, and all."""
    known: dict[tuple[str, ...], Bools] = {}
    rows = []
    for group in groups:
        others = group[0].others
        if tuple(others) not in known:
            known[tuple(others)] = answered(fit(others))
        own = np.isin(asked.labels, [each.label for each in group])
        theirs = np.isin(asked.labels, [label for label, _ in others.values()])
        few = [{each.expert: (each.label, draw(each, seed)) for each in group} for seed in seeds]
        at_once = np.mean([answered(fit({**others, **each})) for each in few], axis=0)
        later = answered(fit({**others, **{each.expert: (each.label, each.examples) for each in group}}))
        rows.append((own, theirs, known[tuple(others)].astype(float), at_once, later.astype(float)))
        print(f"{_named(group)}: takes {at_once[0, own].mean():.3f}, later {later[0, own].mean():.3f}", flush=True)
    return Added(*(np.stack(part) for part in zip(*rows, strict=True)))


def _named(group: tuple[Newcomer, ...]) -> str:
    return " + ".join(each.expert for each in group)


def told(found: Added, groups: Sequence[tuple[Newcomer, ...]]) -> dict[str, Any]:
    """The figures of all groups of newcomers together, and of each."""
    apart = {_named(group): found.figures(slice(at, at + 1)) for at, group in enumerate(groups)}
    return {"all": found.figures(), "newcomers": apart}


def measured(data: Path, registry: Registry, seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """All that the record tells, by what is added and how."""
    encoder = Encoder.of(registry.encoder)
    strangers, more, before = strangers_added(registry, data)
    experts = [(each,) for each in experts_added(registry)]
    newest, texts = intents_added(data / "clinc150.jsonl.gz")
    outside, both = outside_of(registry), joined(registry, strangers)
    fit, plain = judges(outside, encoder, CACHE), judges((), encoder, CACHE)
    used, seen = (judges(outside, encoder, CACHE, asked_before(texts)) for texts in (before, ()))
    theirs, ours = asked_of_registry(both, encoder, CACHE, more), asked_of_registry(registry, encoder, CACHE)
    theirs_test = asked_of_registry(both, encoder, CACHE, more, ("test",))
    ours_test = asked_of_registry(registry, encoder, CACHE, (), ("test",))
    asked = Asked.of([text for text, _ in texts], [label for _, label in texts], encoder, CACHE)
    chosen, public = covering(encoder, CACHE), (plain, asked, answered_by_label(asked))
    one, three, intents = [(each,) for each in strangers], together(strangers, FEW), [(each,) for each in newest]
    return {
        "strangers": told(add(one, fit, *theirs, seeds), one),
        "strangers_used": told(add(one, used, *theirs_test, seeds), one),
        "strangers_together": told(add(three, fit, *theirs, seeds), three),
        "registry": told(add(experts, fit, *ours, seeds), experts),
        "registry_used": told(add(experts, seen, *ours_test, seeds), experts),
        "registry_chosen": told(add(experts, fit, *ours, seeds, chosen), experts),
        "clinc150": told(add(intents, *public, seeds), intents),
    }


def main() -> None:
    """Measure all, print the figures and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of the public data")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the few examples")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    found = measured(options.data, registry, range(options.seeds))
    for name, each in found.items():
        for figure, said in each["all"].items():
            print(f"{name}, {figure}: {said['value']:.4f} ({said['low']:.4f} to {said['high']:.4f})")
    result = {
        **origin(),
        "encoder": Encoder.of(registry.encoder).fingerprint,
        "seeds": options.seeds,
        "added": ADDED,
        "together": FEW,
    }
    options.out.write_text(json.dumps({**result, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
