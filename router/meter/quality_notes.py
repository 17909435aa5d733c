"""How the two answers to one held-back request compare, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.grading import BEST
from router.meter.units import listed, many, places


def answers(found: Mapping[str, Any]) -> list[str]:
    """How the two answers to one held-back request compare."""
    if not found["pairs"]:
        return []
    whose = f", with {listed(found['fallbacks'])} together," if len(found["fallbacks"]) > 1 else ""
    told = f"Of {found['pairs']:,} pairs of answers{whose} {found['same_answer']:.0%} were the same word for word"
    if not (gap := found["gap"]):
        return [f"{told}; none was graded."]
    many = 2 + places(gap["low"], gap["high"])
    mean, low, high = (f"{gap[end]:+.{many}f}" for end in ("mean", "low", "high"))
    return [f"{told}; of the {gap['graded']:,} graded the fallback's are {mean} ({low} to {high}) better."]


def ungraded(found: Mapping[str, Any]) -> list[str]:
    """Calls of a grader that gave no grade, and why."""
    calls, failed = found["calls"], found["failed"]
    without = calls - found["grades"]
    if not without:
        return []
    spoke = without - sum(failed.values())
    why = [f"{count:,} failed ({name})" for name, count in failed.items()]
    why += [f"{spoke:,} replied with no whole number from 0 to {BEST}, or with several"] if spoke else []
    remedy = "The log names each that failed; savings.grader in registry.yaml names who grades."
    return [f"Of {many(calls, 'call')} of the grader {without:,} gave no grade: {listed(why)}. {remedy}"]
