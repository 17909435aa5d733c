"""`shoal experts train`: fine-tune the encoder. Needs the `train` extra, which serving does not."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from experts.destination import require_folder
from experts.progress import Stage
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings, there

if TYPE_CHECKING:
    from experts.factory.lessons import Lessons

app = typer.Typer(
    help="Train an encoder on your own examples.\n\nExample: shoal experts train encoder --help", no_args_is_help=True
)


PACE_STEPS: Final = 4
"""Steps after which the time of a training is told; "checking" has no more than so many."""


@app.callback()
def _group() -> None:
    """Keeps `encoder` a command of its own while it is the only one."""


Data = Annotated[
    list[Path], typer.Option(callback=there, help="JSON lines with input, label and split; may be repeated.")
]
Out = Annotated[
    Path, typer.Option(help="The folder to create, with model.onnx, tokenizer.json, vectors.npz and card.yaml.")
]
Licences = Annotated[list[str] | None, typer.Option(help="The licence of each --data file, in the same order.")]
Guards = Annotated[
    list[Path] | None,
    typer.Option(
        callback=there,
        help="A labelled file on which the encoder must not get worse by over one row and .3 points: of 30 rows or more"
        " of the split validation, or of every fifth row; may be repeated.",
    ),
]
Anchors = Annotated[
    list[Path] | None,
    typer.Option(callback=there, help="JSON lines whose inputs should keep their vectors; may be repeated."),
]


@app.command()
def encoder(
    data: Data,
    out: Out,
    licence: Licences = None,
    guard: Guards = None,
    anchor: Anchors = None,
    steps: Annotated[int, typer.Option(min=1, help="Number of training batches.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random batches.")] = 0,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the sentence encoder on labelled requests; write it only if it is better on rows it never saw.

    At least eight rows a label are needed, or five and others of the split "validation"; whether so few make it better
    depends on the data (ADR 0043 has figures of ten). A label with fewer than five training rows is left out, and rows
    of the split "test" are never used.

    The tuned encoder is checked on the rows of the split "validation", if there are 30 or more. Without them, and with
    fewer than 5,000 rows, it is cross-validated: tuned three times on two thirds of the rows and checked on the rest,
    then tuned on all; one such check is enough if it decides already. With more rows, every fifth row of a label is
    kept for the check. No row is used for a check that was trained on, nor a near-duplicate of one.

    The card of the encoder records how confident judges fitted on it should be, as measured by these checks.

    Example: shoal experts train encoder --data intents.jsonl.gz --guard other.jsonl --out build/encoder
    """
    if licence and len(licence) != len(data):
        raise typer.BadParameter(f"{len(licence)} licences for {len(data)} files", param_hint="--licence")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        remedy = "Remedy: a new folder; an encoder may serve from there"
        raise typer.BadParameter(f"{out} is there already. {remedy}", param_hint="--out")
    require_folder("--out", out)
    from experts.factory.lessons import read_inputs
    from experts.factory.packages import require_packages
    from experts.registry import load_registry
    from router.encode import TOKENIZER

    chosen = settings(registry)
    lessons, guards = _read(data, licence or ["not stated"] * len(data), guard or [])
    anchors = [text for path in anchor or [] for text in read_inputs(path)]
    tokenizer = load_registry(chosen.registry).registry.encoder.path / TOKENIZER
    require_packages()
    from experts.factory.contrastive import Course
    from experts.factory.train_encoder import train_encoder
    from experts.factory.tuning import fetch_base
    from experts.progress import progress_on
    from shoal.stages import stages

    course = Course(steps=steps, seed=seed)
    base = asyncio.run(fetch_base(tokenizer, chosen.data_dir, progress_on(sys.stderr)))
    note = partial(typer.echo, err=True)
    with stages() as progress:
        made = train_encoder(base, lessons, guards, anchors, out, course, note, paced(progress, note))
    sums = {"sha256": made.sha256, "tokenizer_sha256": made.tokenizer_sha256}
    if as_json:
        echo_json({"out": str(out), **sums, "share": made.share})
    else:
        line = ", ".join([f"path: {out.resolve()}", *(f'{name}: "{value}"' for name, value in sums.items())])
        typer.echo(f"{out}: to serve with it, put into the registry encoder: {{{line}}}")


def paced(progress: Stage, note: Callable[[str], None]) -> Stage:
    """`progress` that also notes, after some steps of whatever takes steps, about how long all of them take."""
    began: dict[str, float] = {}

    def advance(what: str, done: int, total: int) -> None:
        progress(what, done, total)
        began.setdefault(what, time.monotonic())
        if done == 1 + PACE_STEPS and total > done:
            seconds = (time.monotonic() - began[what]) / PACE_STEPS * total
            note(f"{what}: about {seconds:,.0f} s for {total:,} steps")

    return advance


def _read(data: list[Path], licences: list[str], guard: list[Path]) -> tuple[list[Lessons], list[Lessons]]:
    """What to train on, of which the sizes are told, and what to guard, each file with a name of its own."""
    from experts.factory.gains import PARTS
    from experts.factory.lessons import few, names_of, part, read_lessons, whole

    names = names_of([*data, *guard])
    lessons = [read_lessons(*each) for each in zip(data, licences, names[: len(data)], strict=True)]
    for one in [whole(each) for each in lessons] if few(lessons) else lessons:
        rows = f"{len(one.texts):,} rows of {len(set(one.labels.tolist())):,} labels to train on"
        typer.echo(f"{one.name}: {rows}, {len(one.check_texts) or 'none aside'} to check with", err=True)
    for one in lessons if few(lessons) else ():
        part(one, 0, PARTS)  # the largest; what is left without it is told before anything is trained
    return lessons, [read_lessons(path, name=name) for path, name in zip(guard, names[len(data) :], strict=True)]
