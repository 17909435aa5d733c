"""`shoal eval answers`: end to end on the experts of the registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.few import FEW
from experts.destination import write_there
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings, there
from shoal.outputs import writable
from shoal.tables import screen, show_table, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from experts.progress import Stage
    from router.settings import Settings


def answers(
    file: Annotated[
        Path | None, typer.Argument(callback=there, help="Questions with targets. (default: eval/data/answers.jsonl)")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Ask only this many questions, evenly spaced.")] = None,
    judge: Annotated[
        str | None, typer.Option(help="The expert that marks the answers to questions with the scorer `rubric`.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(callback=writable, help="Also write the scores to this file, as outcomes to learn from."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Ask again what was answered before: for a model that was replaced.")
    ] = False,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Ask every expert every question once, score and meter the answers, then compare all policies on them.

    A row looks like {"input": "What is 7 plus 5?", "target": "12", "scorer": "numeric"}. The scorers are exact,
    includes, numeric, boxed, choice, json_fields, f1, coverage, code and rubric.

    Answers are kept in the data folder (eval/answers.jsonl), so a run that was interrupted continues where it stopped.
    Another model behind the same URL and name is not noticed: --anew asks again.

    Example: shoal eval answers --limit 20 --out outcomes.jsonl
    """
    from shoal.stages import stages

    try:
        with stages() as progress:
            found = asyncio.run(_answers(settings(registry), file, limit, judge, out, progress, anew=anew))
    except KeyboardInterrupt:
        how = "the same command without --anew" if anew else "the same command"
        typer.echo(f"stopped: what was answered so far is kept; {how} goes on from there", err=True)
        raise
    if as_json:
        echo_json(found)
    else:
        _show(found)


async def _answers(
    chosen: Settings,
    file: Path | None,
    limit: int | None,
    judge: str | None,
    out: Path | None,
    progress: Stage,
    *,
    anew: bool,
) -> dict[str, Any]:
    from eval.answers.asking import Desk, Memory
    from eval.answers.evaluation import DEFAULT, examine, outcome_lines, replay
    from eval.answers.questions import read_questions
    from experts.registry import load_registry
    from router.live import Live

    path = file or DEFAULT
    questions, dropped = read_questions(path)
    if limit is not None and limit < len(questions):
        questions = [questions[at * len(questions) // limit] for at in range(limit)]
    loaded = load_registry(chosen.registry)
    marker = loaded.registry.find(judge) if judge is not None else None
    if judge is not None and marker is None:
        known = ", ".join(spec.id for spec in loaded.registry.experts)
        raise typer.BadParameter(f"{judge!r} is no expert. Remedy: one of {known}", param_hint="--judge")
    live = await Live.open(loaded, chosen, keep=False)
    try:
        desk = Desk(live.snapshot, Memory(chosen.data_dir / "eval" / "answers.jsonl").read(), anew)
        examined = await examine(desk, questions, marker, progress)
        if out is not None:
            write_there("--out", out, outcome_lines(examined))
        found = await replay(live.snapshot, examined)
    finally:
        await live.aclose()
    told = {"file": path.name, "rows": len(questions), "dropped": dropped, "registry": loaded.version}
    return {**told, "kept": desk.kept(), **found}


def _show(found: Mapping[str, Any]) -> None:
    few = found["scored"] < FEW
    table = table_of("way to choose", "quality", "95 %", "USD", "J", "s", "who answered")
    rows = {f"auto:{name}": each for name, each in found["policies"].items()} | found["baselines"]
    for name, each in rows.items():
        usd = "no price" if each["cost_usd"] is None else f"{each['cost_usd']:.2g}"
        shares = ", ".join(f"{who} {part:.0%}" for who, part in each["share"].items())
        table.add_row(
            name.replace("_", " "), f"{each['quality']:.1%}",
            "-" if few else f"{each['low']:.0%} to {each['high']:.0%}", usd,
            f"{each['energy_j']:.3g}", f"{each['latency_s']:.2g}", shares,
            style="bold" if name.startswith("auto:") else "",
        )  # fmt: skip
    console = screen()
    console.print(
        f"{found['rows']} questions of {found['file']}, {found['dropped']} repeats dropped; a question costs:"
    )
    show_table(table)
    if line := _kept(found["kept"]):
        console.print(line, highlight=False)
    for line in (*_missing(found), *_failed(found)):
        console.print(line, style="yellow", highlight=False)
    for policy, why in found["refused"].items():
        console.print(f"auto:{policy}: the promise is refused: {why}", style="yellow", highlight=False)
    if few:
        console.print(f"Too few to tell ways to choose apart. Remedy: {FEW} scored questions or more, better hundreds.")
        return
    for policy, gains in found["gain"].items():
        for name, gain in gains.items():
            worse = "is worse than" if gain["high"] < 0 else "does not beat beyond doubt"
            verb = "beats" if gain["beats"] else worse
            span = f"{100 * gain['value']:+.1f} points ({100 * gain['low']:.1f} to {100 * gain['high']:.1f})"
            console.print(f"auto:{policy} {verb} {name.replace('_', ' ')}: {span}")


def _kept(kept: Mapping[str, Any]) -> str:
    """How many answers are old, which those of a model that was replaced are too; empty where none is."""
    if not kept["answers"]:
        return ""
    until = f" to {kept['last']}" if kept["last"] != kept["first"] else ""
    since = f"{kept['first'] or 'an earlier version'}{until}"
    return f"{kept['answers']:,} of {kept['of']:,} answers are kept from {since} (--anew asks again)"


def _missing(found: Mapping[str, Any]) -> Iterator[str]:
    """Which scores could not be had, and what that does to the figures."""
    from eval.answers.missing import REMEDY, Missing, gone

    missing = Missing(**found["missing"])
    yield from missing.lines()
    yield from gone(found["given_up"])
    if missing.questions:
        left_out = f"{missing.questions:,} of {found['rows']:,} questions lack a score and are left out of every figure"
        yield f"{left_out}. Remedy: {REMEDY}"


def _failed(found: Mapping[str, Any]) -> Iterator[str]:
    """What counts as wrong though nobody heard it."""
    for expert, count in found["failed"].items():
        what = f"{count:,} of its {found['scored']:,} scored answers broke off (5xx) or refused the request"
        yield f"{expert}: {what}: a score of 0, as clients have it; a policy then goes on to the next, as in serving"
