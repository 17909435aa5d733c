"""The table of what a newcomer is sent and costs, from the record of `python -m eval.added`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eval.wording import commit_text

ROWS: Final = {
    "strangers": "new to the default registry ({newcomers} domains of public data)",
    "strangers_together": "the same, {together} at once",
    "strangers_used": "new, once `shoal learn apply` has seen some hundred requests that nobody scored",
    "clinc150": "an intent of CLINC150 beside fifty others",
    "registry": "an expert of the default registry, taken out and added again",
    "registry_chosen": "the same, one example of each kind of request",
    "registry_used": "the same, once `shoal learn apply` has seen such (other rows than the two above)",
}


def added_table(found: Mapping[str, Any], _: Path) -> str:
    """What share of its requests an expert that was just added is sent, and what that costs the others."""
    apart = {name: each["taken"] for name, each in found["strangers"]["newcomers"].items()}
    least = min(apart, key=lambda name: float(apart[name]["value"]))
    title = f"with {found['added']} examples"
    lines = [f"| {title} | is sent at once, of its requests | costs the others | with all its examples |"]
    lines.append("|---|---:|---:|---:|")
    for name, what in ROWS.items():
        told = found[name]["all"]
        shown = what.format(newcomers=len(apart), together=found["together"])
        sent, later = (_per_cent(told[each], " %") for each in ("taken", "taken_later"))
        lines.append(f"| {shown} | {sent} | {_per_cent(told['cost'], ' points')} | {later} |")
    lines += [
        "",
        "Examples drawn at random, 95 % intervals; costs are of right decisions. Of the new domains "
        f"`{least}` is sent least, {_per_cent(apart[least], ' %')}. "
        f"`python -m eval.added`, {found['date'][:10]}, {commit_text(found)}.",
    ]
    return "".join(line + "\n" for line in lines)


def _per_cent(figure: Mapping[str, float], unit: str) -> str:
    """A share in hundredths, with its interval."""
    value, low, high = (100 * figure[name] for name in ("value", "low", "high"))
    return f"{value:.1f}{unit} ({low:.1f} to {high:.1f})"
