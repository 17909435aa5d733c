"""Which conversations are held back to see what the fallback would have taken, and how large a share. Pure.

A conversation, not a request, is drawn: its later turns depend on who answered the first. The draw is a keyed hash of
what identifies it, so every router of an installation draws the same, nobody can guess it, and a client cannot choose.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.meter.savings import ENOUGH, LEAST

VERSION: Final = 1
"""Of the way conversations are identified and drawn; of the first key of a ledger the seed version, too."""

WINDOW_DAYS: Final = 30
"""What a rate is planned for."""

_WHOLE: Final = 2**64
_Z: Final = 1.96

_SAFELY: Final = ENOUGH + 2 * math.sqrt(ENOUGH)
"""Conversations to hold back so that chance, as it draws them, seldom leaves fewer than `ENOUGH`."""

_USUAL: Final = 1.2 * math.sqrt(1 - 0.5) * 0.7
"""`Seen.error` of usual traffic: what the fallback takes for a conversation varies by 1.2 times its mean, half of that
variance is known before, and 70 % of the counterfactual is unknown."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much may be held back, and for how exact a figure."""

    target: float = 0.05
    """Half width wanted of the counterfactual, as a share of it."""
    floor: float = 0.005
    cap: float = 0.05
    """Largest share of conversations that is ever held back; 0 holds back nothing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the last window showed. Conversations are counted as `savings.effective` counts them."""

    conversations: float
    """Of requests that were or might have been held back, in `WINDOW_DAYS`."""
    error: float = _USUAL
    """Standard error of the counterfactual, as a share of it, were one conversation held back: that of n is
    1 / sqrt(n) of it."""


def rate(plan: Plan, seen: Seen) -> float:
    """The share of conversations to hold back next, in [0, cap].

    It is of a window as of the next, so what is held already is not taken off: it leaves the window as new ones come.
    0 where even the cap would bring too few to publish anything: then nobody is held back for nothing.
    """
    if seen.conversations * plan.cap < LEAST:
        return 0.0
    wanted = (_Z * seen.error / plan.target) ** 2
    return min(plan.cap, max(plan.floor, max(wanted, _SAFELY) / seen.conversations))


def conversation(key: bytes, caller: str, messages: Sequence[Mapping[str, Any]], named: str | None) -> bytes:
    """What identifies a conversation, 8 bytes from which nothing can be read back.

    `named` is the client's own id of it, where it gives one; else the first words of the conversation, which all its
    turns share, stand for it. Those that begin alike, with a greeting or the examples of an application, are one then.
    """
    opening = named if named is not None else repr([_said(message) for message in _until_first_user(messages)])
    return hmac.digest(key, f"conversation\0{caller}\0{opening}".encode("utf-8", "replace"), hashlib.sha256)[:8]


def held_back(key: bytes, conversation: bytes, share: float) -> bool:
    """Whether a conversation is among the `share` that is held back."""
    drawn = hmac.digest(key, b"holdback\0%d\0" % VERSION + conversation, hashlib.sha256)[:8]
    return int.from_bytes(drawn) < share * _WHOLE


def _until_first_user(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    first = next((at for at, message in enumerate(messages) if message.get("role") == "user"), len(messages) - 1)
    return messages[: first + 1]


def _said(message: Mapping[str, Any]) -> tuple[object, object]:
    return message.get("role"), message.get("content")
