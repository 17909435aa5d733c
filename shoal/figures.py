"""`shoal eval run`, `check` and `report`: figures of a whole plan; `shoal eval requests`: of a registry's choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experts.destination import require_folder
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, folder_there, settings, there
from shoal.tables import show_table, table_of

if TYPE_CHECKING:
    from eval.plan import Run
    from eval.runs import Bench
    from experts.progress import Stage
    from router.settings import Settings

RESULTS = Path("eval/results")
QUICK = Path("eval/quick")
"""A quick look is no result, and never takes the place of one."""
DATA = Path("../shared/data")

PlanPath = Annotated[
    Path | None, typer.Option(callback=there, help="The plan: a YAML file of runs. (default: eval/data/figures.yaml)")
]


def run(
    plan: PlanPath = None,
    data: Annotated[Path, typer.Option(help="The folder that holds the files the plan names.")] = DATA,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder for one JSON file per run. (default: eval/results; with --quick: eval/quick)"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="The id of a run to measure; may be repeated. (default: all)")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A quick look: one seed, no ablation.")] = False,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Measure every figure of a plan.

    A seed that was measured already on the same data, code and encoder is not measured again.

    Example: shoal eval run --data ../shared/data --only clinc150
    """
    from eval.plan import FIGURES, PlanError, find_run, read_plan
    from eval.whole import measure
    from shoal.stages import stages

    path = plan or FIGURES
    table = read_plan(path)
    try:
        wanted = [find_run(table, name, path) for name in only] if only else table.runs
    except PlanError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None
    if not only:
        wanted = _possible(wanted)
    chosen = settings(registry)
    place = out or (QUICK if quick else RESULTS)
    require_folder("--out", place)
    with stages() as progress:
        made = measure(bench(chosen, progress), table, wanted, data, path, place, quick=quick)
    for each, record in zip(wanted, made, strict=True):
        if lacking := [name for name in each.figures if name not in record["figures"]]:
            why = "not measured, for such a run or its data does not tell it"
            typer.echo(f"{each.id}: {why}: {', '.join(lacking)}", err=True)
    if as_json:
        echo_json(made)
        return
    _show(made)


def _possible(runs: Sequence[Run]) -> list[Run]:
    """The runs that can be done with what is installed; of the others a line is said, and their records stay."""
    from experts.factory.packages import TrainingUnavailable, require_packages

    tuned = [run for run in runs if getattr(run, "tune", False)]
    try:
        require_packages()
    except TrainingUnavailable as error:
        for run in tuned:
            typer.echo(f"{run.id}: not measured again; {error}", err=True)
        return [run for run in runs if run not in tuned]
    return list(runs)


def check(
    against: Annotated[
        Path, typer.Option(callback=there, help="The record to compare with, which `shoal eval run` wrote.")
    ],
    current: Annotated[
        Path | None,
        typer.Option(callback=there, help="A newer record of the same run. (default: the run is measured now)"),
    ] = None,
    plan: PlanPath = None,
    data: Annotated[Path, typer.Option(help="The folder that holds the files the plan names.")] = DATA,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run again; exit with 1, naming each figure that got worse by more than its noise.

    Figures on other data or seeds cannot be compared, so that exits with 1 too. Another encoder or registry is
    mentioned in the output.

    Example: shoal eval check --against eval/results/clinc150.json
    """
    from eval.plan import PlanError, read_record
    from eval.regression import allowances, changed, unlike, worse

    recorded = read_record(against)
    if not (allowed := allowances(recorded)):
        remedy = "make it again with shoal eval run, with figures in its plan"
        raise PlanError(f"{against}: no figure of it has a value, so nothing can be compared. Remedy: {remedy}")
    now = read_record(current) if current is not None else _measured_again(recorded, plan, data, settings(registry))
    if now["id"] != recorded["id"]:
        raise typer.BadParameter(f"is of {now['id']!r}, not of {recorded['id']!r}", param_hint="--current")
    lines, other, moved = list(worse(recorded, now)), list(unlike(recorded, now)), list(changed(recorded, now))
    if as_json:
        told = {"worse": lines, "unlike": other, "changed": moved, "allowed": allowed}
        echo_json({"id": recorded["id"], **told, "figures": now["figures"]})
    else:
        for line in (*moved, *other, *lines):
            typer.echo(f"{recorded['id']}: {line}", err=True)
        if not lines and not other:
            typer.echo(
                f"{recorded['id']}: none of {len(recorded['figures'])} figures is worse by more than was allowed:"
            )
            for name, each in allowed.items():
                typer.echo(f"  {name}: {each['by']:.2g} ({each['assumed']})")
    if lines or other:
        raise typer.Exit(1)


def _measured_again(recorded: Mapping[str, Any], plan: Path | None, data: Path, chosen: Settings) -> dict[str, Any]:
    """A record of the same run with the same seeds, made now."""
    from eval.plan import FIGURES, find_run, read_plan
    from eval.whole import measure_one
    from shoal.stages import stages

    path = plan or FIGURES
    table = read_plan(path)
    run = find_run(table, recorded["id"], path).model_copy(update={"seeds": tuple(recorded["seeds"])})
    with stages() as progress:
        return measure_one(bench(chosen, progress), table, run, data, path)


def report(
    results: Annotated[
        Path, typer.Argument(callback=folder_there, help="The folder that `shoal eval run` wrote to.")
    ] = RESULTS,
    plan: PlanPath = None,
    as_json: AsJson = False,
) -> None:
    """Write a report of all measured figures: report.html, and its plots as SVG files. Needs the `eval` extra.

    Example: shoal eval report eval/results
    """
    from eval.plan import FIGURES, read_plan
    from eval.report.publish import publish

    require_folder("RESULTS", results)
    made = publish(read_plan(plan or FIGURES), results)
    echo_json({"report": str(made)}) if as_json else typer.echo(f"wrote {made}")


def requests(
    file: Annotated[
        Path | None, typer.Argument(callback=there, help="Labelled requests. (default: eval/data/requests.jsonl)")
    ] = None,
    split: Annotated[str, typer.Option(help="Which rows to score: validation, test or all.")] = "validation",
    policy: Annotated[str | None, typer.Option(help="A policy of the registry. (default: the registry's)")] = None,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Score the registry's choices on realistic requests, each labelled with the expert that should answer it.

    A request may be a whole conversation. Choices are those of a server on the same data folder: they include what it
    has learnt from use and what policies with a risk or a budget may promise.

    Example: shoal eval requests --split test --policy careful
    """
    from eval.requests import REQUESTS, evaluate_requests, read_requests
    from eval.samples import SamplesError
    from router.learn.editions import Editions
    from router.learn.fit import fit_judge
    from shoal.requests_table import show_requests
    from shoal.stages import stages

    if split not in ("validation", "test", "all"):
        raise typer.BadParameter(f"{split!r} is none of validation, test, all", param_hint="--split")
    every, chosen = read_requests(file or REQUESTS), settings(registry)
    rows = [row for row in every if split in ("all", row.split)]
    if not rows:
        raise SamplesError(f"{file}: no row is marked {split}. Remedy: --split {every[0].split}, or all")
    with stages() as progress:
        place = bench(chosen, progress)
        spec = place.registry.registry
        if policy is not None and policy not in spec.policies:
            raise typer.BadParameter(f"{policy!r} is none of {', '.join(spec.policies)}", param_hint="--policy")
        learnt = Editions(chosen.editions_folder)
        fitted = fit_judge(spec, place.encoder, place.vectors, editions=learnt)
        found, _ = evaluate_requests(rows, spec, place.encoder, fitted, policy)
    if as_json:
        echo_json(found)
    else:
        show_requests(found)


def bench(chosen: Settings, progress: Stage) -> Bench:
    """The encoder and the registry that the settings name. Raises `RegistryError` or `WeightsError`."""
    from eval.runs import Bench
    from experts.registry import load_registry
    from router.encode import Encoder

    loaded = load_registry(chosen.registry)
    spec = loaded.registry.encoder
    return Bench(Encoder.of(spec), loaded, chosen.data_dir, progress)


def _show(made: list[dict[str, Any]]) -> None:
    from eval.drawn import NO_INTERVAL
    from eval.wording import interval_text, target_text, value_text, without_interval

    table = table_of("run", "figure", "value", "95 %", "target", "stretch target")
    for record in made:
        for figure in record["figures"].values():
            style = {True: "green", False: "red", None: ""}[figure["reached"]]
            table.add_row(
                str(record["id"]), figure["title"], value_text(figure), interval_text(figure),
                target_text(figure, "reach"), target_text(figure, "aim"), style=style,
            )  # fmt: skip
    show_table(table)
    if without_interval(figure for record in made for figure in record["figures"].values()):
        typer.echo(NO_INTERVAL)
