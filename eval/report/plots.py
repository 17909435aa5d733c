"""Records of runs -> plots as SVG text, the same bytes every time. Needs the `eval` extra.

Colours are names of the page's own, so that a plot follows it into the dark; `standalone` makes them real.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from eval.report.names import name_dots
from eval.report.words import UNTOLD, untold
from experts.errors import ShoalError
from experts.extras import install

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, FIRST, SECOND, THIRD = "#010101", "#020202", "#030303", "#040404", "#050505"
NAMES: Final = {INK: "--ink", FAINT: "--faint", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
PLAIN: Final = {INK: "#1b1f24", FAINT: "#8b949e", FIRST: "#0b6bcb", SECOND: "#c2410c", THIRD: "#15803d"}

SIZE: Final = (5.2, 4.4)
"""Of every plot, so that letters are of one size where plots are shown equally wide."""

BUBBLE: Final = 1400
"""Area of the bubble of all requests, in square points."""

DIGIT: Final = (5.8, 6.6)
"""Width and height of a digit of 9 points, in points."""

COSTS: Final = {"params_b": "active parameters, billions", "calls": "share of requests to the strong model"}
"""What the costs of outcome files are called on an axis."""


class PlotsError(ShoalError):
    """The plots cannot be drawn; the message holds the remedy."""


def frontier(record: Mapping[str, Any]) -> str:
    """Quality against cost: the judge's frontier, each model alone, and the ways that keep it honest."""
    detail = record["detail"]
    with _axes() as (axes, done):
        points = detail["frontier"]
        axes.plot(
            [p["cost"] for p in points], [100 * p["quality"] for p in points], color=FIRST, lw=2, marker="o", ms=3,
            label="the judge, at every cost",
        )  # fmt: skip
        alone = detail["constants"]
        dots = [(p["cost"], 100 * p["quality"]) for p in alone]
        costs, qualities = zip(*dots, strict=True)
        axes.scatter(costs, qualities, color=FAINT, s=22, label="a single model, by name")
        marks = []
        ways = _WAYS | ({"task_mean": UNTOLD} if untold(record) else {})
        for name, mark in (("random", "x"), ("shuffled", "v"), ("task_mean", "D"), ("oracle", "*")):
            each = detail["baselines"][name]
            marks.append((each["cost"], 100 * each["quality"]))
            colour = THIRD if name == "oracle" else SECOND
            hollow = mark == "D"  # it often lies on a model's own dot
            axes.plot(
                [each["cost"]], [100 * each["quality"]], ls="none", marker=mark, ms=9 if hollow else 7, mec=colour,
                mfc="none" if hollow else colour, label=ways[name],
            )  # fmt: skip
        objective = detail["objective"]
        axes.set_xlabel(COSTS.get(objective, f"mean cost of a request ({objective})"))
        axes.set_ylabel("quality, %")
        _legend(axes)
        named = [(dot, next(iter(p["share"]))) for dot, p in zip(dots, alone, strict=True)]
        name_dots(axes, named, [[(p["cost"], 100 * p["quality"]) for p in points]], marks, (INK, FAINT))
        return done()


_WAYS: Final = {
    "random": "random choice",
    "shuffled": "the judge's decisions, shuffled",
    "task_mean": "the best model for the task",
    "oracle": "oracle: knows every answer",
}


def calibration(record: Mapping[str, Any]) -> str:
    """How often predictions of each confidence were right, against that confidence."""
    bins = record["detail"]["calibration"]
    confidence, right = ([each[name] for each in bins] for name in ("confidence", "right"))
    ends = [_wilson(each["right"], each["claims"]) for each in bins]
    with _axes() as (axes, done):
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls="--", label="perfectly calibrated")
        axes.vlines(
            confidence,
            *zip(*ends, strict=True),
            color=FIRST,
            lw=1.2,
            label="95 % interval, if predictions were independent",
        )
        axes.plot(confidence, right, color=FIRST, ls="none", marker="o", ms=5, label="predictions, with their number")
        axes.set_xlim(-0.03, 1.08)
        axes.set_ylim(-0.05, 1.05)
        axes.set_xlabel("predicted probability")
        axes.set_ylabel("share right")
        _legend(axes)
        counts = [((x, y), f"{each['claims']:,}") for x, y, each in zip(confidence, right, bins, strict=True)]
        intervals = [[(x, low), (x, high)] for x, (low, high) in zip(confidence, ends, strict=True)]
        name_dots(axes, counts, intervals, [], (INK, FAINT))
        return done()


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle, half = share + z * z / (2 * count), z * (share * (1 - share) / count + (z / (2 * count)) ** 2) ** 0.5
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def risk(record: Mapping[str, Any]) -> str:
    """What is lost against the fallback when more and more is kept by smaller models, and where promises stopped."""
    detail = record["detail"]
    curve, promise = detail["risk_curve"], detail["risk"]
    with _axes() as (axes, done):
        axes.plot(
            [100 * p["kept_small"] for p in curve], [100 * p["loss"] for p in curve], color=FIRST, lw=2, label="loss"
        )
        axes.axhline(100 * promise["epsilon"], color=SECOND, lw=1, ls="--", label="the most that the promise allows")
        axes.axvline(100 * promise["kept_small"], color=THIRD, lw=1, ls=":", label="kept small under the promise, mean")
        axes.set_xlabel("share answered by smaller models, %, as the threshold falls")
        axes.set_ylabel("points of quality lost")
        _legend(axes)
        return done()


def confusion(record: Mapping[str, Any]) -> str:
    """Who should have answered (rows) and who was chosen (columns), in requests."""
    table: Mapping[str, Mapping[str, int]] = record["detail"]["confusion"]
    names = sorted(
        {*table, *(name for row in table.values() for name in row)}, key=lambda name: (name == "fallback", name)
    )
    with _axes() as (axes, done):
        axes.grid(visible=False)
        for y, should in enumerate(names):
            total = sum(table.get(should, {}).values()) or 1
            for x, chosen in enumerate(names):
                count = table.get(should, {}).get(chosen, 0)
                if count:
                    _bubble(axes, (x, y), count, count / total)
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("chosen")
        axes.set_ylabel("should answer")
        return done()


def _bubble(axes: Axes, at: tuple[int, int], count: int, share: float) -> None:
    """As large as a share, with its number: within it, or beside one that would strike it through."""
    wide = (BUBBLE * share) ** 0.5  # points, as letters are
    axes.scatter(*at, s=BUBBLE * share, color=FIRST if at[0] == at[1] else SECOND, alpha=0.35, linewidths=0)
    within = wide > math.hypot(len(str(count)) * DIGIT[0], DIGIT[1])
    axes.annotate(
        str(count), at, (0 if within else wide / 2 + 2, 0), textcoords="offset points",
        ha="center" if within else "left", va="center_baseline", color=INK, fontsize=9,
    )  # fmt: skip


def kinds(record: Mapping[str, Any]) -> Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]]:
    """The plots that a record has enough for, by name."""
    there = {
        "frontier": (frontier, "frontier"), "risk": (risk, "risk_curve"), "calibration": (calibration, "calibration"),
        "confusion": (confusion, "confusion"),
    }  # fmt: skip
    return [(name, draw) for name, (draw, needed) in there.items() if record["detail"].get(needed)]


def standalone(svg: str) -> str:
    """A plot with real colours, for a file of its own."""
    for colour, real in PLAIN.items():
        svg = svg.replace(colour, real)
    return svg


def inline(svg: str, title: str) -> str:
    """A plot for the page: its colours follow the page's, it is named for those who cannot see it."""
    body = svg[svg.index("<svg") :]
    for colour, name in NAMES.items():
        body = body.replace(colour, f"var({name})")
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg role="img" aria-label="{title}" viewBox="\1">', body, count=1
    )


def _legend(axes: Axes) -> None:
    """Below the plot, where it covers nothing."""
    axes.figure.legend(frameon=False, fontsize=8, labelcolor=INK, loc="outside lower center", ncols=2)


@contextmanager
def _axes() -> Iterator[tuple[Axes, Callable[[], str]]]:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as NewFigure
    except ModuleNotFoundError:
        raise PlotsError(f"plots need matplotlib. Remedy: {install('eval')}, or make eval") from None
    look: dict[str, Any] = {
        "svg.hashsalt": "shoal", "svg.fonttype": "none", "font.size": 9, "text.color": INK, "axes.edgecolor": FAINT,
        "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
        "axes.spines.right": False, "axes.grid": True, "grid.color": FAINT, "grid.alpha": 0.25,
    }  # fmt: skip
    with mpl.rc_context(look):  # type: ignore[arg-type]
        figure = NewFigure(figsize=SIZE, layout="constrained")
        yield figure.add_subplot(), lambda: _svg(figure)


def _svg(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return drawn.getvalue()
