"""Why the fallback answers in another's place. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

FALLBACK_FAILED: Final = "fallback_failed"
"""Told in the place of a reason where it was the fallback that failed, so that a small expert answered."""


class Reason(StrEnum):
    """Every reason there is, so that they may be labels of a metric."""

    OUT_OF_DOMAIN = "out_of_domain"
    OUTSIDE = "outside"
    NO_PROMISE = "no_promise"
    UNABLE = "unable"
    NOT_SURE = "not_sure"
    FAILED = "failed"
    ANSWER = "answer"

    @property
    def told(self) -> str:
        """In words."""
        return _TOLD[self]


_TOLD = {
    Reason.OUT_OF_DOMAIN: "out of every known domain",
    Reason.OUTSIDE: "like requests that no small expert should answer",
    Reason.NO_PROMISE: "the policy could promise nothing",
    Reason.UNABLE: "who was sure enough could not take it",
    Reason.NOT_SURE: "no small expert was sure enough",
    Reason.FAILED: "the chosen expert failed",
    Reason.ANSWER: "the small expert's answer was not good enough",
}
