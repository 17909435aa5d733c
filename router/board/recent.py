"""The vectors of the newest requests, for the map. Vectors only: no text, no key, and nothing on disk."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np

from router.board.plane import Seen

if TYPE_CHECKING:
    from router.pipeline import Choice

KEPT: Final = 400


class Recent:
    """A ring of the newest routed requests."""

    def __init__(self, kept: int = KEPT) -> None:
        self._ring: deque[Seen] = deque(maxlen=kept)

    def add(self, choice: Choice) -> None:
        """A request has been decided."""
        if choice.vector is not None and choice.decision.policy is not None:
            escalated = choice.decision.escalated_from is not None
            self._ring.append(Seen(choice.vector, choice.decision.expert, escalated))

    def all(self) -> list[Seen]:
        """Oldest first."""
        return list(self._ring)

    @property
    def bytes_held(self) -> int:
        """Of the vectors in the ring."""
        return sum(np.asarray(seen.vector).nbytes for seen in self._ring)
