"""Tables on a terminal: as wide as it is, and no name or number in them cut or broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Column, Table

_ENDLESS: Final = 10_000


def table_of(*columns: str | Column) -> Table:
    """An empty table with these columns."""
    from rich.table import Table

    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def show_table(table: Table) -> Console:
    """Print what `table_of` made, filled; the console it is on, for what is to be said below it.

    On a terminal too narrow for its words the table is wider than it: rich alone would break words, for it narrows the
    widest column first, whatever stands in it.
    """
    from rich.console import Console

    terminal = Console()
    needed = fit(table, terminal)
    Console(width=max(terminal.width, needed)).print(table)
    return terminal


def fit(table: Table, console: Console) -> int:
    """Set the columns' widths; how wide the table is then, in characters."""
    spans = [_span(column, console) for column in table.columns]
    least_of_all, between = sum(least for least, _ in spans), len(spans) - 1
    gap = 2 if least_of_all + 2 * between <= console.width else 1
    table.padding = (0, gap, 0, 0)
    wish = sum(most - least for least, most in spans)
    room = min(wish, max(0, console.width - gap * between - least_of_all))
    widths = [least + (room * (most - least) // wish if wish else 0) for least, most in spans]
    for column, width in zip(table.columns, widths, strict=True):
        column.width = width
    return gap * between + sum(widths)


def _span(column: Column, console: Console) -> tuple[int, int]:
    """The widths in characters at which no word of a column is broken, and at which no line is."""
    from rich.measure import Measurement

    options = console.options.update(max_width=_ENDLESS)
    found = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    most = max(each.maximum for each in found)
    return most if column.no_wrap else max(each.minimum for each in found), most
