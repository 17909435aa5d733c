"""What was saved on each group's requests, as a table a person reads."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from router.meter.by_group import BY_EXPERT
from router.meter.layout import Titled
from router.meter.paired import UNITS
from router.meter.savings import LEAST
from router.meter.totals import Report
from router.meter.verdict import between


def saved_by(found: Report, called: Callable[[str], str]) -> RenderableType:
    """Shares of what the fallback alone would have taken, or why none is told; `called` gives a group's name."""
    if found.group_by == "expert":
        return Text(f"\nNo savings by expert: {BY_EXPERT}.", style="dim")
    told = {name: each.savings for name, each in sorted(found.groups.items()) if each.savings is not None}
    sure = {name: of for name, of in told.items() if of["share"] is not None}
    if not sure:
        most = max((of["held_back"]["effective"] for of in told.values()), default=0)
        why = f"it takes {LEAST} conversations that were held back, and no {found.group_by} has more than {most:,}"
        return Text(f"\nNo savings by {found.group_by} yet: {why}.", style="dim")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in ((str(found.group_by), "left"), ("cost", "right"), ("energy", "right"), ("CO2e", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("standing")
    for name, of in sure.items():
        shares = [between(*(of[end][unit] for end in ("low", "share", "high"))) or "unknown" for unit in UNITS]
        table.add_row(called(name), *shares, of["standing"])
    few = len(told) - len(sure)
    which = f"{few:,} other{'' if few == 1 else 's'}"
    left = f"Of {which} fewer than {LEAST} conversations were held back: not told."
    title = f"\nSaved, by {found.group_by}: each estimated by itself"
    return Stack(Titled(title, table), *([Text(left, style="dim")] if few else []))
