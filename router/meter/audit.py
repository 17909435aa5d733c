"""Every figure of the ledger computed again from what its raw rows say was used, bit for bit.

What was measured cannot be computed again: there the rows must add up to what the devices' counters gave. What a row
says in several places must be one story. Everything else (who asked, which domain, how it was drawn) must be what was
written: rows, hashed again, give the seals that were kept with them. `UNCHECKED` and `ON_TRUST` are what is left.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from router.meter.findings import Audit
from router.meter.recount import Recount
from router.meter.sums import check_devices, check_hours, check_savings, check_seals, check_totals

UNCHECKED: Final[Mapping[str, str]] = {
    "requests.checkpoint_tokens": "replaced by what was counted when the request ended; checked where it never did",
    "vectors.request_id": "of a request whose row may be gone",
    "vectors.maker": "to learn from; in no figure",
    "vectors.vector": "to learn from; in no figure",
    "vectors.surface": "to learn from; in no figure",
    "texts.request_id": "of a request whose row may be gone",
    "texts.text": "to learn from; in no figure",
    "texts.expected": "told by the client",
    "texts.comment": "told by the client",
}
"""Columns of which nothing tells whether they were changed, and why."""

ON_TRUST: Final = (
    "That nobody changed rows and computed their seals again, restored an older copy of the whole ledger, or made it "
    "look like one of an older Shoal, which is sealed as it is (its hours are counted): seals have no key, so only a "
    "comparison with a copy kept elsewhere shows that.",
    "That what was written was right: token counts of an upstream, readings of a counter, ratings of a client.",
    "Requests in progress: they are sealed with their attempts when they end.",
)
"""What an audit cannot tell, in words."""

_CHECKS: Final = (check_seals, check_hours, check_totals, check_savings, check_devices)


def audit(connection: sqlite3.Connection, key: bytes | None = None) -> Audit:
    """Look at everything, as it was at one moment. `key` is the one at hand that draws are made with."""
    found = Audit()
    connection.text_factory = _text
    connection.execute("BEGIN")
    try:
        with _nonsense(found, "rows"):
            Recount(connection, found, key).check()
        for check in _CHECKS:
            with _nonsense(found, check.__name__.removeprefix("check_")):
                check(connection, found)
    finally:
        connection.execute("COMMIT")
    return found


@contextmanager
def _nonsense(found: Audit, what: str) -> Iterator[None]:
    """What nothing can be computed with does not add up: a number that stands for nothing, or is too large to add."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and "integer overflow" not in str(error):
            raise
        found.compare("the ledger", f"{what} can be read", f"{type(error).__name__}: {error}", "yes")


def _text(stored: bytes) -> str:
    """No text of ours is other than UTF-8; what somebody else put there is told as a change, not as a fault."""
    return stored.decode("utf-8", "replace")
