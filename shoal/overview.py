"""`shoal meter overview`: every figure of the dashboard, from the ledger and the registry, without a browser."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from experts.errors import ShoalError, WrongUsage
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.period import Period, Since, Until

PATIENCE_S = 30
REMEDIES = {
    401: "put a key that reads figures into SHOAL_FIGURES_KEY",
    403: "put a key that reads figures into SHOAL_FIGURES_KEY",
    404: "give the address of a Shoal alone, as http://127.0.0.1:8080",
}


def print_overview(
    registry: RegistryPath = None,
    since: Since = None,
    until: Until = None,
    period: Period = None,
    server: Annotated[
        str | None,
        typer.Option(
            help="Address of a running server to read from; it also knows its loaded experts, its judge and the map."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show every figure of the dashboard: who answered, escalations and their reasons, latency, break-even and more.

    --json has the curves too.

    Example: shoal meter overview --period 2026-11 --server http://127.0.0.1:8080
    """
    from router.meter.period import bounds

    ends = bounds(since, until, period)
    found = _asked(server, *ends) if server else _read(registry, *ends)
    if as_json:
        echo_json(found)
        return
    from rich.table import Table

    from shoal.overview_tables import parts
    from shoal.tables import screen, show_table

    console = screen()
    for part in parts(found):
        for each in part:
            if isinstance(each, Table):
                show_table(each)
            else:
                console.print(each)
        console.print()


def _read(registry: RegistryPath, since_us: int | None, until_us: int | None) -> dict[str, Any]:
    from experts.registry import load_registry
    from router.board.overview import overview
    from router.meter.ledger import reading

    chosen = settings(registry)
    loaded = load_registry(chosen.registry)
    with reading(chosen.ledger_path) as connection:
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
        remedy = REMEDIES.get(error.code, "see what its log says")
        raise ShoalError(f"--server: {server} answers {error.code}: {_said(error)} Remedy: {remedy}.") from None
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
