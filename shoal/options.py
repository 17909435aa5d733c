"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from experts.errors import WrongUsage
from router.settings import Settings

NAMED_WRONGLY: Final = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""What happens to a file that the command line named, and another name would mend."""


def there(given: Path | list[Path] | None) -> Path | list[Path] | None:
    """What an option names, when it is there. Raises `WrongUsage`."""
    for path in given if isinstance(given, list) else [given] if given is not None else []:
        if not path.exists():
            raise WrongUsage(f"{path}: there is no such file. Remedy: correct the path")
    return given


RegistryPath = Annotated[
    Path | None, typer.Option("--registry", help="The registry file (env SHOAL_REGISTRY, else registry.yaml).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def settings(registry: Path | None = None, **options: object) -> Settings:
    """Settings from the environment and the options given; a registry that is named has to be there.

    Raises `SettingsError` or `WrongUsage`.
    """
    chosen = Settings.from_env(os.environ, registry=registry, **options)
    named = "--registry" if registry is not None else "SHOAL_REGISTRY" if "SHOAL_REGISTRY" in os.environ else ""
    if named and not chosen.registry.exists():
        raise WrongUsage(f"{named}: there is no file {chosen.registry}. Remedy: correct the path")
    return chosen
