"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from experts.errors import WrongUsage
from router.settings import Settings

RegistryPath = Annotated[
    Path | None, typer.Option("--registry", help="The registry file (env SHOAL_REGISTRY, else registry.yaml).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def settings(registry: Path | None = None, **options: object) -> Settings:
    """Settings from the environment and the options given. Raises `SettingsError`."""
    return Settings.from_env(os.environ, registry=registry, **options)


def books_of(registry: Path | None) -> Settings:
    """Settings of a command that reads what lies beside a registry; one that is named has to be there.

    Raises `SettingsError` or `WrongUsage`.
    """
    chosen = settings(registry)
    named = "--registry" if registry is not None else "SHOAL_REGISTRY" if "SHOAL_REGISTRY" in os.environ else ""
    if named and not chosen.registry.exists():
        raise WrongUsage(f"{named}: there is no file {chosen.registry}. Remedy: name the registry that was served")
    return chosen
