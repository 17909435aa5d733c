"""What `shoal eval outcomes` shows to a person."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from eval.drawn import NO_INTERVAL
from eval.few import FEW
from eval.wording import without_interval
from shoal.tables import show_table, table_of

_CONTROLS: Final = {"shuffled": "the same decisions shuffled", "task_mean": "being told the task's mean"}


def show_outcomes(found: Mapping[str, Any]) -> None:
    """Print a table of ways to choose, and below it one line for each thing to know."""
    table = table_of("way to choose", "quality", found["objective"])
    table.title, table.title_justify = found["file"], "left"
    table.add_row("judge, for quality alone", *_point(found["best_quality"]), style="bold")
    for name, each in found["baselines"].items():
        table.add_row(name.replace("_", " "), *_point(each))
    console = show_table(table)
    for line in _lines(found):
        console.print(line, highlight=False)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    again = f" ({found['rescored']:,} of them with another score of a model, where the first counts)"
    yield (
        f"{found['rows']:,} rows, {found['dropped']:,} repeats dropped{again if found['rescored'] else ''},"
        f" {found['near_duplicates']:,} near-duplicates"
        f" kept in one fold; fitted on {found['train']:,}, scored on {found['test']:,}"
        + (f"; {found['unscored']:,} not scored, for not every model answered them" if found["unscored"] else "")
    )
    if found["preamble"]:
        yield found["preamble"]
    yield "The judge's row is its choice for quality alone, whatever that costs; --json has the frontier of all costs."
    if found["test"] < FEW:
        yield f"Too few to tell ways to choose apart. Remedy: {FEW} scored requests or more, better hundreds."
    if "apgr" in found:
        yield _two_models(found)
    yield _at_best_single(found)
    for name, gain in found["gain"].items():
        worse = gain["high"] is not None and gain["high"] < 0
        beats = "beats" if gain["beats"] else "is worse than" if worse else "does not beat beyond doubt"
        more = f"{_points(gain['value'])} points at the same cost{_ends(gain, _points)}"
        yield f"{beats} {_CONTROLS[name]}: {more}"
    if without_interval(_with_intervals(found)):
        yield NO_INTERVAL
    sure = found["confidence"]
    error = f"Brier {sure['brier']:.3f}, ECE {sure['ece']:.3f}"
    if math.isnan(sure["auroc"]):
        yield f"P(right): AUROC - (every score is 0.5 or above, or every one below), {error}"
    else:
        yield f"P(right): AUROC {sure['auroc']:.3f}, {error}"
    name, worst = max(sure["by_model"].items(), key=lambda each: float(each[1]["ece"]))
    yield f"of single models {name} has the largest ECE, {worst['ece']:.3f} over {worst['n']:,} claims"
    if found["risk"]:
        yield _promise(found["risk"])
    elif found["test"] > 1:
        yield (
            f"no promise is tried: no model is cheaper than the fallback {found['fallback']}, "
            "so none could answer in its place for less"
        )


def _two_models(found: Mapping[str, Any]) -> str:
    if math.isnan(found["apgr"]):
        return "APGR, CPT50, CPT80: - (the dearer model scores no better than the cheaper one: no gap to recover)"
    sure = found["intervals"]["apgr"]
    apgr = f"{found['apgr']:.3f}{_ends(sure, '{:.3f}'.format)}"
    return f"APGR {apgr}, CPT50 {found['cpt50']:.1f} %, CPT80 {found['cpt80']:.1f} %"


def _at_best_single(found: Mapping[str, Any]) -> str:
    cost, sure = found["at_best_single"]["cost"], found["intervals"]["cost_at_best_single"]
    told = "- (never reached)" if cost is None else f"{cost:.3g}{_ends(sure, '{:.3g}'.format)}"
    return f"{found['objective']} at the best single model's quality: {told}"


def _promise(risk: Mapping[str, Any]) -> str:
    refused = f", {risk['refused']:.1%} refused, for too few rows to promise it on" if risk["refused"] else ""
    return (
        f"at most {100 * risk['epsilon']:g} points lost, sure to {1 - risk['delta']:.0%}: broken in"
        f" {risk['violations']:.1%} of {risk['resplits']} resplits, {risk['kept_small']:.1%} kept small{refused}"
    )


def _point(each: Mapping[str, float]) -> tuple[str, str]:
    return f"{each['quality']:.1%}", f"{each['cost']:.4g}"


def _with_intervals(found: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The figures that are told with their interval."""
    yield from found["gain"].values()
    yield {"value": found["at_best_single"]["cost"], **found["intervals"]["cost_at_best_single"]}
    if "apgr" in found and not math.isnan(found["apgr"]):
        yield {"value": found["apgr"], **found["intervals"]["apgr"]}


def _ends(interval: Mapping[str, float | None], shown: Callable[[float], str]) -> str:
    """An interval in brackets; nothing where there is none."""
    low, high = interval["low"], interval["high"]
    return "" if low is None or high is None else f" ({shown(low)} to {shown(high)})"


def _points(share: float) -> str:
    """In hundredths, without the sign of what is rounded away."""
    return f"{100 * share:z.2f}"
