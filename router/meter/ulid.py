"""Request ids: ULIDs, 48 bits of UTC milliseconds before 80 random ones, as 26 characters of Crockford's base 32.

Format: https://github.com/ulid/spec. Within a process each id is larger than the one before, also when the clock goes
back a little, so rows are appended to the ledger in the order of its key. A clock that goes back by more was wrong
before, and is followed: texts and vectors are found by the time in the id when their days are over.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache
from threading import Lock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]
"""The two characters of every 10-bit number."""
_PLAIN_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(chr(code))] if chr(code) in _ALPHABET else ord("!")
    for code in range(256)
)
"""Crockford's digits to those `int(..., 32)` reads; everything else to a character it refuses."""

_BACK_MS = 60_000
"""How far the clock may go back without being followed."""

_ROOM_US = 86_400_000_000
_LAST_US = ((1 << 48) - 1) * 1000


class UlidSource:
    """Makes ids, each larger than the one before; safe to share between threads and across a fork."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ms = 0
        self._pid = 0
        self._head = ""
        self._tail = 0

    def new(self) -> str:
        """The next id, 26 characters."""
        with self._lock:
            ms = time.time_ns() // 1_000_000
            if ms > self._ms or os.getpid() != self._pid or self._ms - ms > _BACK_MS:
                self._draw(ms if self._ms - ms > _BACK_MS else max(ms, self._ms))
            else:
                self._tail += 1
            tail = self._tail
            head = self._head
        return head + _PAIRS[tail >> 30] + _PAIRS[tail >> 20 & 1023] + _PAIRS[tail >> 10 & 1023] + _PAIRS[tail & 1023]

    def _draw(self, ms: int) -> None:
        """Begin a millisecond: 40 random bits stay, 39 more are counted up from, so the count cannot run over."""
        random = int.from_bytes(os.urandom(10), "big")
        head = ms << 40 | random >> 40
        self._head = "".join([_PAIRS[head >> shift & 1023] for shift in range(80, -1, -10)])
        self._tail = random & (1 << 39) - 1
        self._ms = ms
        self._pid = os.getpid()


_source = UlidSource()
new_ulid = _source.new
"""A new request id from the process's own source."""


@lru_cache(1024)  # a request's is asked for when it begins, when it ends and for each of its attempts
def ulid_bytes(text: str) -> bytes:
    """The 16 bytes of an id. Raises ValueError when `text` is none: length, case and alphabet are strict."""
    try:
        if len(text) == 26:
            return int(text.encode("ascii").translate(_PLAIN_DIGITS), 32).to_bytes(16, "big")
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r} is no request id: a ULID has 26 characters of {_ALPHABET}, the first at most 7")


def ulid_text(raw: bytes) -> str:
    """The 26 characters of an id's 16 bytes."""
    number = int.from_bytes(raw, "big")
    return "".join(_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10))


def ulid_floor(moment_us: int) -> bytes:
    """The 16 bytes no id made since a moment (UTC, microseconds since 1970) is below; older ids are."""
    return max(0, moment_us // 1000 << 80).to_bytes(16, "big")


def ids_between(since_us: int, until_us: int) -> tuple[bytes, bytes]:
    """Ids that every request begun in a period lies between, so that an index of ids narrows it down.

    With a day of room: an id is made a moment before its request begins, and keeps growing where the clock goes back.
    """
    return ulid_floor(since_us - _ROOM_US), ulid_floor(min(until_us + _ROOM_US, _LAST_US))


def ulid_us(text: str) -> int:
    """When an id was made, UTC, microseconds since 1970. Raises ValueError when `text` is none."""
    return (int.from_bytes(ulid_bytes(text), "big") >> 80) * 1000
