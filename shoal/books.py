"""`shoal meter audit` and `export`: the ledger checked, and taken elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from experts.destination import write_there
from experts.errors import WrongUsage
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.outputs import writable
from shoal.period import Period, Since, Until

if TYPE_CHECKING:
    from router.meter.findings import Audit

SHOWN = 20


def print_audit(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """Recompute every figure of the ledger from its raw rows, bit for bit; exit with 1 if something does not add up.

    Example: shoal meter audit
    """
    from router.meter.audit import ON_TRUST, UNCHECKED, audit
    from router.meter.ledger import reading

    chosen = settings(registry)
    key = chosen.holdback_key_path
    with reading(chosen.ledger_path) as connection:
        found = audit(connection, key.read_bytes() if key.exists() else None)
    if as_json:
        echo_json(found.to_json() | {"on_trust": {"said": ON_TRUST, "columns": dict(UNCHECKED)}})
    else:
        _print(found, key)
        typer.echo(f"Taken on trust ({len(UNCHECKED)} columns, see --json; and in words):")
        typer.echo("\n".join(f"- {sentence}" for sentence in ON_TRUST))
    if found.wrong:
        raise typer.Exit(1)


def _print(found: Audit, key: Path) -> None:
    from router.meter.units import many

    for finding in found.findings[:SHOWN]:
        typer.echo(str(finding))
    if found.wrong > SHOWN:
        typer.echo(f"... and {found.wrong - SHOWN:,} more")
    if any(figure.startswith("seal of ") for figure in found.by_figure):
        typer.echo("A seal that is another: rows of that hour were changed, added or taken out after they were written")
    typer.echo(
        f"{many(found.requests, 'request')}, {many(found.attempts, 'attempt')}, {many(found.hours, 'hour')}, "
        f"{many(found.days, 'day')}: {many(found.figures, 'figure')} computed again, {found.wrong:,} wrong"
    )
    for count, one, more in _noted(found, key):
        if count:
            typer.echo(f"{count:,} {one if count == 1 else more}")


def _noted(found: Audit, key: Path) -> Iterator[tuple[int, str, str]]:
    """What is not wrong and yet to be known: how many, and what is said of one and of more."""
    yield (
        found.only_sums,
        "more request is in sums only: its rows were old and are gone, the sums are taken as read",
        "more requests are in sums only: their rows were old and are gone, the sums are taken as read",
    )
    before = "from before the ledger kept what it charged with"
    yield found.unknown_tariffs, f"request is {before}", f"requests are {before}"
    grid = "a grid figure that is not in today's table, which is taken as read"
    yield found.unknown_grids, f"request names {grid}", f"requests name {grid}"
    yield from _undrawn(found, key)
    lost = "what ran there is under way, was lost in a crash or on a full disk, or was taken out"
    yield (
        found.without_shadow,
        f"held-back request has nothing beside it: {lost}",
        f"held-back requests have nothing beside them: {lost}",
    )
    slept = "came while the clock was set or the machine slept, as others of that run say"
    yield found.clock_set, f"request {slept}", f"requests {slept}"
    late = "requests from before rows were sealed: sealed at the upgrade, earlier changes are not found"
    yield found.sealed_late, f"hour has {late}", f"hours have {late}"
    yield (
        found.measured,
        "attempt was measured: the sum it is in is compared with the counters, not the attempt itself",
        "attempts were measured: their sum is compared with the counters, not each of them",
    )
    counted = "the router's work by a counter: compared with it in the same sum"
    yield found.measured_own, f"request has {counted}", f"requests have {counted}"


def _undrawn(found: Audit, key: Path) -> Iterator[tuple[int, str, str]]:
    """Draws that could not be repeated: how many, of which seed version, why, and the remedy."""
    why = f"{key} is not their key" if key.exists() else f"{key} is not there"
    remedy = "audit with the holdback.key that lay beside the ledger then; until then their seals alone are compared"
    for version, count in sorted(found.undrawn_by_seed.items(), key=str):
        rest = f"of seed version {version} could not be repeated: {why}. Remedy: {remedy}"
        yield count, f"draw {rest}", f"draws {rest}"


def write_export(
    registry: RegistryPath = None,
    since: Since = None,
    until: Until = None,
    period: Period = None,
    form: Annotated[
        Literal["csv", "jsonl", "parquet"] | None, typer.Option("--format", help="Format of the rows. (default: csv)")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(callback=writable, help="The file to write. (default: standard output)")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The same as --format jsonl: one JSON object a line.")
    ] = False,
) -> None:
    """Export every attempt, and the router's own work, as rows with the column names of FOCUS.

    Columns that FOCUS does not define begin with x_. A report adds up EffectiveCost; BilledCost is 0 for machines of
    your own. The file appears only once it is complete.

    Example: shoal meter export --period 2026-11 --format parquet --out november.parquet
    """
    from router.keys.file import names
    from router.meter.export import rows
    from router.meter.forms import exported
    from router.meter.ledger import reading
    from router.meter.period import bounds
    from router.meter.spans import only_in_sums

    if as_json and form not in (None, "jsonl"):
        raise WrongUsage(f"--json cannot be combined with --format {form}. Remedy: give one or the other")
    written = form or ("jsonl" if as_json else "csv")
    asked = bounds(since, until, period)
    chosen = settings(registry)
    accounts = names(chosen.keys_path)
    with reading(chosen.ledger_path) as connection:
        blocks = exported(rows(connection, *asked, accounts), written)
        if out is None:
            sys.stdout.buffer.writelines(blocks)
        else:
            write_there("--out", out, blocks)
        if gone := only_in_sums(connection, *asked):
            typer.echo(
                f"{gone:,} requests are not in it: their rows were old and are gone. Of their hours only requests that "
                "were held back are left, which is no fair sample; `shoal meter report` has the sums",
                err=True,
            )
