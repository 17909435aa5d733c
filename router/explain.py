"""Why a request went where it went: the decision, the nearest known examples, and what would have changed it. Pure."""

from __future__ import annotations

from typing import Any, Final

from router.decide import Candidate, size
from router.pipeline import Choice

NEAREST: Final = 5

LEAST_SENSIBLE: Final = 0.2
"""Nobody would lower a threshold further than this, so saying so helps nobody."""


def explain(choice: Choice) -> dict[str, Any]:
    """The answer of /v1/route and of `shoal route --json`."""
    nearest: list[dict[str, Any]] = []
    if choice.vector is not None and choice.judgement is not None:
        nearest = [
            {"input": near.text, "label": near.label, "similarity": round(near.similarity, 4)}
            for near in choice.snapshot.judge.nearest(choice.vector, NEAREST)
            if near.label not in choice.snapshot.hidden
        ]
    return {"decision": choice.decision.to_json(), "nearest": nearest, "would_change": would_change(choice)}


def would_change(choice: Choice) -> list[str]:
    """The smallest changes of policy that would have sent the request elsewhere, in words."""
    decision, registry = choice.decision, choice.snapshot.registry
    if choice.rule is None or choice.judgement is None:
        return ["The request named who shall answer; ask for `auto` to have it routed."]
    rule, threshold = choice.rule, decision.threshold
    if threshold is None:
        return [f"a promise that can be kept; {rule.refused}"]
    known = choice.judgement.known
    changes: list[str] = []
    if known < rule.out_of_domain:
        changes.append(f"out_of_domain at {known:.4f} or less instead of {rule.out_of_domain:g}")
    chosen = registry.expert(decision.expert)
    smaller = [
        candidate
        for candidate in decision.candidates
        if candidate.probability < threshold
        and candidate.obstacle is None
        and (decision.escalated_from or size(registry.expert(candidate.expert)) < size(chosen))
    ]
    if smaller and smaller[0].probability >= LEAST_SENSIBLE:
        changes.append(_lower(smaller[0], threshold))
    if decision.escalated_from is None and decision.probability is not None:
        changes.append(f"threshold above {decision.probability:.4f} instead of {threshold:.4g}: the fallback")
    return changes


def _lower(candidate: Candidate, threshold: float) -> str:
    return f"threshold at {candidate.probability:.4f} or less instead of {threshold:.4g}: {candidate.expert}"
