"""Tables on a terminal: as wide as it is, and no word or number in them cut or broken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

ENDLESS: Final = 10_000

_OBEYED: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, but for a tab and a line's end, and those that turn text round: no terminal is to obey a name."""


class Screen(Console):
    """Prints strings as they are: what users wrote is neither markup nor an emoji's name, and no terminal obeys it."""

    def __init__(self, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, emoji=False)

    def render_str(self, text: str, **more: Any) -> Text:
        """Of a string its text, in which escapes count for the width of a column."""
        return super().render_str(_escaped(text), **more)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever else it is made of."""
        for each in super().render(renderable, options):
            yield each if each.control else Segment(_escaped(each.text), each.style)


def _escaped(text: str) -> str:
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def fit(table: Table, console: Console, width: int) -> int:
    """Set the columns' widths; how wide the table is then, in characters.

    In too little room for its words it is wider than that: rich alone would break words, for it narrows the widest
    column first, whatever stands in it.
    """
    spans = [_span(column, console) for column in table.columns]
    least_of_all, between = sum(least for least, _ in spans), len(spans) - 1
    gap = 2 if least_of_all + 2 * between <= width else 1
    table.padding = (0, gap, 0, 0)
    wish = sum(most - least for least, most in spans)
    room = min(wish, max(0, width - gap * between - least_of_all))
    widths = [least + (room * (most - least) // wish if wish else 0) for least, most in spans]
    for column, own in zip(table.columns, widths, strict=True):
        column.width = own
    table.width = gap * between + sum(widths)
    return table.width


def _natural(table: Table, console: Console) -> int:
    """How wide a table is in which nothing is wrapped."""
    return sum(1 + _span(column, console)[1] for column in table.columns) - 1


def _span(column: Column, console: Console) -> tuple[int, int]:
    """The widths in characters at which no word of a column is broken, and at which no line is."""
    options = console.options.update(max_width=ENDLESS)
    found = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
    most = max(each.maximum for each in found)
    return most if column.no_wrap else max(each.minimum for each in found), most


@dataclass(slots=True)
class Titled:
    """A table below its title, which is as long as its line: to be printed without cropping."""

    title: str
    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich wants it."""
        yield Text(self.title, "bold")
        fit(self.table, console, options.max_width)
        yield self.table


@dataclass(slots=True)
class Line:
    """One row of `Taken`."""

    name: str
    counts: tuple[str, ...]
    amounts: tuple[str, ...]
    share: float | None
    """Of the last column; None for none."""
    style: str = ""


@dataclass(slots=True)
class Taken:
    """Names with counts, amounts and a bar. Where it is narrow the bar goes, then the amounts are told below."""

    title: str
    first: str
    counts: Sequence[str]
    amounts: Sequence[str]
    last: str
    bar: int
    """Its width in characters."""
    lines: list[Line] = field(default_factory=list)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich wants it."""
        yield Text(self.title, "bold")
        for tables in self._ways():
            if max(_natural(table, console) for table in tables) <= options.max_width:
                break
        for table in tables:
            fit(table, console, options.max_width)
            yield table

    def _ways(self) -> Iterator[tuple[Table, ...]]:
        """How it can be told, the widest first."""
        for bar in (self.bar, 0):
            yield (self._table(self.counts, self.amounts, bar),)
        for bar in (self.bar, 0):
            yield self._table(self.counts, (), None), self._table((), self.amounts, bar)

    def _table(self, counts: Sequence[str], amounts: Sequence[str], bar: int | None) -> Table:
        table = Table(self.first, box=None, pad_edge=False, header_style="dim")
        for name in (*counts, *amounts):
            table.add_column(name, justify="right", no_wrap=True)
        if bar is not None:
            table.add_column(self.last if bar else self.last.replace(" ", "\n"), no_wrap=True)
        for line in self.lines if amounts else [line for line in self.lines if any(line.counts)]:
            cells = line.counts[: len(counts)] + line.amounts[: len(amounts)]
            table.add_row(line.name, *cells, *([] if bar is None else [_bar(line.share, bar)]), style=line.style)
        return table


def _bar(share: float | None, width: int) -> Text:
    if share is None:
        return Text()
    filled = round(share * width)
    told = Text(f"{share:4.0%}{' ' * bool(width)}")
    return told.append("━" * filled, "cyan").append("─" * (width - filled), "bright_black")
