"""`shoal experts train`: fine-tune the encoder. Needs the `train` extra, which serving does not."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from experts.errors import ShoalError
from experts.extras import install
from shoal.options import AsJson, RegistryPath, settings

if TYPE_CHECKING:
    from experts.factory.train_encoder import Base

PACKAGES: Final = ("torch", "onnx")

app = typer.Typer(help="Make an encoder.\n\nExample: shoal experts train encoder --help", no_args_is_help=True)


class TrainingUnavailable(ShoalError):
    """What training needs is not installed, or not told; the message has the remedy."""


@app.callback()
def _group() -> None:
    """Keeps `encoder` a command of its own while it is the only one."""


@app.command()
def encoder(
    data: Annotated[list[Path], typer.Option(help="JSON lines of input, label, split; once per file.")],
    out: Annotated[Path, typer.Option(help="Folder to write: model.onnx, tokenizer.json, card.yaml.")],
    licence: Annotated[list[str] | None, typer.Option(help="Of each --data, in the same order.")] = None,
    guard: Annotated[list[Path] | None, typer.Option(help="Labelled files it must not get worse on.")] = None,
    anchor: Annotated[list[Path] | None, typer.Option(help="JSON lines whose inputs keep their vectors.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Batches to train for.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the batches.")] = 0,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the sentence encoder on labelled requests, and write it if that pays on rows it never saw.

    Rows of the split test are left alone. Without rows of the split validation, every fifth of a label is kept aside to
    check with.

    Example: shoal experts train encoder --data intents.jsonl.gz --guard other.jsonl --out build/encoder
    """
    if licence and len(licence) != len(data):
        raise typer.BadParameter(f"{len(licence)} licences for {len(data)} files", param_hint="--licence")
    _require_packages()
    from experts.factory.contrastive import Course
    from experts.factory.lessons import read_inputs, read_lessons
    from experts.factory.train_encoder import train_encoder
    from shoal.stages import stages

    lessons = [read_lessons(path, one) for path, one in zip(data, licence or ["not stated"] * len(data), strict=True)]
    guards = [read_lessons(path) for path in guard or []]
    for one in lessons:
        rows = f"{len(one.texts):,} rows of {len(set(one.labels.tolist())):,} labels to train on"
        typer.echo(f"{one.name}: {rows}, {len(one.check_texts):,} to check with", err=True)
    anchors = [text for path in anchor or [] for text in read_inputs(path)]
    course = Course(steps=steps, seed=seed)
    base = asyncio.run(_base(registry))
    with stages() as progress:
        made = train_encoder(base, lessons, guards, anchors, out, course, partial(typer.echo, err=True), progress)
    if as_json:
        typer.echo(json.dumps({"out": str(out), "sha256": made.sha256, "share": made.share}))
    else:
        line = f'encoder: {{path: {out.resolve()}, sha256: "{made.sha256}"}}'
        typer.echo(f"{out}: to serve with it, put into the registry {line}")


def _require_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise TrainingUnavailable(
            f"training needs {' and '.join(missing)}, which serving does not. Remedy: {install('train')}"
        )


async def _base(registry: Path | None) -> Base:
    from experts.factory.train_encoder import WEIGHTS, Base
    from experts.progress import progress_on
    from experts.registry import load_registry
    from experts.weights import fetch
    from router.encode import TOKENIZER

    chosen = settings(registry)
    folder = load_registry(chosen.registry).registry.encoder.path
    weights = await fetch(WEIGHTS, chosen.data_dir, chosen.registry.parent, progress_on(sys.stderr))
    return Base(weights, folder / TOKENIZER)
