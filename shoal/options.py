"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from router.settings import Settings

RegistryPath = Annotated[
    Path | None, typer.Option("--registry", help="The registry file (env SHOAL_REGISTRY, else registry.yaml).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def settings(registry: Path | None = None, **options: object) -> Settings:
    """Settings from the environment and the options given. Raises `SettingsError`."""
    return Settings.from_env(os.environ, registry=registry, **options)
