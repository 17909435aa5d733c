"""Results -> report.html and one SVG file a plot, beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.plan import Plan, PlanError, read_record
from eval.report.page import drawn, page
from eval.report.plots import standalone
from eval.report.words import unmeasured


def publish(plan: Plan, results: Path) -> Path:
    """Write the page about all runs of `plan` that have a record in `results`. Raises `PlanError` or `PlotsError`."""
    records = [read_record(path) for run in plan.runs if (path := results / f"{run.id}.json").exists()]
    if not records:
        raise PlanError(f"{results}: holds no record of a run{_remedy(results)}")
    svgs = drawn(records)
    for (run, kind), svg in svgs.items():
        (results / f"{run}-{kind}.svg").write_text(standalone(svg))
    made = results / "report.html"
    undrawn = {run.id for run in plan.runs if not run.drawn}
    added, lacking = _added(results / "added.json"), [*unmeasured(plan, records)]
    made.write_text(page(records, svgs, undrawn, added, lacking), encoding="utf-8")
    return made


def _remedy(results: Path) -> str:
    """What to do about a folder without a record: it may hold those of another plan."""
    if any(results.glob("*.json")):
        return " of this plan. Remedy: --plan FILE, the plan that those in it were measured by"
    return f". Remedy: make eval, or shoal eval run --out {results}"


def _added(path: Path) -> dict[str, Any] | None:
    """What `eval.added` wrote; None where it did not. Raises `PlanError`."""
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PlanError(f"{path}: cannot be read ({error}). Remedy: restore it, or python -m eval.added") from None
