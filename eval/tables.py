"""The tables in README.md and docs/figures.md, made from eval/results: `python -m eval.tables` rewrites them.

A table stands between `<!-- results:NAME -->` and `<!-- /results -->`; everything else is left as it is.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from eval.added_table import added_table
from eval.plan import FIGURES, Plan, read_plan, read_record
from eval.provenance import ROOT
from eval.wording import commit_text, interval_text, machines_text, target_text, value_text
from experts.errors import ShoalError

PAGES: Final = (ROOT / "README.md", ROOT / "docs/figures.md")
RESULTS: Final = ROOT / "eval/results"

_BLOCK = re.compile(r"(<!-- results:([\w-]+) -->\n).*?(<!-- /results -->)", re.DOTALL)

_BENCH_ROWS: Final = {
    "named_us": "to a named expert",
    "stream_us": "the same, as a stream of 33 events",
    "routed_us": "`auto`, a new prompt of 12 tokens",
    "repeat_us": "`auto`, a repeated prompt",
}


class TablesError(ShoalError):
    """A table cannot be made, or is stale; the message holds the remedy."""


def render_tables(page: str, results: Path) -> str:
    """`page` with every marked table made anew. Raises TablesError about an unknown name or an unusable result."""

    def block(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name not in _TABLES:
            known = ", ".join(_TABLES)
            raise TablesError(f"results:{name}: no table is called {name!r}. Remedy: use one of {known}")
        return f"{begin}{_TABLES[name](results)}{end}"

    return _BLOCK.sub(block, page)


def _measured(file: str, remedy: str, render: Callable[[dict[str, Any], Path], str], results: Path) -> str:
    """A table of one file in `results`, empty while nothing was measured. Raises TablesError with `remedy`."""
    path = results / file
    if not path.exists():
        return ""
    found = _read(path)
    try:
        return render(found, results)
    except (KeyError, TypeError, ValueError) as error:
        raise TablesError(f"{path}: lacks or misstates {error}. Remedy: {remedy}") from None


def _bench_table(bench: dict[str, Any], results: Path) -> str:
    """Shoal's own cost per request, LiteLLM's beside it."""
    figures, spread, machine = bench["figures"], bench["spread"], bench["machine"]
    other = _read(results / "litellm.json")
    lines = [f"| own CPU time per request | Shoal | quartiles | {other['name']} |", "|---|---:|---:|---:|"]
    for name, title in _BENCH_ROWS.items():
        here = spread[name]
        quartiles = f"{here['q1']:,.0f} to {here['q3']:,.0f}"
        lines.append(f"| {title} | {figures[name]:,.0f} us | {quartiles} | {_scale(other, name, 'us')} |")
    lines.append(f"| resident memory | {figures['rss_mb']:,.0f} MB | | {_scale(other, 'rss_mb', 'MB')} |")
    lines += [
        "",
        f"Shoal: `make bench`, {bench['date'][:10]}, {commit_text(bench)}, {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}; medians of {spread['named_us']['n']} windows, every request durable "
        f"in the ledger. {other['name']}: {other['source']}; {other['machine']}; {other['as_of']}.",
    ]
    return "".join(line + "\n" for line in lines)


_METERING_ROWS: Final = {
    "loop_work_us": "the event loop: metering itself",
    "loop_told_us": "the event loop: putting the figures into the answer",
    "loop_metering_us": "the event loop: both of these together",
    "loop_durable_us": "the event loop: waiting until both entries are on disk, 64 concurrent requests",
    "loop_busy_us": "the event loop: all of the above, 64 concurrent requests",
    "writer_busy_us": "the ledger's thread, 64 concurrent requests",
    "loop_alone_us": "the event loop, one request at a time",
    "writer_alone_us": "the ledger's thread, one request at a time",
}


def _metering_table(found: dict[str, Any], _: Path) -> str:
    """What metering costs a request."""
    lines = ["| CPU time of metering a request | median | quartiles |", "|---|---:|---:|"]
    for name, spread in found["spread"].items():
        quartiles = f"{spread['q1']:,.1f} to {spread['q3']:,.1f}"
        lines.append(f"| {_METERING_ROWS[name]} | {found['figures'][name]:,.1f} us | {quartiles} |")
    machine, detail = found["machine"], found["detail"]
    yard = detail.get("yardstick")  # records from before it was taken have none
    told = yard and (
        f"; reading a thread's CPU clock took {yard['clock_ns']:.0f} ns there, "
        f"one iteration of a plain loop {yard['turn_ns']:.1f} ns"
    )
    lines += [
        "",
        f"`python -m eval.bench.metering`, {found['date'][:10]}, {commit_text(found)}, {machine['cpu']}, "
        f"{machine['cores']} cores at load {detail['load']:.0f}, Python {machine['python']}; "
        f"{detail['rounds']} rounds of {detail['requests']:,} requests, two durable entries each{told or ''}.",
    ]
    return "".join(line + "\n" for line in lines)


def _scale(other: dict[str, Any], name: str, unit: str) -> str:
    return f"{other['figures'][name]:,} {unit}" if name in other["figures"] else "does not route"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise TablesError(
            f"{path}: cannot be read ({error}). Remedy: restore it, or make bench, or make eval"
        ) from None


def _judge_table(results: Path, *, every: bool) -> str:
    """The judge's figures beside their targets, from a file a run, and which runs lack one.

    Without `every`, only those with a target, and those of our own requests.
    Empty while nothing was measured; a quick look is no measurement.
    """
    plan = read_plan(FIGURES)
    found = [read_record(path) for run in plan.runs if (path := results / f"{run.id}.json").exists()]
    records = [record for record in found if not record.get("quick")]
    if not records:
        return ""
    lines = ["| set | figure | measured | 95 % interval | target | stretch target |", "|---|---|---:|---:|---:|---:|"]
    for record in records:
        for at, figure in enumerate(each for each in record["figures"].values() if every or _short(record, each)):
            title = record["title"] if not at else ""
            value = f"**{value_text(figure)}**" if figure["reached"] is False else value_text(figure)
            aims = target_text(figure, "reach"), target_text(figure, "aim")
            lines.append(f"| {title} | {figure['title']} | {value} | {interval_text(figure)} | {aims[0]} | {aims[1]} |")
    measured = {record["id"] for record in records}
    missing = [run.title for run in plan.runs if run.id not in measured]
    lacking = f"Not measured: {', '.join(missing)}. " if missing else ""
    lines += [
        "",
        f"`make eval`, {_origin(records)}; {_seeds(plan, records)}; intervals by "
        f"bootstrap over requests and seeds. Figures that miss their target are bold. {lacking}Methods, baselines, "
        "the ablation and plots are in eval/results/report.html.",
    ]
    return "".join(line + "\n" for line in lines)


def _short(record: Mapping[str, Any], figure: Mapping[str, Any]) -> bool:
    """Whether a figure is among those that the short table shows."""
    return figure["reached"] is not None or record["kind"] == "requests"


def _seeds(plan: Plan, records: Sequence[Mapping[str, Any]]) -> str:
    """How many seeds were tried where something is drawn at random, and where nothing is."""
    drawn = {run.id: run.drawn for run in plan.runs}
    some, none = (
        " or ".join(map(str, sorted({len(each["seeds"]) for each in records if drawn[each["id"]] is whether})))
        for whether in (True, False)
    )
    same = none and f"{none} where nothing is drawn at random"
    return "seeds: " + ", or ".join(filter(None, (some, same)))


def _origin(records: Sequence[Mapping[str, Any]]) -> str:
    """Days, commits and machines of the oldest to the newest record."""
    in_order = sorted(records, key=lambda record: str(record["date"]))
    days = dict.fromkeys(record["date"][:10] for record in in_order)
    commits = dict.fromkeys(map(commit_text, in_order))
    return f"{' to '.join(days)}, {', '.join(commits)}, {machines_text(in_order)}"


def _savings_table(suite: dict[str, Any], results: Path) -> str:
    """Bias and coverage of the savings figure in made-up worlds, and of each key's or domain's by itself."""
    lines = [
        "| traffic | conversations held back | bias | coverage of the 95 % interval | bias of same-token pricing |"
    ]
    lines.append("|---|---:|---:|---:|---:|")
    lines += [
        f"| {world['world']} | {world['held']:,.0f} | {world['bias']:+.2f} points | {world['coverage']:.1%} | "
        f"{world['same_tokens_bias']:+.1f} points |"
        for world in suite["worlds"]
        if world["world"] in _SHOWN_WORLDS
    ]
    runs = suite["worlds"][0]["runs"]
    worlds = {world["world"].removesuffix(", energy").removesuffix(", money") for world in suite["worlds"]}
    made = f"{len(worlds)} simulated worlds, {runs} runs each"
    lines += ["", f"{_measured_by(suite, f'--runs {runs}')}: {made}; {_reached(suite)}."]
    if (path := results / "savings_by_group.json").exists():
        groups = _read(path)
        estimates = sum(each["runs"] for each in groups["worlds"])
        lines += [
            f"For single keys and domains, {_measured_by(groups, '--groups')}: {estimates:,} estimates in "
            f"{len(groups['worlds'])} of these worlds, for groups with {groups['bounds']['holdbacks']} or more "
            "conversations held back; "
            f"{_reached(groups)}."
        ]
    return "".join(line + "\n" for line in lines)


def _measured_by(suite: dict[str, Any], options: str) -> str:
    """The command that measures it again, the day, the commit and the processor."""
    where = f"{suite['date']}, commit {str(suite['commit'])[:12]}, {suite['machine']['cpu']}"
    return f"`python -m eval.savings {options}`, {where}"


def _reached(suite: dict[str, Any]) -> str:
    biases, coverage = ([world[name] for world in suite["worlds"]] for name in ("bias", "coverage"))
    return (
        f"bias from {min(biases):+.2f} to {max(biases):+.2f} points, coverage from {min(coverage):.1%} to "
        f"{max(coverage):.1%}, {suite['coverage']:.1%} overall"
    )


def _picture_table(found: dict[str, Any], _: Path) -> str:
    """What docs/dashboard.png shows."""
    machine = found["machine"]
    return (
        f"The default registry after {found['requests']:,} requests drawn from `eval/data`; `make picture`, "
        f"{found['date'][:10]}, {commit_text(found)}, {machine['cpu']}, {machine['cores']} cores at load "
        f"{found['load']:.1f}.\n"
    )


_SHOWN_WORLDS: Final = (
    "plain", "chatty small models", "terse small models", "forty uneven domains", "four turns",
    "a fallback changed midway", "fixed machines from midway, energy", "fixed machines from midway, money",
    "nobody drawn in busy hours", "nothing certain",
)  # fmt: skip

_TABLES: Final[dict[str, Callable[[Path], str]]] = {
    "bench": partial(_measured, "bench.json", "make bench", _bench_table),
    "metering": partial(_measured, "metering.json", "python -m eval.bench.metering", _metering_table),
    "judge": partial(_judge_table, every=False),
    "judge-all": partial(_judge_table, every=True),
    "savings": partial(_measured, "savings.json", "make savings", _savings_table),
    "added": partial(_measured, "added.json", "python -m eval.added", added_table),
    "picture": partial(_measured, "picture.json", "make picture", _picture_table),
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def tables(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 when a table is stale.")] = False,
) -> None:
    """Rewrite the tables of README.md and docs/figures.md from eval/results.

    Example: python -m eval.tables --check
    """
    for page in PAGES:
        before = page.read_text()
        after = render_tables(before, RESULTS)
        if check and after != before:
            raise TablesError(f"{page.name}: a table is not what eval/results says. Remedy: python -m eval.tables")
        if after != before:
            page.write_text(after)


def main() -> None:
    """Run it; what the user can mend ends in one clear line and exit code 1, wrong usage in 2."""
    try:
        app()
    except ShoalError as error:
        print(f"tables: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
