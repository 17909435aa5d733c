"""`shoal keys`: who may ask a server, what, how often and for how much."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from experts.errors import WrongUsage
from router.keys.key import Grant, Key, Role
from router.meter.hours_schema import DAY_US
from router.meter.steady import utc_us
from shoal.machine_readable import echo_json
from shoal.options import AsJson, RegistryPath, settings
from shoal.tables import show_table, table_of

app = typer.Typer(help="Create, list and revoke API keys.\n\nExample: shoal keys create shop", no_args_is_help=True)

LIMITS: Final = {
    "requests_per_minute": "requests a minute",
    "tokens_per_minute": "tokens a minute",
    "budget_usd_per_day": "USD a day",
    "budget_j_per_day": "J a day",
}

MOST: Final = 2**63 // 10**9
"""Of any limit: nano-dollars are the smallest unit that SQLite's integers keep one in."""


@app.command("create")
def create_key(
    name: Annotated[
        str, typer.Argument(help="Who or what will use the key; shown in lists. Put -- before one that begins with -.")
    ],
    admin: Annotated[
        bool,
        typer.Option("--admin", help="The key opens /admin and reads the figures of all keys; it cannot call models."),
    ] = False,
    figures: Annotated[
        bool,
        typer.Option(
            "--figures", help="The key only reads the figures of all keys, as for Prometheus or for accounting."
        ),
    ] = False,
    model: Annotated[
        list[str] | None, typer.Option(help="An expert the key may use, or `encoder`; may be repeated. (default: all)")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(min=1, max=MOST, help="Most requests a minute.")] = None,
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Most tokens a minute, in prompts and answers together.")
    ] = None,
    budget_usd_per_day: Annotated[
        float | None, typer.Option(min=0, max=MOST, help="Most US dollars spent in a UTC day.")
    ] = None,
    budget_j_per_day: Annotated[
        float | None, typer.Option(min=0, max=MOST, help="Most joules spent in a UTC day.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When the key expires: a number of days (30d) or a date (2027-01-31).")
    ] = None,
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print it once. Only its hash is stored, so it cannot be shown again.

    Example: shoal keys create shop --model sql --model chat --requests-per-minute 60 --budget-usd-per-day 2
    """
    from router.keys import file

    if not name.strip() or not name.isprintable():
        raise WrongUsage(f"NAME: {name!r} is no name that lists can show. Remedy: a word or a few, on one line")
    chosen = settings(registry)
    grant = Grant(
        _known(model, chosen.registry) if model else None,
        requests_per_minute,
        tokens_per_minute,
        _whole(budget_usd_per_day, 1_000_000_000),
        _whole(budget_j_per_day, 1_000_000),
    )
    role = _role(admin, figures, grant)
    unpriced = _unpriced(grant.models, chosen.registry) if budget_usd_per_day is not None else []
    wanted = Key(b"", name, role, grant, expires_us=_moment(expires) if expires else None)
    secret, key = file.create(chosen.keys_path, wanted)
    _warn(unpriced)
    if as_json:
        echo_json({"key": secret, **key.to_json()})
        return
    typer.echo(f"Key {key.id} for {name}. It is shown this once:", err=True)
    typer.echo(secret)


@app.command("list")
def list_keys(registry: RegistryPath = None, as_json: AsJson = False) -> None:
    """List every key with its role, models, limits and state, but never the key itself.

    Example: shoal keys list
    """
    from rich.table import Column

    from router.keys.file import keys

    found = keys(settings(registry).keys_path)
    if as_json:
        echo_json([key.to_json() for key in found])
        return
    table = table_of("id", "name", "role", "models and limits", Column("made", no_wrap=True), "state")
    for key in found:
        table.add_row(key.id, key.name, key.role, _may(key), _day(key.created_us), _state(key))
    if found:
        show_table(table)
    else:
        typer.echo("No keys yet. Make one: shoal keys create NAME")


@app.command("revoke")
def revoke_key(
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="An id from `shoal keys list`, or its first 6 characters.")
    ],
    registry: RegistryPath = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key for good; running servers reject it within a second.

    Example: shoal keys revoke 3f9a1c0b72de
    """
    from router.keys import file

    key = file.revoke(settings(registry).keys_path, key_id)
    echo_json(key.to_json()) if as_json else typer.echo(f"Key {key.id} ({key.name}) is revoked.")


def _role(admin: bool, figures: bool, grant: Grant) -> Role:
    if not admin and not figures:
        return "inference"
    if admin and figures:
        raise WrongUsage("an admin key reads figures too. Remedy: leave one of --figures and --admin out")
    option = "--admin" if admin else "--figures"
    if grant.metered or grant.models is not None:
        raise WrongUsage(f"a key made with {option} calls no model. Remedy: leave out {option}, or models and limits")
    return "admin" if admin else "figures"


def _may(key: Key) -> str:
    """Which models it asks, and how much of them."""
    if key.role != "inference":
        return "no model"
    told = key.to_json()
    models = ", ".join(told["models"]) if told["models"] is not None else "all"
    return ", ".join(
        [models, *(f"{told[name]:,.10g} {unit}" for name, unit in LIMITS.items() if told[name] is not None)]
    )


def _known(models: list[str], registry: Path) -> frozenset[str]:
    from experts.registry import load_registry
    from experts.spec import ENCODER_MODEL

    there = {spec.id for spec in load_registry(registry).registry.experts} | {ENCODER_MODEL}
    for model in models:
        if model not in there:
            raise WrongUsage(f"--model: there is no expert {model!r}. Remedy: one of {', '.join(sorted(there))}")
    return frozenset(models)


def _unpriced(models: frozenset[str] | None, registry: Path) -> list[str]:
    """Experts that may be asked and whose cost is unknown: a budget counts what is known."""
    from experts.registry import load_registry
    from router.meter.cost import unit_price

    there = load_registry(registry).registry.experts
    return [spec.id for spec in there if (models is None or spec.id in models) and not unit_price(spec).version]


def _warn(unpriced: list[str]) -> None:
    """Tell whoever sets a budget in dollars what it does not count."""
    if unpriced:
        they_cost = "it costs" if len(unpriced) == 1 else "they cost"
        typer.echo(
            f"Warning: no price of {', '.join(unpriced)}, so what {they_cost} is unknown and this budget does not "
            "count it. Remedy: price, list_price or hardware in registry.yaml, or --budget-j-per-day",
            err=True,
        )


def _moment(expires: str) -> int:
    """Microseconds since 1970. Raises `WrongUsage`."""
    remedy = "Remedy: write 30d or 2027-01-31"
    if days := re.fullmatch(r"(\d{1,5})d", expires):
        if not int(days[1]):
            raise WrongUsage(f"--expires: {expires} is now, so the key would open nothing. {remedy}")
        return utc_us() + int(days[1]) * DAY_US
    try:
        when = datetime.fromisoformat(expires)
    except ValueError:
        raise WrongUsage(f"--expires: {expires!r} is neither days nor a date. {remedy}") from None
    moment = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    if moment <= utc_us():
        raise WrongUsage(f"--expires: {expires} is in the past. {remedy}")
    return moment


def _whole(amount: float | None, scale: int) -> int | None:
    return None if amount is None else round(amount * scale)


def _day(moment_us: int) -> str:
    return datetime.fromtimestamp(moment_us / 1e6, UTC).date().isoformat()


def _state(key: Key) -> str:
    if key.revoked_us is not None:
        return f"revoked {_day(key.revoked_us)}"
    if key.expires_us is None:
        return "open"
    return f"{'until' if key.usable(utc_us()) else 'expired'} {_day(key.expires_us)}"
