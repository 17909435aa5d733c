"""How an expert stands, and whether it takes requests."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from experts.child import ChildState

State = Literal["cold", "loading", "failed", "open", "closed"] | ChildState
"""A child's, or: cold, not loaded yet or evicted; failed, could not be loaded; open, as its breaker; closed."""

WELL: Final = frozenset[State](("cold", "loading", "ready"))


class Readiness(NamedTuple):
    """How an expert stands now."""

    ready: bool
    """A request sent now would be tried."""
    loaded: bool
    """It would need no load first."""
    state: State
    reason: str | None
    """Why it is not well; may hold paths and the child's last words, so it is for operators only."""
    in_flight: int
    waiting: int
    memory_mb: int
    """Declared memory it takes now, in MiB: 0 while it is not loaded."""
    pid: int | None
    """Of its child process, while one runs."""
