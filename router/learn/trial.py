"""What would change if the judge learnt from use: figures on what it has not seen, and which requests would move.

What requests that nobody scored bring is tried apart from what scores bring: where both together are refused and one of
them is not, the other is left out (ADR 0056).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from experts.progress import Stage
from experts.spec import Registry
from router.judge import Judge
from router.learn.evidence import Outcomes
from router.learn.fit import Lessons
from router.learn.harvest import Traffic
from router.learn.heldout import Comparison, HeldOut
from router.learn.moves import RECENT, moves
from router.learn.outside import OUTSIDE
from router.learn.surface import surfaces
from router.promises.promises import Promises

SCORES: Final = "scores"
UNSCORED: Final = "unscored"
"""What may be left out: what somebody scored, or what nobody did."""

_NONE: Final = np.arange(0)

Promise = Callable[[Judge, Promises | None], Promises]
"""What the registry's policies promise by a judge: by the one that serves, or by one in place of what serves."""

States = dict[str, dict[str, str | None]]


@dataclass(frozen=True, slots=True)
class Trial:
    """The whole comparison."""

    compared: Comparison
    asked: int
    """Recent requests looked at."""
    moved: Counter[tuple[str, str]]
    """How many of them would go from one expert to another."""
    examples: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By domain and `OUTSIDE`, how many of its examples would go elsewhere under the default policy, of how many."""
    left: Mapping[str, Counter[str]] = field(default_factory=dict)
    """By domain, its experts and how many of its examples would leave each of them for one of another domain; of
    `OUTSIDE`, how many would leave the fallback."""
    promised: tuple[States, States] = ({}, {})
    """Which policies' promises can be kept, before and after."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """`SCORES` or `UNSCORED`, where that is not learnt from, and what spoke against it."""

    @property
    def refusal(self) -> str | None:
        """Why it should not be applied; None when nothing speaks against it."""
        if (refused := self.compared.refusal) is not None:
            return refused
        if leaving := list(self._leaving()):
            return f"more than half of an expert's own examples would go to others: {', '.join(leaving)}"
        gone, of = self.left.get(OUTSIDE, Counter[str]()).total(), self.examples.get(OUTSIDE, (0, 0))[1]
        if gone > of / 2:
            return (
                f"more than half of what no expert should answer would go to one: {gone:,} of {of:,} ({gone / of:.0%})"
            )
        return None

    def _leaving(self) -> Iterator[str]:
        """Experts that would lose most of their domain's examples, and how many."""
        for label, left in self.left.items():
            if label == OUTSIDE:
                continue
            of = self.examples[label][1]
            for expert, count in left.items():
                if count > of / 2:
                    yield f"{expert} loses {count:,} of {of:,} ({count / of:.0%})"

    def to_json(self) -> dict[str, Any]:
        """As `shoal learn try --json` prints it."""
        moved = [{"from": a, "to": b, "requests": n} for (a, b), n in self.moved.most_common()]
        return {
            **self.compared.to_json(),
            "asked": self.asked,
            "moved": moved,
            "examples": [
                {"domain": label, "elsewhere": gone, "of": count} for label, (gone, count) in self.examples.items()
            ],
            "promises": {"before": self.promised[0], "after": self.promised[1]},
            "left_out": dict(self.left_out),
            "refusal": self.refusal,
        }


@dataclass(frozen=True, slots=True)
class Bench:
    """What a trial is made with, whatever is learnt in it."""

    registry: Registry
    lessons: Lessons
    named: list[Outcomes]
    """The registry's own outcomes."""
    serving: list[Outcomes]
    """The edition that serves, if any."""
    traffic: Traffic
    promise: Promise
    progress: Stage

    def attempt(self, fresh: Outcomes, whole: bool = False) -> Trial:
        """Compare the judge that serves with one fitted on `named` and on what of `fresh` nothing speaks against.

        `whole`: on all of it, come what may. Scores tell whether it got worse; where they are too few to, they are left
        out, and the examples tell of the rest, each judged without itself.
        """
        told, rest = fresh.of(self.lessons.experts), fresh.rest(self.lessons.experts)
        held = HeldOut(self.lessons, self.named, self.serving, told, self.progress)
        before = self.lessons.fit([*self.named, *self.serving])
        served = self.promise(before, None)

        def tried(scores: bool, unscored: bool) -> Trial:
            learnt, others = (part if used else part.take(_NONE) for part, used in ((told, scores), (rest, unscored)))
            return self._tried(held, (before, served), learnt, others)

        if whole or not (len(told) and len(rest)):
            return tried(True, True)
        if held.enough:
            return unspoilt(tried)
        if self._scored():
            return tried(True, True)
        return replace(tried(False, True), left_out={SCORES: held.compared(told, rest).refusal or ""})

    def _scored(self) -> bool:
        """Whether what serves holds scores, which would be forgotten with nothing to tell what that does."""
        return any(len(each.of(self.lessons.experts)) for each in self.serving)

    def _tried(self, held: HeldOut, serves: tuple[Judge, Promises], learnt: Outcomes, rest: Outcomes) -> Trial:
        """What learning from some scores and some requests that nobody scored would change."""
        self.progress("choosing", 0, 2)
        before, served = serves
        after = self.lessons.fit([*self.named, learnt, rest])
        self.progress("choosing", 1, 2)
        by_examples = not len(learnt) and not held.enough and self.lessons.texts
        compared = Comparison.of_examples(before, after) if by_examples else held.compared(learnt, rest)
        rules = served, self.promise(after, served)
        moved = moves(self.registry, (before, after), rules, self.traffic)
        examples, left = {}, {}
        for label, own in _by_domain(self.lessons):
            gone = moves(self.registry, (before, after), rules, own)
            examples[label] = gone.total(), len(own.policies)
            theirs = {expert for expert, domain in self.lessons.experts.items() if domain == label}
            left[label] = _left(gone, theirs if label != OUTSIDE else {self.registry.fallback})
        self.progress("choosing", 2, 2)
        asked = min(len(self.traffic.policies), RECENT)
        return Trial(compared, asked, moved, examples, left, (rules[0].states(), rules[1].states()))


def unspoilt(tried: Callable[[bool, bool], Trial]) -> Trial:
    """The first trial that nothing speaks against: of all, of scores alone, of what nobody scored alone; else of all.

    `tried` learns from scores or not, and from what nobody scored or not. Scores that would take an expert's examples
    away are not left out: whether that is right is for a person to say.
    """
    every = tried(True, True)
    if every.refusal is None:
        return every
    scores = tried(True, False)
    if scores.refusal is None:
        return replace(scores, left_out={UNSCORED: every.refusal})
    if scores.compared.worse and (rest := tried(False, True)).refusal is None:
        return replace(rest, left_out={SCORES: scores.refusal})
    return every


def _by_domain(lessons: Lessons) -> Iterator[tuple[str, Traffic]]:
    """Each domain with its examples as traffic of the default policy; of many, so many evenly."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(lessons.labels):
        rows[label].append(row)
    for label, every in rows.items():
        own = every[:: -(-len(every) // RECENT)]
        yield label, Traffic(lessons.vectors[own], surfaces([lessons.texts[row] for row in own]), ("",) * len(own))


def _left(moved: Counter[tuple[str, str]], own: set[str]) -> Counter[str]:
    """Of a domain's examples, how many leave each of its own experts for one that is not."""
    left: Counter[str] = Counter()
    for (one, other), count in moved.items():
        if one in own and other not in own:
            left[one] += count
    return left
