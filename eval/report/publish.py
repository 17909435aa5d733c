"""Results -> report.html and one SVG file a plot, beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eval.plan import Plan, PlanError
from eval.report.page import drawn, page
from eval.report.plots import standalone


def publish(plan: Plan, results: Path) -> Path:
    """Write the page about all runs of `plan` that have a record in `results`. Raises `PlanError` or `PlotsError`."""
    records = [_read(path) for run in plan.runs if (path := results / f"{run.id}.json").exists()]
    if not records:
        raise PlanError(f"{results}: holds no record of a run. Remedy: make eval, or shoal eval run --out {results}")
    svgs = drawn(records)
    for (run, kind), svg in svgs.items():
        (results / f"{run}-{kind}.svg").write_text(standalone(svg))
    made = results / "report.html"
    made.write_text(page(records, svgs), encoding="utf-8")
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        return {**record, "detail": dict(record["detail"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: is no record of a run ({error}). Remedy: make it again, shoal eval run") from None
