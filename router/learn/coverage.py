"""What an expert's own examples say of how many of its requests it would be given, each judged without itself.

Whoever adds an expert sees at once that its examples do not tell its requests from others', and which of them stand
alone. Among domains it foretells who will be sent much and who little, within some ten points of a hundred; two lots of
examples of one domain it does not tell apart, for requests may lie closer to them than they to each other. ADR 0053.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from experts.spec import Registry
from router.judge import Judge
from router.judgement import Beliefs, Judgement
from router.ladder import Ladder
from router.learn.moves import chosen
from router.rule import Rule

NAMED: Final = 3
"""Examples that are named, those that are the least its own first."""

SHOWN: Final = 60
"""Characters of an example that are shown in a line."""

NOBODY: Final = "nobody"
"""Stands for no expert."""

TOLD: Final = 400
"""Characters of an example that are told to a machine; an example may be a million."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of so many `examples` judged without themselves, how many it would answer, and who the others."""

    examples: int
    answered: int
    elsewhere: Mapping[str, int]
    """By expert, the most first."""
    alone: tuple[str, ...]
    """Some of those that would go elsewhere, the least its own first."""
    likeliest: Mapping[str, int]
    """Of those that would go elsewhere, for how many each expert is the likeliest, the most first: the expert itself
    where it is not sure enough, `NOBODY` where most likely none should answer."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "examples": self.examples,
            "answered": self.answered,
            "elsewhere": dict(self.elsewhere),
            "alone": [_cut(text, TOLD) for text in self.alone],
            "likeliest": dict(self.likeliest),
        }

    def told(self, expert: str) -> str:
        """In words; `expert` is whose examples they are."""
        found = f"of {self.examples} examples, each judged without itself, {self.answered} would be sent to it"
        if not self.elsewhere:
            return found
        others = ", ".join(f"{count} to {other}" for other, count in self.elsewhere.items())
        named = ", ".join(repr(_cut(text, SHOWN)) for text in self.alone)
        return (
            f"{found}, {others} (such as {named}); expect about the same shares of its requests. "
            f"Of the others {self._why(expert)}. Remedy: more examples, as varied as the requests to come"
        )

    def _why(self, expert: str) -> str:
        """Whether others are likelier than the expert, or it is not sure enough."""
        counts = dict(self.likeliest)
        unsure, nobody = counts.pop(expert, 0), counts.pop(NOBODY, 0)
        why = [f"it is the likeliest expert for {unsure}, but not sure enough"] if unsure else []
        why += [f"{other} is the likeliest for {count}" for other, count in counts.items()]
        return "; ".join([*why, f"most likely nobody should answer {nobody}"] if nobody else why)


def coverage(expert: str, judge: Judge, registry: Registry, rule: Rule) -> Coverage:
    """How a `rule` decides on an expert's examples as they were judged without themselves; no requests are needed."""
    told, (vectors, labels) = judge.left_out()[0], judge.known()
    own = np.flatnonzero(labels[told.rows] == registry.expert(expert).label)
    columns = {name: at for at, name in enumerate(judge.classes_.tolist())}
    own = own[np.argsort(told.probability[own, columns[expert]], kind="stable")] if expert in columns else own[:0]
    ladder, gone, likeliest, alone = Ladder.of(registry), Counter[str](), Counter[str](), []
    for row in own:
        judged = Judgement(None, Beliefs(columns, told.probability[row]), float(told.known[row]), 0.0)
        who = chosen(ladder, judged, rule)
        if who != expert:
            gone[who] += 1
            likeliest[_likeliest(judged.probability, who)] += 1
            alone.append(judge.nearest(vectors[told.rows[row]], 1)[0].text)
    return Coverage(
        len(own), len(own) - gone.total(), dict(gone.most_common()), tuple(alone[:NAMED]), dict(likeliest.most_common())
    )


def _likeliest(probability: Mapping[str, float], who: str) -> str:
    """The expert that most likely should answer, of equals `who` does (they may share a domain); or `NOBODY`."""
    if sum(probability.values()) <= 0.5:
        return NOBODY
    best = max(probability, key=probability.__getitem__)
    return who if probability.get(who) == probability[best] else best


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"
