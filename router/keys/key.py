"""A key and what it may do. Only its digest is known: the key itself is shown once, to who made it."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any, Final, Literal

PREFIX: Final = "sk-shoal-"
RANDOM_BYTES: Final = 32
ID_CHARS: Final = 12
"""Hexadecimal digits of the digest that name a key in the ledger and in lists."""

Role = Literal["inference", "figures", "admin"]
"""Asks models and sees its own figures; reads the figures of all keys; reads them too, and opens /admin."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a key may do; None is without limit."""

    models: frozenset[str] | None = None
    """Ids of experts, and `encoder`."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget_nusd_per_day: int | None = None
    budget_uj_per_day: int | None = None

    @property
    def metered(self) -> bool:
        """Whether anything has to be counted."""
        counted = (self.requests_per_minute, self.tokens_per_minute, self.budget_nusd_per_day, self.budget_uj_per_day)
        return any(limit is not None for limit in counted)


@dataclass(frozen=True, slots=True)
class Key:
    """One key. Times are microseconds since 1970, UTC."""

    digest: bytes
    """SHA-256 of the key."""
    name: str = ""
    role: Role = "inference"
    grant: Grant = Grant()
    created_us: int = 0
    expires_us: int | None = None
    revoked_us: int | None = None

    @property
    def id(self) -> str:
        """What names it where the key itself must not be known."""
        return self.digest.hex()[:ID_CHARS]

    def usable(self, now_us: int) -> bool:
        """Whether it opens anything at that time."""
        return self.revoked_us is None and (self.expires_us is None or now_us < self.expires_us)

    def to_json(self) -> dict[str, Any]:
        """What may be shown of it, in the units of the outside."""
        grant = self.grant
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "models": sorted(grant.models) if grant.models is not None else None,
            "requests_per_minute": grant.requests_per_minute,
            "tokens_per_minute": grant.tokens_per_minute,
            "budget_usd_per_day": _scaled(grant.budget_nusd_per_day, 1e9),
            "budget_j_per_day": _scaled(grant.budget_uj_per_day, 1e6),
            "created_us": self.created_us,
            "expires_us": self.expires_us,
            "revoked_us": self.revoked_us,
        }


def digest_of(secret: bytes) -> bytes:
    """SHA-256, 32 bytes. Keys made here are random throughout, so a slow hash would add nothing."""
    return hashlib.sha256(secret).digest()


def new_secret() -> str:
    """A key of 256 random bits."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def _scaled(amount: int | None, unit: float) -> float | None:
    return None if amount is None else amount / unit
