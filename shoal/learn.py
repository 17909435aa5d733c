"""`shoal learn`: what use has shown, what it would change, and putting that to use or taking it back."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from experts.destination import write_there
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings, there
from shoal.outputs import writable
from shoal.tables import screen, show_table, table_of
from shoal.trial_table import show_trial, tell_left_out

if TYPE_CHECKING:
    from rich.table import Table

    from router.learn.edition_file import Edition
    from router.learn.study import Study
    from router.learn.trial import Trial
    from router.settings import Settings

app = typer.Typer(no_args_is_help=True)

SAID_BYTES: Final = 16_384
"""Room for what is said of an edition in its file, and for the pointer to it."""

OutcomeFiles = Annotated[
    list[Path] | None,
    typer.Option("--outcomes", callback=there, help="Also learn from the outcomes in this file; may be repeated."),
]

ForgetFiles = Annotated[
    bool, typer.Option("--forget-files", help="Leave out what the serving edition learnt from files of outcomes.")
]


@app.callback()
def _alone() -> None:
    """Learn from use: from feedback, failures, outcome files and the requests themselves.

    Example: shoal learn show
    """


@app.command()
def show(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """Show what the ledger holds to learn from: scores by expert and date, and requests without a score.

    Example: shoal learn show --json
    """
    from router.learn.study import Study

    found = Study.open(settings(registry)).summary()
    if as_json:
        echo_json(found)
        return
    table = table_of("expert", "scores", "mean", "since")
    for expert, row in found["experts"].items():
        table.add_row(expert, f"{row['scores']:,}", f"{row['mean']:.2f}", row["since"])
    sources = ", ".join(f"{count:,} {name}" for name, count in found["sources"].items() if count) or "none"
    console = screen()
    console.print(f"{found['requests']:,} requests kept, {found['with_scores']:,} with a score ({sources})")
    if found["unscored"]:
        console.print(f"{found['unscored']:,} different requests without a score show where domains lie")
    if found["from_files"]:
        console.print(f"{found['from_files']:,} scored requests that the serving edition learnt from files stay")
    if found["of_another_encoder"]:
        console.print(f"{found['of_another_encoder']:,} more were made by another encoder and are of no use")
    if found["scores_without_a_vector"]:
        console.print(
            f"scores that teach nothing: {found['scores_without_a_vector']:,}. Their requests named an expert, so "
            "there was nothing to choose, had no text, or came while the registry kept no vectors"
        )
    if found["experts"]:
        show_table(table)
    none = _none(found["refused"]) if found["refused"] else "nothing learnt serves yet"
    console.print(f"edition {found['edition']} serves" if found["edition"] else none, highlight=False)
    for warning in found["warnings"]:
        typer.echo(warning, err=True)


@app.command("try")
def try_it(
    registry: RegistryPath = None,
    outcomes: OutcomeFiles = None,
    forget_files: ForgetFiles = False,
    as_json: AsJson = False,
) -> None:
    """Refit the judge and compare it with the one that serves, on held-out requests; nothing is changed.

    Example: shoal learn try --outcomes answers.jsonl
    """
    from router.learn.study import Study
    from shoal.stages import stages

    study = Study.open(settings(registry), outcomes or (), forget_files)
    with stages() as progress:
        trial = study.trial(progress)
    if as_json:
        echo_json(trial.to_json())
    else:
        show_trial(trial)


@app.command()
def apply(
    registry: RegistryPath = None,
    outcomes: OutcomeFiles = None,
    forget_files: ForgetFiles = False,
    force: Annotated[
        bool, typer.Option("--force", help="Learn everything and apply it, whatever the comparison says.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Refit the judge and let it serve as a new edition; a running server loads it within seconds.

    Nothing is applied, and the command exits with 1, if the new judge is worse on held-out requests by more than
    noise, if too few requests are scored to tell, if more than half of an expert's own examples would go elsewhere, or
    more than half of what no expert should answer to one.

    Scores and requests without a score are also tried separately: if one of the two makes the judge worse, it is left
    out and the output says so. With fewer than 20 scored requests, the registry's examples decide whether requests
    without a score help. If there is nothing new to learn, the serving edition stays.

    What the serving edition learnt from files (--outcomes) stays, but for scores of requests that were scored anew.

    Example: shoal learn apply
    """
    from router.learn.study import Study
    from shoal.stages import stages

    study = Study.open(settings(registry), outcomes or (), forget_files)
    if (known := study.learnt_already()) is not None:
        _nothing_new(known, as_json)
        return
    _require_room(study)
    with stages() as progress:
        trial = study.trial(progress, whole=force)
    number, new = study.apply(trial, force)
    if not new:
        _nothing_new(number, as_json, trial)
    elif as_json:
        echo_json({"edition": number, "new": True, **trial.to_json()})
    else:
        show_trial(trial)
        typer.echo(f"edition {number} serves; shoal learn rollback takes it back")


def _require_room(study: Study) -> None:
    """Raise OSError, which names the folder, where no edition can be kept: it is told before all the work."""
    from experts.whole import try_writing
    from router.learn.edition_file import edition_bytes

    try_writing(study.editions.folder, edition_bytes(*study.outcomes, {}) + bytes(SAID_BYTES))


def _nothing_new(edition: int, as_json: bool, trial: Trial | None = None) -> None:
    left_out = dict(trial.left_out) if trial is not None else {}
    if as_json:
        echo_json({"edition": edition, "new": False} | ({"left_out": left_out} if left_out else {}))
        return
    tell_left_out(left_out)
    typer.echo(f"nothing new since edition {edition}, which goes on serving")


@app.command()
def rollback(
    edition: Annotated[
        int | None,
        typer.Argument(min=0, help="The edition to serve; 0 for none. (default: the one before the current)"),
    ] = None,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Let an earlier edition serve again; a running server loads it within seconds.

    Example: shoal learn rollback 2
    """
    from router.learn.editions import Editions
    from router.learn.study import back

    chosen = settings(registry)
    number = back(Editions(chosen.editions_folder), edition, None if edition == 0 else _used(chosen)[0])
    echo_json({"edition": number}) if as_json else typer.echo(f"edition {number} serves")


@app.command("list")
def list_editions(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """List the editions of the judge that learnt from use, oldest first.

    Example: shoal learn list
    """
    from router.learn.cautions import unheard
    from router.learn.edition_file import Edition, EditionError
    from router.learn.editions import Editions, usable

    chosen = settings(registry)
    editions, (maker, experts) = Editions(chosen.editions_folder), _used(chosen)
    (current, refused), found = usable(editions, maker), editions.all()
    lost = unheard(editions, current, experts) if experts is not None else None
    rows = [each for each in found if isinstance(each, Edition)]
    damaged = [str(each) for each in found if isinstance(each, EditionError)]
    for wrong in filter(None, (refused and _none(refused), lost)):
        typer.echo(wrong, err=True)
    if as_json:
        serves = {"current": current, "refused": refused, "warnings": [lost] if lost else []}
        echo_json({**serves, "editions": [_edition(each) for each in rows], "damaged": damaged})
        return
    if rows:
        show_table(_editions_table(rows, current))
    elif not damaged:
        typer.echo("no editions yet: shoal learn apply makes one")
    for problem in damaged:
        if problem != refused:
            typer.echo(problem, err=True)


def _editions_table(editions: Sequence[Edition], current: int) -> Table:
    from rich.table import Column

    table = table_of(
        Column("edition", no_wrap=True), Column("made, UTC", no_wrap=True), "scored\nrequests", "others", "experts",
        "Brier\nbefore", "after",
    )  # fmt: skip
    for each in editions:
        before, after = (each.said["trial"][name] for name in ("before", "after"))
        shown = [f"{figures['brier']:.4f}" if figures else "-" for figures in (before, after)]
        name = f"{each.number} (serves)" if each.number == current else str(each.number)
        made = each.said["made"][:16].replace("T", " ")
        table.add_row(
            name, made, f"{each.scored:,}", f"{each.rows - each.scored:,}", " ".join(each.said["experts"]), *shown
        )
    return table


@app.command()
def export(
    out: Annotated[Path | None, typer.Option(callback=writable, help="Write to this file instead of printing.")] = None,
    registry: RegistryPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="The output is JSON lines in any case.")] = False,
) -> None:
    """Print the scored requests whose text was kept (keep_text in the registry) as a file of outcomes.

    Example: shoal learn export --out outcomes.jsonl
    """
    from router.learn.harvest import scored_texts
    from router.meter.ledger import reading

    with reading(settings(registry).ledger_path) as connection:
        lines = [json.dumps(row).encode() + b"\n" for row in scored_texts(connection)]
    if not lines:
        remedy = "set `learning: {keep_text: true}` in the registry, then send scores to POST /v1/feedback"
        left = f", and {out} is not written" if out is not None else ""
        typer.echo(f"no texts with feedback are kept{left}. Remedy: {remedy}", err=True)
        raise typer.Exit(1 if out is not None else 0)
    if out is None:
        sys.stdout.buffer.writelines(lines)
    else:
        write_there("--out", out, lines)


def _none(refused: str) -> str:
    """A server that was started before the registry or a file changed may still serve what it had."""
    return f"with this registry and its encoder nothing learnt serves: {refused}"


def _used(chosen: Settings) -> tuple[str | None, list[str] | None]:
    """What makes vectors now and which experts there are; None where that cannot be told: what is learnt still can."""
    from experts.errors import ShoalError
    from experts.registry import load_registry
    from router.encode import Encoder
    from router.learn.trace import maker

    if not chosen.registry.exists():
        return None, None
    try:
        registry = load_registry(chosen.registry).registry
        return maker(Encoder.of(registry.encoder).fingerprint), [spec.id for spec in registry.experts]
    except ShoalError as error:
        typer.echo(f"whether another encoder made an edition cannot be told: {error}", err=True)
        return None, None


def _edition(edition: Edition) -> dict[str, Any]:
    unscored = edition.rows - edition.scored
    return {"edition": edition.number, "requests": edition.scored, "unscored": unscored, **edition.said}
