"""What an audit looked at, and what it found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

MOST_TOLD: Final = 1000
"""Findings kept word for word; all are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure that does not add up."""

    where: str
    """A request's id, with the attempt's number; an hour; a device."""
    figure: str
    kept: float | str | None
    computed: float | str | None

    def __str__(self) -> str:
        if self.kept in ("missing", None) and self.computed == "there":
            return f"{self.where}: {self.figure} is missing, which other rows say was there"
        return f"{self.where}: {self.figure} is {self.kept}, computed again {self.computed}"


@dataclass(slots=True)
class Audit:
    """What was looked at, and what does not add up."""

    requests: int = 0
    attempts: int = 0
    figures: int = 0
    hours: int = 0
    days: int = 0
    measured: int = 0
    """Attempts whose energy was measured: taken as read, their sum compared with the counters."""
    measured_own: int = 0
    """Requests for which the router's own work was measured: as with attempts."""
    unknown_tariffs: int = 0
    """Requests from before the ledger kept tariffs: their figures cannot be computed again."""
    unknown_grids: int = 0
    """Requests whose grid figure is of a file of the user's, or of a table of another year."""
    undrawn_by_seed: Counter[int | None] = field(default_factory=Counter)
    """Seed version -> requests whose draw could not be repeated, for want of its key."""
    without_shadow: int = 0
    """Held-back requests beside which nothing ran: lost in a crash or on a full disk, or taken out since."""
    clock_set: int = 0
    """Requests while the clock was set, or the machine slept: they began at another time than their id was made."""
    sealed_late: int = 0
    """Hours with requests from before rows were sealed as they are written: sealed when the ledger was upgraded."""
    only_sums: int = 0
    """Requests whose rows are gone: of them only the sums of their hours are left, which are taken as read."""
    wrong: int = 0
    by_figure: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def compare(self, where: str, figure: str, kept: Any, computed: Any) -> None:
        """Count a figure, and note it when both are not the same."""
        self.figures += 1
        if kept != computed:
            self.wrong += 1
            self.by_figure[figure] += 1
            if len(self.findings) < MOST_TOLD:
                self.findings.append(Finding(where, figure, kept, computed))

    def to_json(self) -> dict[str, Any]:
        """As `shoal meter audit --json` prints it."""
        return {
            "ok": not self.wrong,
            "requests": self.requests,
            "attempts": self.attempts,
            "hours": self.hours,
            "days": self.days,
            "figures": self.figures,
            "measured": self.measured,
            "measured_own": self.measured_own,
            "unknown_tariffs": self.unknown_tariffs,
            "unknown_grids": self.unknown_grids,
            "undrawn": self.undrawn_by_seed.total(),
            "undrawn_by_seed_version": dict(self.undrawn_by_seed),
            "without_shadow": self.without_shadow,
            "clock_set": self.clock_set,
            "sealed_late": self.sealed_late,
            "only_sums": self.only_sums,
            "wrong": self.wrong,
            "by_figure": dict(self.by_figure),
            "findings": [{"where": f.where, "figure": f.figure, "kept": f.kept, "computed": f.computed}
                         for f in self.findings],
        }  # fmt: skip
