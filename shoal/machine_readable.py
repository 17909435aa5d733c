"""What --json prints."""

from __future__ import annotations

import json
import math
from typing import Any

import typer


def echo_json(found: Any) -> None:
    """Print `found` on one line as JSON, which has no NaN: a figure that does not exist is null."""
    typer.echo(json.dumps(_existing(found), allow_nan=False))


def _existing(found: Any) -> Any:
    if isinstance(found, float) and not math.isfinite(found):
        return None
    if isinstance(found, dict):
        return {name: _existing(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [_existing(each) for each in found]
    return found
