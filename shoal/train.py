"""`shoal experts train`: fine-tune the encoder. Needs the `train` extra, which serving does not."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from shoal.options import AsJson, RegistryPath, settings, there

if TYPE_CHECKING:
    from experts.factory.tuning import Base

app = typer.Typer(help="Make an encoder.\n\nExample: shoal experts train encoder --help", no_args_is_help=True)


PACE_STEPS: Final = 4
"""Steps after which the time of a training is told; "checking" has no more than so many."""


@app.callback()
def _group() -> None:
    """Keeps `encoder` a command of its own while it is the only one."""


@app.command()
def encoder(
    data: Annotated[list[Path], typer.Option(callback=there, help="JSON lines of input, label, split; once per file.")],
    out: Annotated[Path, typer.Option(help="Folder to write: model.onnx, tokenizer.json, card.yaml.")],
    licence: Annotated[list[str] | None, typer.Option(help="Of each --data, in the same order.")] = None,
    guard: Annotated[
        list[Path] | None, typer.Option(callback=there, help="Labelled files it must not get worse on.")
    ] = None,
    anchor: Annotated[
        list[Path] | None, typer.Option(callback=there, help="JSON lines whose inputs keep their vectors.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Batches to train for.")] = 60,
    seed: Annotated[int, typer.Option(help="Of the batches.")] = 0,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the sentence encoder on labelled requests, and write it if that pays on rows it never saw.

    Ten examples a label can be enough (ADR 0043 has figures); a label with fewer than five to train on is left out.

    Rows of the split test are left alone. What pays is seen on rows of the split validation. Without those, and with
    fewer than 5,000 rows, it is tuned three times without a third of them, which it then judges, and at last on all;
    where the first third tells, it is tuned twice. With more rows every fifth of a label is kept aside to check with.

    Example: shoal experts train encoder --data intents.jsonl.gz --guard other.jsonl --out build/encoder
    """
    if licence and len(licence) != len(data):
        raise typer.BadParameter(f"{len(licence)} licences for {len(data)} files", param_hint="--licence")
    from experts.factory.packages import require_packages

    require_packages()
    from experts.factory.contrastive import Course
    from experts.factory.lessons import few, read_inputs, read_lessons, whole
    from experts.factory.train_encoder import train_encoder
    from shoal.stages import stages

    lessons = [read_lessons(path, one) for path, one in zip(data, licence or ["not stated"] * len(data), strict=True)]
    guards = [read_lessons(path) for path in guard or []]
    for one in [whole(each) for each in lessons] if few(lessons) else lessons:
        rows = f"{len(one.texts):,} rows of {len(set(one.labels.tolist())):,} labels to train on"
        typer.echo(f"{one.name}: {rows}, {len(one.check_texts) or 'none aside'} to check with", err=True)
    anchors = [text for path in anchor or [] for text in read_inputs(path)]
    course = Course(steps=steps, seed=seed)
    base = asyncio.run(_base(registry))
    note = partial(typer.echo, err=True)
    with stages() as progress:
        made = train_encoder(base, lessons, guards, anchors, out, course, note, paced(progress, note))
    if as_json:
        typer.echo(json.dumps({"out": str(out), "sha256": made.sha256, "share": made.share}))
    else:
        line = f'encoder: {{path: {out.resolve()}, sha256: "{made.sha256}"}}'
        typer.echo(f"{out}: to serve with it, put into the registry {line}")


def paced(progress: Callable[[str, int, int], None], note: Callable[[str], None]) -> Callable[[str, int, int], None]:
    """`progress` that also notes, after some steps of whatever takes steps, about how long all of them take."""
    began: dict[str, float] = {}

    def advance(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        began.setdefault(what, time.monotonic())
        if done == 1 + PACE_STEPS and total > done:
            seconds = (time.monotonic() - began[what]) / PACE_STEPS * total
            note(f"{what}: about {seconds:,.0f} s for {total:,} steps")

    return advance


async def _base(registry: Path | None) -> Base:
    from experts.factory.tuning import fetch_base
    from experts.progress import progress_on
    from experts.registry import load_registry
    from router.encode import TOKENIZER

    chosen = settings(registry)
    folder = load_registry(chosen.registry).registry.encoder.path
    return await fetch_base(folder / TOKENIZER, chosen.data_dir, progress_on(sys.stderr))
