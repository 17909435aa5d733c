"""The table of what a newcomer is sent and costs, from the record of `python -m eval.added`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from eval.wording import commit_text

ROWS: Final = {
    "strangers": "new to the default registry ({newcomers} domains of public data)",
    "strangers_together": "the same, {together} at once",
    "strangers_last": "new, each as the last of them, the rest there before it with all their examples",
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
    columns = f"with {found['added']} examples", "is sent at once, of its requests", "costs the others", "of so many"
    lines = [f"| {' | '.join(columns)} | with all its examples |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, what in ROWS.items():
        told = found[name]["all"]
        shown = what.format(newcomers=len(apart), together=found["together"])
        sent, later = (_per_cent(told[each], " %") for each in ("taken", "taken_later"))
        cost, asked = _per_cent(told["cost"], " points", 2), found[name]["requests"]
        lines.append(f"| {shown} | {sent} | {cost} | {asked:,} | {later} |")
    lines += [
        "",
        "Examples drawn at random, 95 % intervals. A cost is by how many points fewer of the others' requests the "
        "right one of them answers than before; most of those go to the fallback. Of the new domains "
        f"`{least}` is sent least, {_per_cent(apart[least], ' %')}. "
        f"`python -m eval.added`, {found['date'][:10]}, {commit_text(found)}.",
    ]
    return "".join(line + "\n" for line in lines)


def _per_cent(figure: Mapping[str, float], unit: str, digits: int = 1) -> str:
    """A share in hundredths, with its interval."""
    value, low, high = (f"{100 * figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value}{unit} ({low} to {high})"
