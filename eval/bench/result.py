"""One measurement from its beginning to the object that bench.json holds."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from eval.bench.errors import BenchError
from eval.bench.machine import disk
from eval.bench.measure import Measurement, Plan
from eval.bench.processes import Cores, ledger_requests, pinned, shoal, upstream
from eval.bench.prompts import TOKENS, check_length, distinct_prompts
from eval.bench.registry import bench_registry
from eval.provenance import ROOT, origin

SCRATCH: Final = ROOT / ".shoal"
"""The ledger of a measurement lies where real ones do: on a disk, not in memory."""

CHECKED_PROMPTS: Final = 200


def measured(plan: Plan) -> dict[str, Any]:
    """Measure on this machine. Raises ShoalError."""
    cores = Cores.of_this_machine()
    with _scratch() as folder, upstream(ROOT, cores.load) as upstream_port:
        registry = bench_registry(ROOT / "registry.yaml", upstream_port)
        _check_prompts(plan, Path(registry["encoder"]["path"]))
        measurement = _measure(plan, cores, folder, registry, upstream_port)
        recorded = ledger_requests(ROOT, folder)
        if recorded != measurement.answers:
            raise BenchError(f"{measurement.answers} requests were answered, but the ledger holds {recorded}")
        return _result(plan, cores, folder, measurement)


def _measure(plan: Plan, cores: Cores, folder: Path, registry: dict[str, Any], upstream_port: int) -> Measurement:
    import uvloop

    path = folder / "registry.yaml"
    path.write_text(json.dumps(registry))  # JSON is YAML
    with shoal(ROOT, path, folder, cores.shoal) as running, pinned(cores.load), _progress(plan.windows) as bar:
        measurement = Measurement(plan, running, upstream_port, registry["fallback"], bar)
        uvloop.run(measurement.run())
    return measurement


def _result(plan: Plan, cores: Cores, folder: Path, measurement: Measurement) -> dict[str, Any]:
    return {
        **origin(),
        "command": " ".join(["python -m eval.bench", *sys.argv[1:]]),
        "seed": plan.seed,
        "figures": measurement.figures(),
        "spread": {name: spread.to_json() for name, spread in measurement.spreads().items()},
        "detail": {
            "windows": plan.rounds,
            "window_s": plan.seconds,
            "connections": plan.connections,
            "cores": {"shoal": cores.shoal, "load_and_upstream": cores.load},
            "prompt_tokens": TOKENS,
            "ledger": {"requests": measurement.answers, "synchronous": "full", **disk(folder)},
            **measurement.detail(),
        },
    }


def _check_prompts(plan: Plan, encoder: Path) -> None:
    prompts = distinct_prompts(plan.seed)
    check_length([next(prompts) for _ in range(CHECKED_PROMPTS)], encoder / "tokenizer.json")


@contextmanager
def _scratch() -> Iterator[Path]:
    SCRATCH.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=SCRATCH))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _progress(windows: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, nothing elsewhere. It is drawn between windows only, to take no time from the load."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}")
    console = Console(stderr=True)
    with Progress(
        *columns, TimeRemainingColumn(), console=console, auto_refresh=False, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("measuring", total=windows)

        def advance() -> None:
            bar.advance(task)
            bar.refresh()

        yield advance
