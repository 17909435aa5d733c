"""The options of a command that looks at a period: from, to, or a name for both."""

from __future__ import annotations

from typing import Annotated

import typer

Since = Annotated[str | None, typer.Option("--from", help="First day or moment, in ISO 8601, UTC.")]
Until = Annotated[str | None, typer.Option("--to", help="End of the period, itself not included, in ISO 8601, UTC.")]
Period = Annotated[
    str | None,
    typer.Option(
        "--period", help="Instead of --from and --to: a year, month or day (2026-11), or the last 24h, 7d or 4w."
    ),
]
