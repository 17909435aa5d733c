"""`shoal meter overview`: every figure of the dashboard, from the ledger and the registry, without a browser."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from experts.errors import ShoalError, WrongUsage
from shoal.options import AsJson, RegistryPath, books_of
from shoal.period import Period, Since, Until

PATIENCE_S = 30
REMEDY = "Remedy: put a key that reads figures into SHOAL_FIGURES_KEY, if it wants one."


def print_overview(
    registry: RegistryPath = None,
    since: Since = None,
    until: Until = None,
    period: Period = None,
    server: Annotated[
        str | None,
        typer.Option(help="Ask this running server, which also knows what is loaded, its judge and the map."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every figure of the dashboard (--json, curves too): who answered, escalations and why, latency, break-even, ...

    Example: shoal meter overview --period 2026-11 --server http://127.0.0.1:8080
    """
    from router.meter.period import bounds

    ends = bounds(since, until, period)
    found = _asked(server, *ends) if server else _read(registry, *ends)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(found)


def _read(registry: RegistryPath, since_us: int | None, until_us: int | None) -> dict[str, Any]:
    from experts.registry import load_registry
    from router.board.overview import overview
    from router.meter.ledger import read_ledger

    chosen = books_of(registry)
    loaded = load_registry(chosen.registry)
    with closing(read_ledger(chosen.ledger_path)) as connection:
        return overview(connection, loaded.registry, since_us, until_us)


def _asked(server: str, since_us: int | None, until_us: int | None) -> dict[str, Any]:
    """What a server says; the key in SHOAL_FIGURES_KEY or SHOAL_ADMIN_KEY is shown to it. Raises `ShoalError`."""
    if not server.startswith(("http://", "https://")):
        raise WrongUsage(f"--server: {server!r} is no address. Remedy: write it as http://127.0.0.1:8080")
    ends = {"from": since_us, "to": until_us}
    asked = urllib.parse.urlencode({name: _iso(us) for name, us in ends.items() if us is not None})
    key = (os.environ.get("SHOAL_FIGURES_KEY") or os.environ.get("SHOAL_ADMIN_KEY", "")).strip()
    headers = {"authorization": f"Bearer {key}"} if key else {}
    address = f"{server.rstrip('/')}/v1/dashboard?{asked}"
    try:
        request = urllib.request.Request(address, headers=headers)  # noqa: S310 (the scheme was checked)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise ShoalError(f"--server: {server} answers {error.code}: {_said(error)} {REMEDY}") from None
    except (OSError, ValueError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ShoalError(f"--server: {server} did not answer ({why}). Remedy: see that it runs there.") from None
    return found


def _said(refusal: urllib.error.HTTPError) -> str:
    """Why a server refuses, in its own words where it has any."""
    try:
        return str(json.load(refusal)["error"]["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(refusal.reason)


def _iso(us: int) -> str:
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)).isoformat()


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    for title, columns, rows in (
        _answered(found),
        _latency(found),
        _escalations(found),
        _break_even(found),
        _calibration(found),
    ):
        _table(console, title, columns, rows)
    for line in _unknown(found):
        console.print(line, style="dim")


def _unknown(found: dict[str, Any]) -> list[str]:
    """Why it is not known of some experts whether they pay."""
    return [
        f"{who}: in {side} unknown, {row[side]['unknown']}"
        for who, row in found["break_even"].items()
        for side in ("energy", "money")
        if row[side]["unknown"]
    ]


def _table(console: Any, title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table if rows else f"[bold italic]{title}[/]\n[dim]nothing yet[/]")
    console.print()


Shown = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _answered(found: dict[str, Any]) -> Shown:
    rows: list[tuple[str, ...]] = [
        (who, f"{one['requests']:,}", f"{one['share']:.1%}") for who, one in found["answered"]["by_expert"].items()
    ]
    return "Who answered", ("expert", "requests", "share"), rows


def _latency(found: dict[str, Any]) -> Shown:
    columns = ("expert", "requests", "p50", "p95", "p99", "first p50", "first p95", "first p99")
    rows: list[tuple[str, ...]] = [
        (
            who,
            f"{row['requests']:,}",
            *(_seconds(s) for part in ("total_s", "first_byte_s") for s in row[part].values()),
        )
        for who, row in found["latency"]["rows"].items()
    ]
    return "Latency", columns, rows


def _escalations(found: dict[str, Any]) -> Shown:
    rows: list[tuple[str, ...]] = [
        (row["told"], f"{row['requests']:,}") for row in found["escalations"]["by_reason"].values() if row["requests"]
    ]
    return "Escalations", ("why", "requests"), rows


def _break_even(found: dict[str, Any]) -> Shown:
    from router.meter.units import dollars

    columns = ("expert", "holds", "energy: saved a request", "pays from", "money: saved a request", "pays from", "now")
    rows: list[tuple[str, ...]] = [
        (
            who,
            _amount(row["idle_w"], "W"),
            _amount(row["energy"]["saved_j_per_request"], "J"),
            _amount(row["energy"]["needed_per_day"], "a day"),
            "-" if (usd := row["money"]["saved_usd_per_request"]) is None else dollars(round(usd * 1e9)),
            _amount(row["money"]["needed_per_day"], "a day"),
            _amount(row["requests_per_day"], "a day"),
        )
        for who, row in found["break_even"].items()
    ]
    return (
        "Break-even: requests a day from which an expert pays for what it holds",
        columns,
        rows,
    )


def _amount(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:,.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"


def _calibration(found: dict[str, Any]) -> Shown:
    rows: list[tuple[str, ...]] = [
        (f"{row['from']:.0%} to {row['to']:.0%}", f"{row['stated']:.1%}", f"{row['turned_out']:.1%}", f"{row['n']:,}")
        for row in found["calibration"]["bins"]
    ]
    return "Calibration by feedback", ("bin", "stated", "turned out", "n"), rows


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.2f} s"
