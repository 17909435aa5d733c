"""`shoal meter`: what was spent and, as an estimate, what that saved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from experts.errors import WrongUsage
from shoal import books
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings, there
from shoal.overview import print_overview
from shoal.period import Period, Since, Until

app = typer.Typer(
    help="Report, check and export what the ledger recorded.\n\nExample: shoal meter report --period 7d",
    no_args_is_help=True,
)

GroupBy = Literal["expert", "domain", "policy", "key", "day"]
app.command("overview")(print_overview)
app.command("audit")(books.print_audit)
app.command("export")(books.write_export)


@app.command("report")
def print_report(
    registry: RegistryPath = None,
    since: Since = None,
    until: Until = None,
    period: Period = None,
    group_by: Annotated[
        GroupBy | None,
        typer.Option(
            help="Also give totals by one of these; by expert, a total is all that its answered requests took."
        ),
    ] = None,
    grid_hours: Annotated[
        Path | None,
        typer.Option(
            callback=there,
            help="Also give carbon by the hourly figures of this CSV file: "
            "zone, hour, g_per_kwh[, marginal_g_per_kwh].",
        ),
    ] = None,
    grid_zone: Annotated[
        str,
        typer.Option(help="Use this grid zone, from that file or from the yearly table, in place of the registry's."),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Report totals of requests, money, energy and carbon, and what the fallback alone would have taken.

    Example: shoal meter report --period 2026-11 --group-by day
    """
    from experts.registry import load_registry
    from router.keys.file import names
    from router.meter.carbon import Grids, UnknownZone
    from router.meter.ledger import reading
    from router.meter.period import bounds
    from router.meter.report import render, report
    from shoal.tables import screen

    chosen, asked = settings(registry), bounds(since, until, period)
    zone = grid_zone or (load_registry(chosen.registry).registry.grid_zone if grid_hours else "")
    try:
        grids = Grids.of(zone, grid_hours) if zone else None
    except UnknownZone as error:
        if grid_zone:
            raise WrongUsage(f"--grid-zone: {error}") from None
        raise
    with reading(chosen.ledger_path) as connection:
        found = report(connection, *asked, group_by, grids)
    accounts = names(chosen.keys_path) if group_by == "key" else None
    if as_json:
        echo_json(found.to_json(accounts))
    else:
        screen().print(render(found, accounts), crop=False)
