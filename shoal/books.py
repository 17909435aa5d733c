"""`shoal meter audit` and `export`: the ledger checked, and taken elsewhere."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from shoal.options import AsJson, RegistryPath, settings
from shoal.period import Period, Since, Until, bounds

SHOWN = 20


def print_audit(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """Compute every figure again from the raw rows, bit for bit; exit code 1 when something does not add up.

    Example: shoal meter audit
    """
    from router.meter.audit import audit
    from router.meter.ledger import read_ledger

    with closing(read_ledger(settings(registry).ledger_path)) as connection:
        found = audit(connection)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        for finding in found.findings[:SHOWN]:
            typer.echo(str(finding))
        if found.wrong > SHOWN:
            typer.echo(f"... and {found.wrong - SHOWN:,} more")
        typer.echo(
            f"{found.requests:,} requests, {found.attempts:,} attempts, {found.hours:,} hours, {found.days:,} days: "
            f"{found.figures:,} figures computed again, {found.wrong:,} wrong"
        )
        if found.unknown_tariffs:
            typer.echo(f"{found.unknown_tariffs:,} requests are from before the ledger kept what it charged with")
    if found.wrong:
        raise typer.Exit(1)


def write_export(
    registry: RegistryPath = None,
    since: Since = None,
    until: Until = None,
    period: Period = None,
    form: Annotated[Literal["csv", "jsonl", "parquet"], typer.Option("--format", help="Of the file.")] = "csv",
    out: Annotated[Path | None, typer.Option(help="The file to write, else standard output.")] = None,
) -> None:
    """Every attempt and the router's work as rows, named as in FOCUS; those FOCUS does not know begin with x_.

    Example: shoal meter export --period 2026-11 --format parquet --out november.parquet
    """
    from router.meter.export import exported, rows
    from router.meter.ledger import read_ledger

    with closing(read_ledger(settings(registry).ledger_path)) as connection:
        blocks = exported(rows(connection, *bounds(since, until, period)), form)
        if out is None:
            sys.stdout.buffer.writelines(blocks)
        else:
            with out.open("wb") as file:
                file.writelines(blocks)
