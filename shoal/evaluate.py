"""`shoal eval`: does the choice pay?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal import figures, promises
from shoal.answers import answers
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings, there
from shoal.tables import show_table, table_of

if TYPE_CHECKING:
    from eval.outcomes import Split

app = typer.Typer(
    help="Measure how well requests are routed.\n\nExample: shoal eval labels requests.jsonl --json",
    no_args_is_help=True,
)
app.command("certify")(promises.certify)
app.command("run")(figures.run)
app.command("check")(figures.check)
app.command("report")(figures.report)
app.command("answers")(answers)
app.command("requests")(figures.requests)


@app.command()
def labels(
    files: Annotated[
        list[Path], typer.Argument(callback=there, help="Files of labelled requests as JSON lines, optionally gzipped.")
    ],
    shots: Annotated[
        int | None, typer.Option(min=1, help="Train on this many rows of each label. (default: all)")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random choice of those rows.")] = 0,
    tune: Annotated[bool, typer.Option("--tune", help="Tune the encoder on the training rows first.")] = False,
    failures: Annotated[bool, typer.Option("--failures", help="List every test row that got a wrong label.")] = False,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Fit Shoal's judge on labelled requests and score it on held-out ones.

    A row looks like {"input": "Will it rain?", "label": "weather", "split": "train"}. The split is train, validation
    or test; the label is null where no expert should answer. A training row whose text is also in validation or test
    is dropped, and so is every repeat within a split; the first one counts.

    Example: shoal eval labels intents.jsonl.gz --shots 10 --json
    """
    from eval.labels import evaluate_labels
    from eval.tuned import Tuner
    from experts.registry import load_registry
    from router.encode import Encoder
    from shoal.stages import stages

    chosen = settings(registry)
    spec = load_registry(chosen.registry).registry.encoder
    encoder = Encoder.of(spec)
    with stages() as progress:
        tuner, vectors = Tuner(spec, chosen.data_dir, progress) if tune else None, chosen.vectors_folder
        found = [evaluate_labels(path, encoder, vectors, shots, seed, progress, tuner) for path in files]
    if as_json:
        echo_json(found[0] if len(found) == 1 else found)
        return
    table = table_of("file", "train", "test", "accuracy", "ECE", "OOS AUROC", "FPR95", "in scope / recall")
    for row in found:
        oos = row["oos"]
        pair = f"{oos['in_scope_accuracy']:.1%} / {oos['recall']:.1%}" if oos and oos["overall"] else "-"
        score, passed = (f"{oos[key]:.1%}" if oos else "-" for key in ("auroc", "fpr95"))
        table.add_row(
            row["file"], f"{row['train']:,}", f"{row['test']:,}", f"{row['accuracy']:.1%}", f"{row['ece']:.3f}",
            score, passed, pair,
        )  # fmt: skip
    show_table(table)
    for row in found:
        _say_beside(row)
    for row in found if failures else ():
        for each in row["failures"]:
            typer.echo(f"{each['label']} -> {each['said']} ({each['probability']:.2f})  {each['input']!r}")


def _say_beside(row: dict[str, Any]) -> None:
    """What the table does not show: which rows of a file did not count, and which figures there are not."""
    if row["preamble"]:
        typer.echo(row["preamble"])
    if leaked := row["dropped"] - row["repeats"]:
        typer.echo(f"{row['file']}: {leaked:,} dropped from train, whose text is in test or validation too")
    if row["repeats"]:
        told = f"{row['repeats']:,} rows repeat one of their split and are dropped"
        again = f"; {row['relabelled']:,} of them under another label, where the first counts"
        typer.echo(f"{row['file']}: {told}{again if row['relabelled'] else ''}")
    if row["train_null"]:
        typer.echo(
            f"{row['file']}: {row['train_null']:,} train rows have the label null: neither taught nor asked about"
        )
    if row["unlearnt"]:
        typer.echo(f"{row['file']}: {row['unlearnt']:,} test rows have a label that no train row has: counted as wrong")
    if row["oos"] is None:
        typer.echo(f"{row['file']}: -: no test row has the label null, so nothing tells how well such are sent away")
    elif row["oos"]["overall"] is None:
        typer.echo(f"{row['file']}: -: no validation row has the label null, so no threshold is picked")


@app.command()
def outcomes(
    files: Annotated[
        list[Path], typer.Argument(callback=there, help="Outcome matrices as JSON lines, optionally gzipped.")
    ],
    fallback: Annotated[str, typer.Option(help="The model that answers when no smaller one will do.")],
    objective: Annotated[str, typer.Option(help="The cost to minimise: the name of any number beside the scores.")],
    folds: Annotated[int | None, typer.Option(min=2, help="Number of cross-validation folds. (default: 5)")] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Fit on the rows whose split is train and score the others.")
    ] = False,
    train: Annotated[int | None, typer.Option(min=1, help="Fit on this many rows and score the rest.")] = None,
    by_task: Annotated[bool, typer.Option("--by-task", help="Put each task into one fold as a whole.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random division of the rows.")] = 0,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Fit Shoal's judge on part of an outcome matrix, let it choose models for the rest, and score its choices.

    A row looks like {"input": "2 + 2?", "task": "sums", "outcomes": {"small": {"score": 1, "cost_usd": 0.01}, "big":
    {...}}}. The task is optional and never used to decide. Rows with the same input count as one, with the models of
    all of them; near-duplicates stay in one fold.

    Example: shoal eval outcomes matrix.jsonl.gz --fallback gpt-4 --objective cost_usd --folds 5 --json
    """
    from eval.outcomes import TASK_FOLDS, Plan, evaluate_outcomes
    from experts.registry import load_registry
    from router.encode import Encoder
    from shoal.outcomes_table import show_outcomes
    from shoal.stages import stages

    if split + (train is not None) + (by_task or folds is not None) > 1:
        raise typer.BadParameter("--folds, --split and --train exclude each other; --by-task goes with --folds only")
    way: Split = "given" if split else "count" if train is not None else "task" if by_task else "folds"
    plan = Plan(fallback, objective, way, folds or (TASK_FOLDS if by_task else 5), train or 0, seed)
    chosen = settings(registry)
    spec = load_registry(chosen.registry).registry.encoder
    encoder = Encoder.of(spec)
    with stages() as progress:
        found = [evaluate_outcomes(path, encoder, chosen.vectors_folder, plan, progress) for path in files]
    if as_json:
        echo_json(found[0] if len(found) == 1 else found)
        return
    for each in found:
        show_outcomes(each)
