"""Names beside dots: all are there, and none covers a dot, a line or another name."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from eval.report import plots
from eval.report.names import Place, name_dots

ROOT = Path(__file__).parents[3]
CROWD: list[Place] = [(7 + at % 3 / 2, 20 + at // 3 * 2.0) for at in range(9)]
"""Nine dots that would have their names on one another."""


def drawn(dots: list[Place], line: list[Place]) -> tuple[Axes, list[Bbox]]:
    figure = Figure(figsize=plots.SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(0, 80)
    axes.set_ylim(0, 80)
    name_dots(axes, [(dot, f"a model of size {at}") for at, dot in enumerate(dots)], [line], [], ("k", "k"))
    figure.draw_without_rendering()
    return axes, [text.get_window_extent() for text in axes.texts if text.get_text()]


def covers(name: Bbox, other: Bbox) -> bool:
    return name.x0 < other.x1 and other.x0 < name.x1 and name.y0 < other.y1 and other.y0 < name.y1


@pytest.mark.parametrize("line", [[(0.0, 0.0), (80.0, 80.0)], [(8.0, 0.0), (8.0, 80.0), (70.0, 80.0)]])
def test_no_name_covers_anything(line: list[Place]) -> None:
    axes, names = drawn(CROWD, line)
    assert len(names) == len(CROWD)
    assert not any(covers(one, other) for one, other in combinations(names, 2))
    page = axes.get_window_extent()
    assert all(
        page.x0 <= name.x0 and name.x1 <= page.x1 and page.y0 <= name.y0 and name.y1 <= page.y1 for name in names
    )
    for place in [*CROWD, *line]:
        x, y = axes.transData.transform(place)
        assert not any(name.contains(x, y) for name in names)
    for at in range(400):
        (x0, y0), (x1, y1) = (axes.transData.transform(place) for place in line[:2])
        share = at / 399
        assert not any(name.contains(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for name in names)


def test_a_name_that_is_far_from_its_dot_is_led_to() -> None:
    alone, _ = drawn(CROWD[:1], [(0.0, 80.0), (80.0, 80.0)])
    assert len(alone.texts) == 1
    crowded, _ = drawn(CROWD, [(0.0, 80.0), (80.0, 80.0)])
    assert len(crowded.texts) > len(CROWD)


def test_a_plot_too_full_for_a_name_has_it_all_the_same() -> None:
    full = [(float(x), float(y)) for x in range(0, 80, 3) for y in range(0, 80, 3)]
    _, names = drawn(full, full[:2])
    assert len(names) == len(full)


@pytest.mark.parametrize("run", ["mmlu-1500", "mmlu-unseen", "nine-models"])
def test_every_model_of_our_own_report_is_named(run: str) -> None:
    record = json.loads((ROOT / f"eval/results/{run}.json").read_text())
    svg = plots.frontier(record)
    models = record["detail"]["models"]
    assert models
    assert all(f">{model}</text>" in svg for model in models)
