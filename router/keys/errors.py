"""Why a caller is not let in.

ShoalError
├── KeysUnavailable     the key file cannot be read; nobody is let in
├── NotAdmitted
│   ├── NoKey           a key is needed and none was sent
│   ├── WrongKey        the key that was sent opens nothing here
│   └── TooManyGuesses  the same, from somewhere that has sent many wrong ones
├── KeyNotAllowed       the key is a right one, of another kind than is wanted here
├── ModelNotAllowed     the key may not use this model
├── RateLimited         too many requests or tokens this minute; carries when to come again
└── BudgetSpent         the key's money or energy of today is spent
"""

from __future__ import annotations

from typing import Literal

from experts.errors import ShoalError
from router.keys.key import Role
from router.store import StoreUnavailable


class KeysUnavailable(StoreUnavailable):
    """The file of keys cannot be read or written. The message names it and the remedy."""

    told = True  # by the ring, which reads the file before anybody is let in


class NotAdmitted(ShoalError):
    """No usable key came with the request."""


class NoKey(NotAdmitted):
    """A key is needed and none was sent."""


class WrongKey(NotAdmitted):
    """The key that was sent opens nothing here."""


class TooManyGuesses(NotAdmitted):
    """Another wrong key from somewhere that has sent many."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many wrong keys from one place")
        self.retry_after_s = retry_after_s


class KeyNotAllowed(ShoalError):
    """The key is a right one, but what was asked is for those of another role."""

    def __init__(self, role: Role) -> None:
        super().__init__(f"a key of the role {role} may not do this")
        self.role = role


class ModelNotAllowed(ShoalError):
    """The key may not use the model that was asked for."""


class RateLimited(ShoalError):
    """The key has had its share of this minute."""

    def __init__(self, unit: Literal["requests", "tokens"], limit: int, retry_after_s: float) -> None:
        super().__init__(f"{limit} {unit} a minute are used up")
        self.unit = unit
        self.limit = limit
        self.retry_after_s = retry_after_s


class BudgetSpent(ShoalError):
    """The key's budget of this UTC day is spent."""

    def __init__(self, unit: Literal["USD", "J"], retry_after_s: float) -> None:
        super().__init__(f"the budget in {unit} of this UTC day is spent")
        self.unit = unit
        self.retry_after_s = retry_after_s
