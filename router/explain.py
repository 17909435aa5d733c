"""Why a request went where it went: what is believed and why, what is near, and what would have changed it. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from experts.policy import Policy
from router.calibrate import LOOKS
from router.decide import Candidate, Decision, otherwise, rank, smallest
from router.ladder import Ladder
from router.learn.certify import LITTLE
from router.meter.units import plain
from router.pipeline import Choice
from router.promises.another import Another
from router.promises.budget import FARTHEST
from router.request import Needs
from router.rule import Rule, threshold_told

NEAREST: Final = 5

FLIPS: Final = 3
"""Other choices that are told of, those that the least change leads to."""

_STEPS: Final = 10_000
"""Policies are told to four digits."""

_FINE: Final = 1_000_000
"""Probabilities that are close are told apart by six."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of policy that sends the request elsewhere; None is left as it is."""

    expert: str
    threshold: float | None
    out_of_domain: float | None
    size: float
    """Of the change, both numbers together."""

    def to_json(self) -> dict[str, Any]:
        """As in the answer of /v1/route."""
        changes = {"threshold": self.threshold, "out_of_domain": self.out_of_domain}
        return {"expert": self.expert, **{name: value for name, value in changes.items() if value is not None}}


Leading = Callable[[Flip], tuple[Policy, Rule] | None]
"""From a flip to the policy with another promise that has the same effect, and how that decides."""


def explain(choice: Choice) -> dict[str, Any]:
    """The answer of /v1/route and of `shoal route --json`."""
    found: dict[str, Any] = {"decision": choice.decision.to_json(), "nearest": [], "would_change": would_change(choice)}
    if choice.vector is None or choice.features is None or choice.judgement is None or choice.rule is None:
        return found
    if not choice.text:  # what is near to nothing, or how it looks, says nothing
        return found
    judge = choice.snapshot.judge
    found["nearest"] = [
        {"input": near.text, "label": near.label, "similarity": round(near.similarity, 4)}
        for near in judge.nearest(choice.vector, NEAREST)
        if choice.snapshot.tells(near.label)
    ]
    seen = judge.reasons(choice.vector, choice.features)
    weighed = {candidate.expert for candidate in choice.decision.candidates}
    found["moved_by"] = {
        expert: {part: round(value, 4) for part, value in moved.items()}
        for expert, moved in seen.moved.items()
        if expert in weighed
    }
    found["out_of_domain"] = {
        "known": round(choice.judgement.known, 4),
        "threshold": choice.rule.out_of_domain,
        "refused": choice.judgement.known < choice.rule.out_of_domain,
        "outside": round(choice.judgement.outside, 4),
        "looks": {name: round(value, 3) for name, value in zip(LOOKS, seen.looks, strict=False)},
    }
    found["smallest"] = choice.snapshot.ladder.to_json()
    found["flips"] = [flip.to_json() for flip in _flips(choice, choice.rule)]
    return found


def _flips(choice: Choice, rule: Rule) -> list[Flip]:
    return flips(choice.decision, rule, choice.snapshot.ladder, choice.needs)


def flips(decision: Decision, rule: Rule, ladder: Ladder, needs: Needs) -> list[Flip]:
    """The least changes of policy that send the request to another expert, each tried by the rule that decides."""
    if decision.threshold is None or decision.known is None:
        return []
    best: dict[str, Flip] = {}
    rest = otherwise(decision.candidates, ladder, needs)
    for flip in _tried(decision, decision.threshold, rule, decision.known, ladder, rest):
        if flip.expert not in best or flip.size < best[flip.expert].size:
            best[flip.expert] = flip
    return sorted(best.values(), key=lambda flip: flip.size)[:FLIPS]


def _tried(
    decision: Decision, threshold: float, rule: Rule, known: float, ladder: Ladder, rest: str | None
) -> Iterator[Flip]:
    """`rest` answers where nobody is sure enough; None where nobody would, which is no choice to tell of."""
    thresholds = (threshold, *_thresholds(decision, rule, ladder))
    for limit in _either_side(known, rule.out_of_domain):
        for least in thresholds:
            chosen = smallest(decision.candidates, rule, least, ladder) if known >= limit else None
            expert = chosen.expert if chosen else rest
            if expert is not None and expert != decision.expert:
                by = abs(least - threshold) + abs(limit - rule.out_of_domain)
                yield Flip(
                    expert,
                    None if least == threshold else least,
                    None if limit == rule.out_of_domain else limit,
                    by,
                )


def _thresholds(decision: Decision, rule: Rule, ladder: Ladder) -> Iterator[float]:
    """Just low enough for each candidate that makes a difference, and just too high; finer where several are close."""
    lowest = Counter(_around(candidate.probability)[0] for candidate in decision.candidates)
    for candidate in _turning(decision, rule, ladder):
        coarse = _around(candidate.probability)
        near = _around(candidate.probability, _FINE) if lowest[coarse[0]] > 1 else ()
        yield from (value for value in (*coarse, *near) if value <= 1)


def _turning(decision: Decision, rule: Rule, ladder: Ladder) -> Iterator[Candidate]:
    """Those that take over as a threshold goes down: of hundreds of experts a few, and only they are worth trying."""
    best: Candidate | None = None
    for candidate in decision.candidates:  # most probable first
        able = rule.exact or candidate.obstacle is None
        if able and (best is None or rank(candidate, ladder) < rank(best, ladder)):
            best = candidate
            yield candidate


def _either_side(known: float, limit: float) -> tuple[float, float]:
    """The limit as it is, and the nearest one that would have judged the other way."""
    under, over = _around(known)
    return limit, under if known < limit else min(over, 1.0)


def _around(value: float, steps: int = _STEPS) -> tuple[float, float]:
    """The numbers of so many steps that `value` lies between, the first of them perhaps itself."""
    at = math.floor(value * steps + 1e-9)
    return at / steps, (at + 1) / steps


def would_change(choice: Choice) -> list[str]:
    """The least changes of policy that would have sent the request elsewhere, in words."""
    if choice.rule is None or choice.judgement is None:
        return ["The request named who shall answer; ask for `auto` to have it routed."]
    if not choice.text:
        return ["none, whatever the policy the fallback answers"]
    if choice.decision.threshold is None:
        return [f"a promise that can be kept; {choice.rule.refused}"]
    found = _flips(choice, choice.rule)
    policy = choice.snapshot.registry.policies[choice.rule.policy]
    decision, ladder, another = choice.decision, choice.snapshot.ladder, choice.snapshot.promises.another
    rest = otherwise(decision.candidates, ladder, choice.needs)
    leading = partial(leads, decision=decision, another=another, ladder=ladder, rest=rest)
    told = [in_words(flip, decision, choice.rule, policy, leading) for flip in found]
    return told or [f"none: {_why_none(choice.decision)}"]


def _why_none(decision: Decision) -> str:
    """Why no change of policy sends the request elsewhere."""
    others = [candidate for candidate in decision.candidates if candidate.expert != decision.expert]
    if not others:
        return f"no other expert than {decision.expert} was weighed, for none has examples or outcomes to be judged by"
    hindered = [f"{candidate.expert} {candidate.obstacle}" for candidate in others if candidate.obstacle is not None]
    return "; ".join(hindered) or "no threshold leaves it to another expert"


def in_words(flip: Flip, decision: Decision, rule: Rule, policy: Policy, leading: Leading) -> str:
    """A flip; of a policy that names no threshold, by the promise that leads there, or by naming one instead.

    Such a threshold is found anew where `out_of_domain` changes: which one that is, is not tried.
    """
    changes, threshold = [], decision.threshold or 0.0
    if flip.out_of_domain is not None:
        changes.append(_change("out_of_domain", flip.out_of_domain, rule.out_of_domain))
    if flip.threshold is not None:
        if policy.threshold is not None:
            changes.append(_change("threshold", flip.threshold, threshold))
        else:
            changes.append(_promised(flip, flip.threshold, decision, rule, policy, leading))
    found_anew = flip.threshold is None and policy.threshold is None
    return f"{' and '.join(changes)}{', if its threshold stays as it is' if found_anew else ''}: {flip.expert}"


def _promised(flip: Flip, to: float, decision: Decision, rule: Rule, policy: Policy, leading: Leading) -> str:
    """A change of a threshold that follows from a promise, as the promise that has it, where one has."""
    stricter, base, beyond = to > (decision.threshold or 0.0), 0.0, ""
    if rule.beyond is not None:
        base = next((c.probability for c in decision.candidates if c.expert == rule.beyond), 1.0)
        beyond = f", added to P({rule.beyond}) {base:.4g}"
    laxest = -LITTLE if rule.beyond else FARTHEST["examples"] if policy.max_risk is None else 1 - LITTLE
    named = f"a plain threshold at {plain(to, 6)} or {'more' if stricter else 'less'}"
    if not stricter and to - base < laxest:
        return f"{named} (no {policy.aim} puts one below {laxest:g}{beyond})"
    found = leading(flip) if flip.out_of_domain is None else None
    if found is None:
        return f"{named} (no {policy.aim} leads there)" if flip.out_of_domain is None else named
    told = _change(policy.aim, float(getattr(found[0], policy.aim)), float(getattr(policy, policy.aim)))
    return f"{told}, which is refused, so that the fallback answers" if found[1].threshold is None else told


def leads(
    flip: Flip, *, decision: Decision, another: Another, ladder: Ladder, rest: str | None
) -> tuple[Policy, Rule] | None:
    """The policy with the nearest other figure that sends the request where a flip does, and how it decides.

    `rest` answers where nobody is sure enough. None where no figure does.
    """
    to, now = flip.threshold, decision.threshold
    if to is None or now is None or decision.policy is None:
        return None
    likely = {candidate.expert: candidate.probability for candidate in decision.candidates}
    risk = another.registry.policies[decision.policy].max_risk is not None

    def there(rule: Rule) -> bool:
        least = rule.least(likely)
        known = least is not None and (decision.known or 0.0) >= rule.out_of_domain
        chosen = smallest(decision.candidates, rule, least, ladder) if least is not None and known else None
        return (chosen.expert if chosen else rest) == flip.expert

    def enough(rule: Rule) -> bool:
        least = rule.least(likely)
        beyond = to > now if least is None else least >= to if to > now else least <= to
        return beyond or there(rule)

    found = another.nearest(decision.policy, enough, larger=(to > now) != risk)
    if found is None:
        return None
    rule = another.rule(decision.policy, found)
    return (found, rule) if there(rule) else None


def _change(name: str, to: float, instead_of: float) -> str:
    way = "" if to in (0, 1) else "or less" if to < instead_of else "or more"
    told, now = plain(to, 6), plain(threshold_told(instead_of), 6)  # a power of ten is text in YAML
    return f"{name} at {told}{f' {way}' if way else ''} instead of {now}"
