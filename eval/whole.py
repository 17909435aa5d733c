"""All runs of a plan, one after the other, each record written as soon as it is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.plan import Plan, Run, find
from eval.provenance import origin
from eval.record import recorded
from eval.runs import Bench, run_once, run_without, settings_of
from experts.destination import write_there
from experts.digest import sha256_of


def measure(
    bench: Bench, plan: Plan, runs: Sequence[Run], data: Path, plan_path: Path, out: Path, *, quick: bool
) -> list[dict[str, Any]]:
    """The records of `runs`, also written to `out`; `quick` tries one seed and leaves nothing out.

    Raises `PlanError` when a file is missing, before anything is measured.
    """
    paths = {run.id: find(run.file, data, plan_path) for run in runs}
    made = []
    for done, run in enumerate(runs):
        bench.progress("runs", done, len(runs))
        record = _record(bench, plan, run, paths[run.id], quick=quick)
        out.mkdir(parents=True, exist_ok=True)
        write_there("--out", out / f"{run.id}.json", [json.dumps(record, indent=1).encode(), b"\n"])
        made.append(record)
    bench.progress("runs", len(runs), len(runs))
    return made


def measure_one(bench: Bench, plan: Plan, run: Run, data: Path, plan_path: Path) -> dict[str, Any]:
    """The record of one run, without the ablation; nothing is written. Raises `PlanError`."""
    path = find(run.file, data, plan_path)
    return _record(bench, plan, run.model_copy(update={"ablate": ()}), path, quick=False)


def _record(bench: Bench, plan: Plan, run: Run, path: Path, *, quick: bool) -> dict[str, Any]:
    seeds = plan.seeds_of(run)[: 1 if quick else None]
    found, without = {}, {}
    for done, seed in enumerate(seeds):
        bench.progress(run.id, done, len(seeds))
        found[seed] = run_once(bench, run, path, seed)
    for seed in () if quick else set(run.ablate_seeds) & set(seeds):
        without[seed] = run_without(bench, run, path, seed)
    bench.progress(run.id, len(seeds), len(seeds))
    rests_on = {"data_sha256": sha256_of(path), "encoder": bench.encoder.fingerprint, "command": "make eval"}
    if run.kind == "requests":
        rests_on["registry"] = bench.registry.version
    return recorded(run, found, without, origin() | rests_on | {"quick": quick, "settings": settings_of(run)})
