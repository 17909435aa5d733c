"""Which requests another judge sends elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import Final

from experts.spec import Registry
from router.decide import NobodyCan, decide
from router.judge import Judge
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.harvest import Traffic
from router.promises.promises import Promises
from router.request import Needs
from router.rule import Rule

RECENT: Final = 1000
"""Requests whose choice is looked at, and of each domain so many examples."""

_NO_NEEDS: Final = Needs({}, 0, 0)


def moves(
    registry: Registry, judges: tuple[Judge, Judge], promises: tuple[Promises, Promises], traffic: Traffic
) -> Counter[tuple[str, str]]:
    """How many of the recent requests one judge sends elsewhere than the other, every expert taken to be ready."""
    moved: Counter[tuple[str, str]] = Counter()
    ladder = Ladder.of(registry)
    for vector, features, asked in list(zip(traffic.vectors, traffic.features, traffic.policies, strict=True))[:RECENT]:
        policy = asked if asked in registry.policies else registry.default_policy
        one, other = (
            chosen(ladder, judge.judge_anew(vector, features), kept.rule(policy))
            for judge, kept in zip(judges, promises, strict=True)
        )
        if one != other:
            moved[one, other] += 1
    return moved


def chosen(ladder: Ladder, judgement: Judgement, rule: Rule) -> str:
    """Who answers by a judgement, every expert taken to be ready."""
    try:
        return decide(judgement, ladder, rule, _NO_NEEDS, lambda _: None).expert
    except NobodyCan:
        return ladder.registry.fallback
