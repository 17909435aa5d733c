"""What `shoal eval outcomes` shows to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shoal.tables import show_table, table_of

_CONTROLS = {"shuffled": "the same decisions shuffled", "task_mean": "being told the task's mean"}


def show_outcomes(found: Mapping[str, Any]) -> None:
    """Print a table of ways to choose, and below it one line for each thing to know."""
    table = table_of("way to choose", "quality", found["objective"])
    table.title, table.title_justify = found["file"], "left"
    table.add_row("judge, at its best", *_point(found["best_quality"]), style="bold")
    for name, each in found["baselines"].items():
        table.add_row(name.replace("_", " "), *_point(each))
    console = show_table(table)
    for line in _lines(found):
        console.print(line, highlight=False, markup=False)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{found['rows']:,} rows, {found['dropped']:,} repeats dropped, {found['near_duplicates']:,} near-duplicates"
        f" kept in one fold; fitted on {found['train']:,}, scored on {found['test']:,}"
    )
    if "apgr" in found:
        apgr = f"{found['apgr']:.3f}{_between(found['intervals']['apgr'])}"
        yield f"APGR {apgr}, CPT50 {found['cpt50']:.1f} %, CPT80 {found['cpt80']:.1f} %"
    single = found["at_best_single"]
    cost = (
        "never reached"
        if single["cost"] is None
        else f"{single['cost']:.3g}{_between(found['intervals']['cost_at_best_single'])}"
    )
    yield f"{found['objective']} at the best single model's quality: {cost}"
    for name, gain in found["gain"].items():
        verb = "beats" if gain["beats"] else "does not beat"
        yield f"{verb} {_CONTROLS[name]}, by {100 * gain['value']:.2f} points at the same cost{_between(gain, 100)}"
    sure = found["confidence"]
    yield f"P(right): AUROC {sure['auroc']:.3f}, Brier {sure['brier']:.3f}, ECE {sure['ece']:.3f}"
    if found["risk"]:
        yield _promise(found["risk"])


def _promise(risk: Mapping[str, Any]) -> str:
    return (
        f"at most {100 * risk['epsilon']:g} points lost, sure to {1 - risk['delta']:.0%}: broken in"
        f" {risk['violations']:.1%} of {risk['resplits']} resplits, {risk['kept_small']:.1%} kept small"
    )


def _point(each: Mapping[str, float]) -> tuple[str, str]:
    return f"{each['quality']:.1%}", f"{each['cost']:.4g}"


def _between(interval: Mapping[str, float], times: float = 1) -> str:
    return f" ({times * interval['low']:.3g} to {times * interval['high']:.3g})"
