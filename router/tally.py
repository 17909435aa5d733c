"""HTTP answers counted by the path and status: both are of small sets, whatever a client writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from experts.own_labels import OTHER

LEFT: Final = 499
"""In place of a status: the client had left before there was one (nginx's number for it)."""

REFUSED: Final = "shoal.refused"
"""Key in a request's scope: the status with which the connection answered before the application could."""


class Tally:
    """Counts on the event loop's thread; whoever shows the counts asks there too."""

    def __init__(self, paths: Iterable[str]) -> None:
        """`paths` as the routes have them, with a word in braces where any word may stand."""
        exact, open_ended = set[str](), []
        for path in paths:
            if "{" in path:
                open_ended.append((path.partition("{")[0], path.rpartition("}")[2], path))
            else:
                exact.add(path)
        self._exact = frozenset(exact)
        self._open_ended = sorted(open_ended, key=lambda parts: -len(parts[2]))
        self._counts: dict[tuple[str, int], int] = {}

    def surface(self, path: str) -> str:
        """The known path that this one is an instance of, else `OTHER`."""
        if path in self._exact:
            return path
        for before, after, known in self._open_ended:
            if len(path) > len(before) + len(after) and path.startswith(before) and path.endswith(after):
                return known
        return OTHER

    def count(self, path: str, status: int) -> None:
        """Another answer."""
        key = self.surface(path), status
        self._counts[key] = self._counts.get(key, 0) + 1

    def counts(self) -> list[tuple[str, str, int]]:
        """Surface, status and how many, in the order they first came."""
        return [(surface, str(status), n) for (surface, status), n in self._counts.items()]
