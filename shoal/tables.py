"""Tables and sentences on a terminal as wide as it is; in a pipe or a file nothing is wrapped."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table


def screen() -> Console:
    """Where commands print. What reads a pipe looks for lines: there they end where they end, unless COLUMNS is set."""
    from router.meter.layout import ENDLESS, Screen

    asked = "COLUMNS" in os.environ or sys.stdout.isatty()
    return Screen() if asked else Screen(width=ENDLESS)


def table_of(*columns: str | Column) -> Table:
    """An empty table with these columns."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def show_table(table: Table) -> Console:
    """Print what `table_of` made, filled; the console it is on, for what is to be said below it."""
    from router.meter.layout import fit

    console = screen()
    fit(table, console, console.width)
    console.print(table, crop=False)
    return console
