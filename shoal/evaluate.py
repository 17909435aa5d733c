"""`shoal eval`: does the choice pay?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shoal.options import AsJson, RegistryPath, settings

app = typer.Typer(help="Measure the choices.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps `labels` a command of its own while it is the only one."""


@app.command()
def labels(
    files: Annotated[list[Path], typer.Argument(help="Labelled JSON lines, optionally gzipped.")],
    shots: Annotated[int | None, typer.Option(min=1, help="Training rows kept of each label.")] = None,
    seed: Annotated[int, typer.Option(help="Which rows are kept.")] = 0,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Fit the product's own judge on labelled requests and score it on held-out ones.

    Example: shoal eval labels intents.jsonl.gz --shots 10 --json
    """
    from rich.console import Console
    from rich.status import Status
    from rich.table import Table

    from eval.labels import evaluate_labels
    from experts.registry import load_registry
    from router.encode import Encoder

    chosen = settings(registry)
    spec = load_registry(chosen.registry).registry.encoder
    encoder = Encoder.open(spec.path, spec.sha256, spec.max_tokens)
    with Status("encoding and judging", console=Console(stderr=True)):
        found = [evaluate_labels(path, encoder, chosen.data_dir / "vectors", shots, seed) for path in files]
    if as_json:
        typer.echo(json.dumps(found[0] if len(found) == 1 else found))
        return
    table = Table("file", "train", "test", "accuracy", "ECE", "OOS AUROC", "FPR95", "in scope / recall", box=None)
    for row in found:
        oos = row.get("oos") or {}
        pair = f"{oos['in_scope_accuracy']:.1%} / {oos['recall']:.1%}" if "recall" in oos else "-"
        score, passed = (f"{oos[key]:.1%}" if key in oos else "-" for key in ("auroc", "fpr95"))
        table.add_row(
            row["file"], f"{row['train']:,}", f"{row['test']:,}", f"{row['accuracy']:.1%}", f"{row['ece']:.3f}",
            score, passed, pair,
        )  # fmt: skip
    Console().print(table)
