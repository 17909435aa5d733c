"""Records of runs -> plots as SVG text, the same bytes every time. Needs the `eval` extra.

Colours are names of the page's own, so that a plot follows it into the dark; `standalone` makes them real.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from eval.report.words import UNTOLD, untold
from experts.errors import ShoalError
from experts.extras import install

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, FIRST, SECOND, THIRD = "#010101", "#020202", "#030303", "#040404", "#050505"
NAMES: Final = {INK: "--ink", FAINT: "--faint", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
PLAIN: Final = {INK: "#1b1f24", FAINT: "#8b949e", FIRST: "#0b6bcb", SECOND: "#c2410c", THIRD: "#15803d"}

Size = tuple[float, float]
WIDE: Final[Size] = (6.4, 4.0)
SQUARE: Final[Size] = (4.2, 4.0)


class PlotsError(ShoalError):
    """The plots cannot be drawn; the message holds the remedy."""


def frontier(record: Mapping[str, Any]) -> str:
    """Quality against cost: the judge's frontier, each model alone, and the ways that keep it honest."""
    detail = record["detail"]
    with _axes(WIDE) as (axes, done):
        points = detail["frontier"]
        axes.plot(
            [p["cost"] for p in points], [100 * p["quality"] for p in points], color=FIRST, lw=2, marker="o", ms=3,
            label="the judge, at every price",
        )  # fmt: skip
        alone = detail["constants"]
        axes.scatter(
            [p["cost"] for p in alone],
            [100 * p["quality"] for p in alone],
            color=FAINT,
            s=22,
            label="one model for all",
        )
        ways = _WAYS | ({"task_mean": UNTOLD} if untold(record) else {})
        for name, mark in (("random", "x"), ("shuffled", "v"), ("task_mean", "D"), ("oracle", "*")):
            each = detail["baselines"][name]
            colour = THIRD if name == "oracle" else SECOND
            hollow = mark == "D"  # it often lies on a model's own dot
            axes.plot(
                [each["cost"]], [100 * each["quality"]], ls="none", marker=mark, ms=9 if hollow else 7, mec=colour,
                mfc="none" if hollow else colour, label=ways[name],
            )  # fmt: skip
        axes.set_xlabel(f"mean cost of a request ({detail['objective']})")
        axes.set_ylabel("quality, %")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="lower right")
        return done()


_WAYS: Final = {
    "random": "at random",
    "shuffled": "the judge's decisions, shuffled",
    "task_mean": "told the task, its best model",
    "oracle": "knowing every answer",
}


def calibration(record: Mapping[str, Any]) -> str:
    """How often claims of each confidence were right, against how sure they were."""
    bins = record["detail"]["calibration"]
    most = max(each["claims"] for each in bins)
    with _axes(SQUARE) as (axes, done):
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls="--", label="perfectly honest")
        axes.scatter(
            [b["confidence"] for b in bins], [b["right"] for b in bins], color=FIRST,
            s=[12 + 90 * b["claims"] / most for b in bins], label="claims, larger: more of them",
        )  # fmt: skip
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel("said probability")
        axes.set_ylabel("share that was right")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper left", markerscale=0.6)
        return done()


def risk(record: Mapping[str, Any]) -> str:
    """What is lost against the fallback when more and more is kept by smaller models, and where promises stopped."""
    detail = record["detail"]
    curve, promise = detail["risk_curve"], detail["risk"]
    with _axes(WIDE) as (axes, done):
        axes.plot(
            [100 * p["kept_small"] for p in curve], [100 * p["loss"] for p in curve], color=FIRST, lw=2, label="loss"
        )
        axes.axhline(100 * promise["epsilon"], color=SECOND, lw=1, ls="--", label="the most that may be lost")
        axes.axvline(
            100 * promise["kept_small"], color=THIRD, lw=1, ls=":", label="kept small under the promise, on average"
        )
        axes.set_xlabel("share kept by smaller models, %, most promising first")
        axes.set_ylabel("points of quality lost")
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="best")
        return done()


def confusion(record: Mapping[str, Any]) -> str:
    """Who should have answered (rows) and who was chosen (columns), in requests."""
    table: Mapping[str, Mapping[str, int]] = record["detail"]["confusion"]
    names = sorted(
        {*table, *(name for row in table.values() for name in row)}, key=lambda name: (name == "fallback", name)
    )
    with _axes((4.8, 4.0)) as (axes, done):
        axes.grid(visible=False)
        for y, should in enumerate(names):
            total = sum(table.get(should, {}).values()) or 1
            for x, chosen in enumerate(names):
                count = table.get(should, {}).get(chosen, 0)
                if count:
                    colour = FIRST if x == y else SECOND
                    axes.scatter([x], [y], s=1400 * count / total, color=colour, alpha=0.35, linewidths=0)
                    axes.text(x, y, str(count), ha="center", va="center", color=INK, fontsize=9)
        axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel("chosen")
        axes.set_ylabel("should answer")
        return done()


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


@contextmanager
def _axes(size: Size) -> Iterator[tuple[Axes, Callable[[], str]]]:
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
        figure = NewFigure(figsize=size, layout="constrained")
        yield figure.add_subplot(), lambda: _svg(figure)


def _svg(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return drawn.getvalue()
