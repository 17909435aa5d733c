"""The table of what a newcomer is sent and costs, from the record of `python -m eval.added`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eval.wording import commit_text

ROWS: Final = {
    "owners": "new to the default registry ({owners} domains as their owners would add them)",
    "strangers": "new to the default registry ({newcomers} domains of public data)",
    "strangers_together": "the same, {together} at once",
    "strangers_last": "new, each as the last one, beside the others with all their examples",
    "strangers_used": "new, after `shoal learn apply` with a few hundred unscored requests",
    "clinc150": "an intent of CLINC150 beside fifty others",
    "registry": "an expert of the default registry, removed and added again",
    "registry_chosen": "the same, with one example of each kind of request",
    "registry_used": "the same, after `shoal learn apply` with unscored requests (on other rows than the two above)",
}


def added_table(found: Mapping[str, Any], _: Path) -> str:
    """What share of its requests an expert that was just added is sent, and what that costs the others."""
    owners = found.get("owners", {}).get("newcomers", {})
    named = {"newcomers": len(found["strangers"]["newcomers"]), "owners": len(owners), "together": found["together"]}
    columns = (
        f"with {found['added']} examples",
        "of its requests, sent to it at once",
        "cost to the others",
        "of so many",
    )
    lines = [f"| {' | '.join(columns)} | with all its examples |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, what in ROWS.items():
        if name not in found:
            continue
        told = found[name]["all"]
        sent, cost = _per_cent(told["taken"], " %"), _per_cent(told["cost"], " points", 2)
        later = "it has no more" if name == "owners" else _per_cent(told["taken_later"], " %")
        lines.append(f"| {what.format(**named)} | {sent} | {cost} | {found[name]['requests']:,} | {later} |")
    said = [
        "",
        "Examples drawn at random, 95 % intervals. A cost is by how many points fewer of the others' requests go to "
        "the right expert than before; most of these go to the fallback. Of the public domains "
        f"{_least(found['strangers']['newcomers'])}",
        *([_of_owners(found["owners"])] if owners else []),
        f"`python -m eval.added`, {found['date'][:10]}, {commit_text(found)}.",
    ]
    return "".join(line + "\n" for line in [*lines, said[0], " ".join(said[1:])])


def _least(newcomers: Mapping[str, Any]) -> str:
    """Which of the newcomers is sent the smallest share of its requests."""
    name = min(newcomers, key=lambda each: float(newcomers[each]["taken"]["value"]))
    return f"`{name}` is sent the least, {_per_cent(newcomers[name]['taken'], ' %')}."


def _of_owners(found: Mapping[str, Any]) -> str:
    """What is to be known of the domains that were written as owners would."""
    foretold, measured = found["foretold"], found.get("measured")
    when = f" ({measured['date'][:10]}, {commit_text(measured)})" if measured else ""
    share, off = f"{100 * foretold['share']:.1f} %", f"{100 * foretold['off']:.0f} points"
    return (
        f"Of the owners' domains {_least(found['newcomers'])} What `shoal registry add` says of their examples "
        f"predicted {share} on average, and was off by {off} a domain{when}."
    )


def _per_cent(figure: Mapping[str, float], unit: str, digits: int = 1) -> str:
    """A share in hundredths, with its interval."""
    value, low, high = (f"{100 * figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value}{unit} ({low} to {high})"
