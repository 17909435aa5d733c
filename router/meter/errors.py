"""What can go wrong with the ledger.

StoreUnavailable
└── MeterUnavailable    the ledger cannot be read or written now; nothing is served unmetered
    └── NoLedger        there is none where the settings say; for a command that is wrong usage
ShoalError
├── EntryRefused        one entry is impossible (an id used twice, a finish without a begin, a number out of range)
└── BadHoldbackKey      with this key anybody could know who is held back
"""

from __future__ import annotations

from experts.errors import ShoalError, WrongUsage
from router.store import StoreUnavailable


class MeterUnavailable(StoreUnavailable):
    """The ledger cannot be read or written now. The message names the file, the fault and the remedy."""


class NoLedger(MeterUnavailable, WrongUsage):
    """Nothing was served yet with this data folder, or the ledger lies in another. The message names both."""


class BadHoldbackKey(ShoalError):
    """The key that draws are made with is none; the message names the file, the fault and the remedy."""


class EntryRefused(ShoalError):
    """An entry the ledger cannot hold; others are not affected."""
