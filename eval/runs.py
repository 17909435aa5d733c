"""The runs of a plan, each done once: what a run and seed gave is kept by everything it rests on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from eval.drawn import Drawn, read_drawn, stored
from eval.labels import Cut, cut, without_parts
from eval.labels import evaluate as evaluate_labels
from eval.matrix import read_matrix
from eval.outcomes import Encoded, encode, without
from eval.outcomes import Plan as OutcomesPlan
from eval.outcomes import evaluate as evaluate_outcomes
from eval.plan import LabelsRun, OutcomesRun, RequestsRun, Run
from eval.provenance import code_of
from eval.requests import Request, evaluate_requests, read_requests
from eval.requests_ablation import without_part
from eval.tuned import CODE, Tuner
from experts.digest import sha256_of
from experts.progress import Stage
from experts.registry import LoadedRegistry
from experts.spec import Registry
from router.encode import Encoder
from router.learn.fit import fit_judge

log = logging.getLogger("shoal.eval")


@dataclass(frozen=True, slots=True)
class Found:
    """What one run with one seed gave: everything of the contract, and the figures that were drawn again."""

    report: dict[str, Any]
    drawn: dict[str, Drawn]


@dataclass(slots=True)
class Bench:
    """Where runs are done: the encoder, the registry, and the folder that keeps what was done."""

    encoder: Encoder
    registry: LoadedRegistry
    folder: Path
    progress: Stage
    _read: dict[tuple[Path, str], Encoded] = field(default_factory=dict)

    @property
    def vectors(self) -> Path:
        """Where vectors are kept."""
        return self.folder / "vectors"

    def encoded(self, path: Path, objective: str) -> Encoded:
        """An outcome matrix, read once; the last one only, for they are large."""
        key = (path, objective)
        if key not in self._read:
            self._read.clear()
            self._read[key] = encode(read_matrix(path, objective), self.encoder, self.vectors, self.progress)
        return self._read[key]


def run_once(bench: Bench, run: Run, path: Path, seed: int) -> Found:
    """A run's figures for one seed. Raises `SamplesError`."""
    said = _kept(bench, run, path, seed, "", lambda: _measured(bench, run, path, seed))
    return Found(said["report"], {name: read_drawn(each) for name, each in said["drawn"].items()})


def run_without(bench: Bench, run: Run, path: Path, seed: int) -> dict[str, dict[str, Drawn]]:
    """The drawn figures for one seed without each part of the judge that the run names. Raises `SamplesError`."""
    if not isinstance(run, LabelsRun):
        lesser = {part: partial(_lesser, bench, run, path, seed, part) for part in run.ablate}
        parts = {part: _kept(bench, run, path, seed, part, measure) for part, measure in lesser.items()}
    elif run.ablate:
        parts = _kept(bench, run, path, seed, " ".join(run.ablate), partial(_each_lesser, bench, run, path, seed))
    else:
        parts = {}
    return {part: {name: read_drawn(each) for name, each in parts[part]["drawn"].items()} for part in run.ablate}


def _measured(bench: Bench, run: Run, path: Path, seed: int) -> dict[str, Any]:
    if isinstance(run, LabelsRun):
        data = _cut(bench, run, path, seed)
        report, sure = evaluate_labels(data, seed)
    elif isinstance(run, OutcomesRun):
        encoded = bench.encoded(path, run.objective)
        report, sure = evaluate_outcomes(encoded, _plan(run, seed), path, bench.progress)
    else:
        report, sure = _of_registry(bench, run, path)
    return {"report": report, "drawn": {name: stored(each) for name, each in sure.items()}}


def _cut(bench: Bench, run: LabelsRun, path: Path, seed: int) -> Cut:
    tuner = Tuner(bench.registry.registry.encoder, bench.folder, bench.progress) if run.tune else None
    return cut(path, bench.encoder, bench.vectors, run.teaching, seed, bench.progress, tuner)


def _lesser(bench: Bench, run: OutcomesRun | RequestsRun, path: Path, seed: int, part: str) -> dict[str, Any]:
    found: Mapping[str, Drawn]
    if isinstance(run, OutcomesRun):
        found = without(bench.encoded(path, run.objective), _plan(run, seed), part, path, bench.progress)
    else:
        found = without_part(*_requests(bench, run, path), bench.encoder, bench.vectors, part)
    return {"drawn": {name: stored(each) for name, each in found.items()}}


def _each_lesser(bench: Bench, run: LabelsRun, path: Path, seed: int) -> dict[str, Any]:
    found = without_parts(_cut(bench, run, path, seed), run.ablate, seed)
    return {part: {"drawn": {name: stored(each) for name, each in drawn.items()}} for part, drawn in found.items()}


def _of_registry(bench: Bench, run: RequestsRun, path: Path) -> tuple[dict[str, Any], dict[str, Drawn]]:
    requests, registry = _requests(bench, run, path)
    return evaluate_requests(requests, registry, bench.encoder, fit_judge(registry, bench.encoder, bench.vectors))


def _requests(bench: Bench, run: RequestsRun, path: Path) -> tuple[list[Request], Registry]:
    """What is asked, and the registry with the run's policy."""
    registry = bench.registry.registry
    if run.policy:
        registry = registry.model_copy(update={"policies": {run.id: run.policy}, "default_policy": run.id})
    return [row for row in read_requests(path) if run.split in ("all", row.split)], registry


def _plan(run: OutcomesRun, seed: int) -> OutcomesPlan:
    return OutcomesPlan(run.fallback, run.objective, run.split, run.folds, run.train, seed)


_CODE: Final[Mapping[str, str]] = {
    "labels": "eval.labels",
    "outcomes": "eval.outcomes",
    "requests": "eval.requests_ablation",
}


def _code(run: Run) -> str:
    tuned = isinstance(run, LabelsRun) and run.tune
    return code_of(_CODE[run.kind]) + (code_of(CODE) if tuned else "")


def settings_of(run: Run) -> dict[str, Any]:
    """What a plan asks of a run, as JSON has it, but for what it is called, what is made of it and over which seeds."""
    said = {"id", "title", "figures", "seeds", "ablate", "ablate_seeds", "headline"}
    return run.model_dump(mode="json", exclude=said)


def _kept(
    bench: Bench, run: Run, path: Path, seed: int, part: str, measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What was measured before on the same data, encoder, code and settings; else measured now, and kept."""
    rests_on = [
        sha256_of(path), bench.encoder.fingerprint, _code(run), json.dumps(settings_of(run), sort_keys=True),
        str(seed), part, bench.registry.version if run.kind == "requests" else "",
    ]  # fmt: skip
    key = hashlib.sha256("\0".join(rests_on).encode()).hexdigest()[:32]
    kept = bench.folder / "eval" / f"{run.id}-{key}.json"
    if kept.exists():
        try:
            return dict(json.loads(kept.read_text()))
        except (ValueError, TypeError) as error:
            log.warning("%s: is damaged (%s), so it is measured again", kept, error)
    found = measure()
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".draft")
    draft.write_text(json.dumps(found))
    draft.replace(kept)
    return found
