"""`shoal meter`: what was spent and, as an estimate, what that saved."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from experts.errors import ShoalError
from shoal.options import AsJson, RegistryPath, settings
from shoal.overview import print_overview

app = typer.Typer(help="The ledger.", no_args_is_help=True)

GroupBy = Literal["expert", "domain", "policy", "key", "day"]
app.command("overview")(print_overview)


@app.command("report")
def print_report(
    registry: RegistryPath = None,
    since: Annotated[str | None, typer.Option("--from", help="First day or moment, ISO 8601, UTC.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="End, not included, ISO 8601, UTC.")] = None,
    group_by: Annotated[GroupBy | None, typer.Option(help="Also give the totals of each of these.")] = None,
    as_json: AsJson = False,
) -> None:
    """Totals of requests, money, energy and carbon, and the estimate of what the fallback alone would have taken.

    Example: shoal meter report --from 2026-11-01 --group-by day
    """
    from rich.console import Console

    from router.meter.ledger import read_ledger
    from router.meter.report import render, report

    with closing(read_ledger(settings(registry).ledger_path)) as connection:
        found = report(connection, moment(since, "--from"), moment(until, "--to"), group_by)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
    else:
        Console().print(render(found))


def moment(text: str | None, option: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 day or moment, UTC unless it says otherwise. Raises `ShoalError`."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ShoalError(f"{option}: {text!r} is no date. Remedy: write it as 2026-11-21 or 2026-11-21T08:00") from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
