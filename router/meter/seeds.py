"""Which key the draws of a ledger were made with: a fingerprint for each seed version, never the key.

A ledger that is moved, restored or copied without its key goes on with another one: its draws are another version's
then, and an audit knows which it can repeat with the key at hand. Ledgers from before there were fingerprints have
draws of the first version without one; there the draws themselves tell whether a key is theirs.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from router.meter.holdback import VERSION, held_back
from router.meter.ppm import PPM
from router.meter.record import DRAWN, Arm
from router.meter.seal import Seals

_DRAWN: Final = f"""
SELECT arm, pi_ppm, conversation FROM requests
WHERE seed_version = ? AND arm IN ({", ".join(str(int(arm)) for arm in sorted(DRAWN))})
AND pi_ppm IS NOT NULL AND conversation IS NOT NULL
"""  # noqa: S608 (made of constants)


@dataclass(slots=True)
class Seed:
    """A key that draws are to be made with, on its way into the ledger."""

    fingerprint: bytes
    first: bool
    """Whether draws of the first version that have no fingerprint, if there are any, were made with it."""
    version: int = 0
    """Its number in this ledger; set when it is done."""
    is_another: bool = False
    """It is new here, and earlier draws were made with another; set when it is done."""


def fingerprint(key: bytes) -> bytes:
    """8 bytes that tell a key from others, and from which it cannot be found."""
    return hmac.digest(key, b"fingerprint", hashlib.sha256)[:8]


def seed_of(connection: sqlite3.Connection, key: bytes) -> Seed:
    """What is to be entered of a key. Older draws without a fingerprint are repeated, once."""
    own, known = fingerprint(key), _kept(connection)
    return Seed(own, VERSION not in known and own not in known.values() and _repeats(connection, key))


def enter(connection: sqlite3.Connection, seals: Seals, seed: Seed) -> None:
    """Give a key its number, inside the caller's transaction; one that is there keeps its own."""
    known = _kept(connection)
    found = next((version for version, each in known.items() if each == seed.fingerprint), None)
    if found is None:
        row = (_next(known, seed), seed.fingerprint)
        connection.execute("INSERT INTO seeds (version, fingerprint) VALUES (?, ?)", row)
        seals.word("seeds", row)
        found, seed.is_another = row[0], row[0] > VERSION
    seed.version = found


def keys_of(connection: sqlite3.Connection, key: bytes | None) -> Mapping[int, bytes | None]:
    """For each seed version the key to repeat its draws with; None where `key` is not theirs, or not there."""
    known = _kept(connection)
    found = {version: key if key is not None and fingerprint(key) == each else None for version, each in known.items()}
    if VERSION not in found:
        found[VERSION] = key if key is not None and _repeats(connection, key) else None
    return found


def _kept(connection: sqlite3.Connection) -> dict[int, bytes]:
    return dict(connection.execute("SELECT version, fingerprint FROM seeds"))


def _next(known: Mapping[int, bytes], seed: Seed) -> int:
    return VERSION if seed.first and VERSION not in known else max([VERSION, *known]) + 1


def _repeats(connection: sqlite3.Connection, key: bytes) -> bool:
    """Whether a key gives the draws of the first version, but for a few that somebody changed.

    With another key about twice as many come out differently as were held back: nearly all of those, and of the others
    as large a share as was held back of all.
    """
    held = different = 0
    for arm, rate_ppm, conversation in connection.execute(_DRAWN, (VERSION,)):
        was_held = arm == Arm.HOLDBACK
        held += was_held
        different += held_back(key, conversation, rate_ppm / PPM) is not was_held
    return 4 * different <= held
