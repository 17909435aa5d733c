"""Names beside the dots of a plot, each where it covers neither a dot, nor a line, nor another name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

Place = tuple[float, float]

REACHES: Final = (5.0, 12.0, 20.0, 28.0, 36.0, 46.0, 58.0, 72.0, 90.0, 120.0, 150.0)
"""How far from its dot a name is looked for, in letters' points; the nearest free place is taken."""

DIRECTIONS: Final = (
    (1, 0), (1, -0.6), (1, 0.6), (-1, 0), (-1, -0.6), (-1, 0.6), (0, -1), (0, 1), (1, -1.5), (1, 1.5),
    (-1, -1.5), (-1, 1.5),
)  # fmt: skip

LED: Final = 8.0
"""From how far on a thin line leads from a name to its dot."""

STEP: Final = 2.0
"""Points between the places of a line that are kept free."""

MARGIN: Final = 1.5

WIDER: Final = 1.08
"""By how much the letters of whoever looks may be wider than those measured here."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in points."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: Box) -> bool:
        """Whether they share more than an edge."""
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high

    def holds(self, other: Box) -> bool:
        """Whether the other lies in it."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.low <= other.low and other.high <= self.high


def name_dots(
    axes: Axes,
    dots: Sequence[tuple[Place, str]],
    lines: Sequence[Sequence[Place]],
    marks: Sequence[Place],
    colours: tuple[str, str],
) -> None:
    """Write each dot's name beside it, in the first colour, led to by the second, over a plot that is drawn already.

    All places are in the data's units; `lines` and `marks` are kept free as the dots are.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    taken = [_around(_points(axes, place), 4.0) for place, _ in dots]
    taken += [_around(_points(axes, place), 6.5) for place in marks]
    for line in lines:
        taken += [_around(place, MARGIN) for place in _along([_points(axes, place) for place in line])]
    left, low, right, high = (each / _scale(axes) for each in axes.get_window_extent().extents)
    for place, name in dots:
        written = axes.annotate(
            name, place, (0, 0), textcoords="offset points", fontsize=7, color=colours[0], va="bottom", in_layout=False
        )
        size = written.get_window_extent()
        wide, tall = WIDER * size.width / _scale(axes), size.height / _scale(axes)
        dot = _points(axes, place)
        found, reach = _free(dot, wide, tall, taken, Box(left, low, right, high))
        taken.append(found)
        side, x = _anchor(dot, found)
        written.set_horizontalalignment(side)
        written.set_position((x - dot[0], found.low - dot[1]))
        if reach > LED:
            _lead(axes, place, written, (dot, found), colours[1])
            taken += [_around(each, 0.5) for each in _along([dot, _nearest(dot, found)])]


def _free(dot: Place, wide: float, tall: float, taken: Sequence[Box], page: Box) -> tuple[Box, float]:
    """The nearest free box of a size and how far it is; one to the right where none is free."""
    for reach in REACHES:
        for x, y in DIRECTIONS:
            left = dot[0] + reach * x - (0 if x > 0 else wide if x < 0 else wide / 2)
            low = dot[1] + reach * y - (tall / 2 if abs(y) < 1 else 0 if y > 0 else tall)
            box = Box(left, low, left + wide, low + tall)
            if page.holds(box) and not any(box.meets(other) for other in taken):
                return box, reach
    return Box(dot[0] + LED, dot[1] - tall / 2, dot[0] + LED + wide, dot[1] + tall / 2), 0.0


def _lead(axes: Axes, place: Place, written: Annotation, ends: tuple[Place, Box], colour: str) -> None:
    dot, box = ends
    x, y = _nearest(dot, box)
    line = {"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 2}
    axes.annotate("", place, (x - dot[0], y - dot[1]), textcoords="offset points", arrowprops=line)
    written.set_in_layout(False)


def _anchor(dot: Place, box: Box) -> tuple[Literal["left", "right", "center"], float]:
    """Which end of a name stands fast, the one towards its dot, and where."""
    if box.left >= dot[0]:
        return "left", box.left
    return ("right", box.right) if box.right <= dot[0] else ("center", (box.left + box.right) / 2)


def _nearest(dot: Place, box: Box) -> Place:
    """The place of a box that is nearest to a dot."""
    return min(max(dot[0], box.left), box.right), min(max(dot[1], box.low + 2), box.high - 2)


def _along(places: Sequence[Place]) -> Iterator[Place]:
    for (x, y), (to_x, to_y) in pairwise(places):
        steps = 1 + int(max(abs(to_x - x), abs(to_y - y)) / STEP)
        yield from ((x + (to_x - x) * at / steps, y + (to_y - y) * at / steps) for at in range(steps + 1))


def _around(place: Place, by: float) -> Box:
    return Box(place[0] - by, place[1] - by, place[0] + by, place[1] + by)


def _scale(axes: Axes) -> float:
    """Dots a point."""
    return axes.figure.dpi / 72


def _points(axes: Axes, place: Place) -> Place:
    x, y = axes.transData.transform(place) / _scale(axes)
    return float(x), float(y)
