"""Options that several commands share, and what they are read into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from experts.errors import WrongUsage
from router.settings import Settings


def there(param: typer.CallbackParam, given: Path | list[Path] | None) -> Path | list[Path] | None:
    """The file or files that an option or argument names, when they are there. Raises `WrongUsage`."""
    for path in given if isinstance(given, list) else [given] if given is not None else []:
        _require(named(param), path, "file")
    return given


def folder_there(param: typer.CallbackParam, given: Path) -> Path:
    """The folder that an option or argument names, when it is there. Raises `WrongUsage`."""
    _require(named(param), given, "folder")
    return given


def named(param: typer.CallbackParam) -> str:
    """An option or argument as `--help` writes it."""
    return param.opts[0] if param.param_type_name == "option" else param.opts[0].upper()


def _require(named: str, path: Path, kind: Literal["file", "folder"]) -> None:
    """Raises `WrongUsage`; a pipe or device is as good as a file."""
    if not path.exists():
        raise WrongUsage(f"{named}: there is no {kind} {path}. Remedy: correct the path")
    if path.is_dir() != (kind == "folder"):
        other = "folder" if kind == "file" else "file"
        raise WrongUsage(f"{named}: {path} is a {other}. Remedy: name a {kind}")


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
    if named:
        _require(named, chosen.registry, "file")
    return chosen
