"""What one commit of the ledger writes, sorted by kind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from router.meter.devices import Measured
from router.meter.record import Feedback, Intent, Outcome, Prune, Purge, Shadow
from router.meter.rollup import Rollup
from router.meter.seeds import Seed

Upkeep = Rollup | Prune | Measured | Seed
"""What is written about requests that have ended, and before the first begins."""


@dataclass(frozen=True, slots=True)
class Left:
    """The end of a request whose client left before anybody knew whether it had begun: nothing where it had not."""

    outcome: Outcome


Entry = Intent | Outcome | Left | Shadow | Feedback | Purge | Upkeep | tuple[str, int]
"""A tuple is a checkpoint: a request's id and its tokens so far."""

Owed = Outcome | Shadow
"""What has happened and cannot be taken back, so it is kept until the disk takes it."""


@dataclass(slots=True)
class Batch:
    """Entries of one commit."""

    intents: list[Intent] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    checkpoints: dict[str, int] = field(default_factory=dict)
    shadows: list[Shadow] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    purges: list[Purge] = field(default_factory=list)
    upkeep: list[Upkeep] = field(default_factory=list)
    left: bool = False
    """Whether ends are among the entries that are to be written after the others, once it is known who has begun."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Sort entries."""
        batch = cls()
        for entry in entries:
            if isinstance(entry, Outcome):
                batch.outcomes.append(entry)
            elif isinstance(entry, Intent):
                batch.intents.append(entry)
            elif isinstance(entry, Shadow):
                batch.shadows.append(entry)
            elif isinstance(entry, Feedback):
                batch.feedback.append(entry)
            elif isinstance(entry, Purge):
                batch.purges.append(entry)
            elif isinstance(entry, tuple):
                batch.checkpoints[entry[0]] = entry[1]
            elif isinstance(entry, Left):
                batch.left = True
            else:
                batch.upkeep.append(entry)
        return batch

    def __bool__(self) -> bool:
        kinds = (self.intents, self.outcomes, self.checkpoints, self.shadows, self.feedback, self.purges, self.upkeep)
        return any(kinds)
