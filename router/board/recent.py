"""The vectors of the newest requests, for the map and for previews. Vectors only: no text, no key.

This process has them in memory; the ledger, where the registry keeps vectors, has those from before it started too.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from experts.wire import Vector
from router.board.plane import Seen
from router.learn.harvest import Traffic, newest
from router.learn.trace import maker, unpack
from router.meter.record import Role

if TYPE_CHECKING:
    from router.meter.ledger import Ledger
    from router.pipeline import Choice

KEPT: Final = 400

_SEEN: Final = f"""
SELECT v.vector, e.name, r.role = {int(Role.FALLBACK)} AND r.expert = r.fallback
FROM vectors v JOIN requests r USING (request_id) JOIN names m ON m.id = v.maker JOIN names e ON e.id = r.expert
WHERE m.name = ? AND r.policy IS NOT NULL ORDER BY v.request_id DESC LIMIT ?
"""  # noqa: S608 (made of constants)
"""Of one held back the fallback is asked first too, but a small expert was chosen."""


class Recent:
    """A ring of the newest routed requests."""

    def __init__(self) -> None:
        self._ring: deque[Seen] = deque(maxlen=KEPT)
        self._asked: deque[tuple[Vector, Vector, str]] = deque(maxlen=KEPT)

    def add(self, choice: Choice) -> None:
        """A request has been decided."""
        if choice.vector is not None and choice.decision.policy is not None:
            escalated = choice.decision.escalated_from is not None
            self._ring.append(Seen(choice.vector, choice.decision.expert, escalated))
            if choice.text and choice.features is not None:
                self._asked.append((choice.vector, choice.features, choice.decision.policy))

    def all(self) -> list[Seen]:
        """Oldest first."""
        return list(self._ring)

    def traffic(self) -> Traffic:
        """As the judge sees them, the newest first, since this process started."""
        rows = list(self._asked)[::-1]
        if not rows:
            return Traffic(np.empty((0, 0), np.float32), np.empty((0, 0), np.float32), ())
        vectors, features, policies = zip(*rows, strict=True)
        return Traffic(np.stack(vectors), np.stack(features), policies)


def kept(ledger: Ledger, encoder: str, most: int = KEPT) -> Traffic:
    """The same of the newest that the ledger keeps, by an encoder's fingerprint. Raises `MeterUnavailable`."""
    with ledger.reading() as connection:
        return newest(connection, maker(encoder), most)


def kept_seen(connection: sqlite3.Connection, encoder: str) -> list[Seen]:
    """As `Recent.all`, of the newest that the ledger keeps, by an encoder's fingerprint."""
    found = connection.execute(_SEEN, (maker(encoder), KEPT)).fetchall()[::-1]
    vectors = unpack([vector for vector, _, _ in found]) if found else ()
    return [Seen(vector, who, bool(up)) for vector, (_, who, up) in zip(vectors, found, strict=True)]
