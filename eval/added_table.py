"""The table of what a newcomer is sent and costs, from the record of `python -m eval.added`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eval.plan import Figure
from eval.wording import commit_text, interval_text, target_text, value_text

COST: Final = Figure(title="cost to the others", unit="points", better="less", reach=0.003)
"""The share of right decisions about the others' requests that an expert added with few examples takes."""

ROWS: Final = {
    "owners": "added to the default registry: {owners} domains with examples as their owners would write them",
    "strangers": "added to the default registry: {newcomers} domains of public data",
    "strangers_together": "the same, {together} added at once",
    "strangers_last": "the same domains, each added after all the others with all their examples",
    "strangers_used": "the same domains, after `shoal learn apply` on some hundred requests without scores",
    "clinc150": "an intent of CLINC150, added to fifty others",
    "registry": "an expert of the default registry, removed and added again",
    "registry_chosen": "the same, with one example of each kind of request",
    "registry_used": "the same, after `shoal learn apply` (scored on other requests than the two rows above)",
}


def added_table(found: Mapping[str, Any], _: Path) -> str:
    """What share of its requests an expert that was just added is sent, and what that costs the others."""
    owners = found.get("owners", {}).get("newcomers", {})
    named = {"newcomers": len(found["strangers"]["newcomers"]), "owners": len(owners), "together": found["together"]}
    columns = (
        f"added with {found['added']} examples",
        "share of its requests sent to it",
        COST.title,
        "their requests",
    )
    lines = [f"| {' | '.join(columns)} | with all its examples |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, what in ROWS.items():
        if name not in found:
            continue
        told = found[name]["all"]
        sent, cost = _per_cent(told["taken"], " %"), _cost(told["cost"])
        later = "(it has no more)" if name == "owners" else _per_cent(told["taken_later"], " %")
        lines.append(f"| {what.format(**named)} | {sent} | {cost} | {found[name]['requests']:,} | {later} |")
    said = [
        "",
        "Examples are drawn at random; 95 % intervals in brackets. The cost is the drop, in points, of the share of "
        "the others' requests that reach the right expert; most of those lost go to the fallback. The target is "
        f"{target_text(COST.model_dump(), 'reach')}; a cost that misses it is bold. Of the public "
        f"domains, {_least(found['strangers']['newcomers'])}",
        *([_of_owners(found["owners"])] if owners else []),
        f"`python -m eval.added`, {found['date'][:10]}, {commit_text(found)}.",
    ]
    return "".join(line + "\n" for line in [*lines, said[0], " ".join(said[1:])])


def cost_figure(measured: Mapping[str, float]) -> dict[str, Any]:
    """A cost with its interval as a figure beside its target, as records have them."""
    return {**COST.model_dump(), **measured, "reached": COST.reached(measured["value"], COST.reach)}


def _cost(measured: Mapping[str, float]) -> str:
    figure = cost_figure(measured)
    value = value_text(figure) if figure["reached"] else f"**{value_text(figure)}**"
    return f"{value} ({interval_text(figure)})"


def _least(newcomers: Mapping[str, Any]) -> str:
    """Which of the newcomers is sent the smallest share of its requests."""
    name = min(newcomers, key=lambda each: float(newcomers[each]["taken"]["value"]))
    return f"`{name}` is sent the smallest share, {_per_cent(newcomers[name]['taken'], ' %')}."


def _of_owners(found: Mapping[str, Any]) -> str:
    """What is to be known of the domains that were written as owners would."""
    foretold, measured = found["foretold"], found.get("measured")
    when = f" ({measured['date'][:10]}, {commit_text(measured)})" if measured else ""
    share, off = f"{100 * foretold['share']:.1f} %", f"{100 * foretold['off']:.0f} points"
    return (
        f"Of the owners' domains, {_least(found['newcomers'])} For these, `shoal registry add` predicts {share} on "
        f"average from the examples, and is off by {off} for a single domain on average{when}."
    )


def _per_cent(figure: Mapping[str, float], unit: str) -> str:
    """A share in hundredths, with its interval."""
    value, low, high = (f"{100 * figure[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value}{unit} ({low} to {high})"
