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
    """What the last window showed; the defaults are what traffic usually looks like."""

    eligible: int
    """Requests a small expert was chosen for, in `WINDOW_DAYS`."""
    held: int
    """Of them held back."""
    variation: float = 1.2
    """Standard deviation of what the fallback takes for one, over its mean."""
    explained: float = 0.5
    """Share of that variance that is known before."""
    doubt: float = 0.7
    """Share of the whole counterfactual that is unknown."""


def rate(plan: Plan, seen: Seen) -> float:
    """The share of conversations to hold back next, in [0, cap].

    0 where even the cap would bring too few to publish anything: then nobody is held back for nothing.
    """
    if seen.eligible * plan.cap < LEAST:
        return 0.0
    wanted = (_Z * seen.variation * math.sqrt(1 - seen.explained) * seen.doubt / plan.target) ** 2
    missing = max(wanted, ENOUGH) - seen.held
    return min(plan.cap, max(plan.floor, missing / seen.eligible))


def conversation(key: bytes, caller: str, messages: Sequence[Mapping[str, Any]], named: str | None) -> bytes:
    """What identifies a conversation, 8 bytes from which nothing can be read back.

    `named` is the client's own id of it, where it gives one; else the first words of the conversation, which all its
    turns share, stand for it.
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
