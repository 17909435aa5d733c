"""What can go wrong with the ledger.

StoreUnavailable
└── MeterUnavailable    the ledger cannot be read or written now; nothing is served unmetered
ShoalError
└── EntryRefused        one entry is impossible (an id used twice, a finish without a begin, a number out of range)
"""

from __future__ import annotations

from experts.errors import ShoalError
from router.store import StoreUnavailable


class MeterUnavailable(StoreUnavailable):
    """The ledger cannot be read or written now. The message names the file, the fault and the remedy."""


class EntryRefused(ShoalError):
    """An entry the ledger cannot hold; others are not affected."""
