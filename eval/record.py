"""What eval/results holds of a run: its figures over all seeds, how sure they are, and what they rest on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from eval.drawn import Drawn
from eval.plan import Figure, PlanError, Run
from eval.runs import Found

EXACT: Final = 1e-9
"""How far the mean of shares may be beyond 0 or 1, by rounding in binary."""

SHOWN: Final = (
    "rows", "train", "test", "unscored", "dropped", "repeats", "near_duplicates", "accuracy_apart",
    "accuracy_by_class", "models", "frontier", "constants", "baselines", "best_quality", "cost_at_drop",
    "saved_at_drop", "confidence", "calibration", "risk", "risk_curve", "confusion", "confusions", "per_class",
    "by_kind", "by_task", "policy", "objective", "fallback", "split",
)  # fmt: skip
"""Of one seed's report, what the record keeps: enough to draw it, no text of anybody's data."""


def recorded(
    run: Run,
    found: Mapping[int, Found],
    without: Mapping[int, Mapping[str, Mapping[str, Drawn]]],
    origin: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a run from what its seeds gave, and for some of them without parts of the judge.

    Raises `PlanError` where the plan calls a figure a share that is none.
    """
    sure = {
        name: {seed: each.drawn[name] for seed, each in found.items() if name in each.drawn} for name in run.figures
    }
    first = found[min(found)].report
    return {
        "id": run.id,
        "title": run.title,
        "kind": run.kind,
        "file": run.file,
        **origin,
        "seeds": sorted(found),
        "figures": {name: _figure(f"{run.id}: {name}", run.figures[name], each) for name, each in sure.items() if each},
        "verdict": {
            name: _verdict(sure[f"gain_{name}"]) for name in ("shuffled", "task_mean") if sure.get(f"gain_{name}")
        },
        "ablation": _ablation(run, found, without),
        "detail": {name: first[name] for name in SHOWN if name in first},
        "failures": first["failures"] if getattr(run, "list_failures", False) else [],
    }


def _figure(named: str, asked: Figure, by_seed: Mapping[int, Drawn]) -> dict[str, Any]:
    pooled = Drawn.pooled([each.centred() for each in by_seed.values()])
    if asked.unit == "%" and not (np.isnan(pooled.value) or -EXACT <= pooled.value <= 1 + EXACT):
        raise PlanError(f'{named} is {pooled.value:g}, no share of 1. Remedy: leave out its `unit: "%"` in the plan')
    value = pooled.to_json()["value"]
    return {
        **pooled.to_json(),
        "seeds": [each.to_json()["value"] for each in by_seed.values()],
        **asked.model_dump(),
        "reached": asked.reached(value, asked.reach),
        "aim_reached": asked.reached(value, asked.aim),
    }


def _verdict(by_seed: Mapping[int, Drawn]) -> dict[str, Any]:
    pooled = Drawn.pooled([each.centred() for each in by_seed.values()])
    return {**pooled.to_json(), "beats": pooled.low > 0}


def _ablation(
    run: Run, found: Mapping[int, Found], without: Mapping[int, Mapping[str, Mapping[str, Drawn]]]
) -> dict[str, dict[str, dict[str, Any]]]:
    """By part and figure: by how much the figure is better with the part than without, and whether that is sure."""
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for part in run.ablate:
        for name in run.headline:
            pairs = [
                (found[seed].drawn[name], parts[part][name])
                for seed, parts in without.items()
                if part in parts and name in parts[part] and name in found[seed].drawn
            ]
            if pairs:
                table.setdefault(part, {})[name] = _worth(run.figures[name], pairs)
    return table


def _worth(asked: Figure, pairs: list[tuple[Drawn, Drawn]]) -> dict[str, Any]:
    gained = [own.less(less) if asked.better == "more" else less.less(own) for own, less in pairs]
    pooled = Drawn.pooled([each.centred() for each in gained])
    earns = "nothing sure" if not pooled.low > 0 and not pooled.high < 0 else "yes" if pooled.low > 0 else "harms"
    return {**pooled.to_json(), "earns": earns}
