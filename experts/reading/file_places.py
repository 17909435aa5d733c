"""Where the files lie that a registry names. Whoever changes one over HTTP names none elsewhere on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from experts.reading.checks import OWN_FILES, PATH_KEYS, experts
from experts.reading.problems import Key, Problem, value_at
from experts.reading.yaml_nodes import Document
from experts.spec import LlamaCppSpec, Registry

_WHAT: Final = (
    "may not name a file outside the registry's folder by a change over HTTP, unless the registry that serves does"
)
_REMEDY: Final = (
    "put it beside registry.yaml, or send examples along; else whoever runs Shoal names it in registry.yaml or by "
    "`shoal registry add`"
)
_LOCAL: Final = "file:"
"""Begins the source of weights that lie on this machine."""


def foreign_files(document: Document, path: Path, serving: Registry, own: Path) -> list[str]:
    """The problems of the `document` of a registry at `path` that names files which are neither beside it nor known.

    Known are those that the `serving` registry names; Shoal's `own` folder there may be a link. Else an admin key would
    read every file of JSON lines on this machine: the nearest examples are shown to every key. To be asked before the
    files are looked at, so that nobody learns which there are.
    """
    folder = path.absolute().parent
    rooms, known = [_real(folder), _real(folder / own)], {_real(each) for each in _known(serving, folder)}
    return [
        Problem(key, _WHAT, _REMEDY).text(str(path), document.line(key))
        for key, name in _named(document.data)
        if "\0" not in name  # of which there is no file anywhere
        and (real := _real(folder / name)) not in known
        and not any(real.is_relative_to(room) for room in rooms)
    ]


def _named(data: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """Each key whose value is the name of a file or folder, and that name."""
    keys: list[Key] = [("encoder", "path"), *((name,) for name in OWN_FILES)]
    keys += [("experts", index, name) for index, _ in experts(data) for name in PATH_KEYS]
    for key in keys:
        if isinstance(name := value_at(data, key), str):
            yield key, name
    for index, _ in experts(data):
        key = ("experts", index, "weights", "source")
        if isinstance(source := value_at(data, key), str) and source.startswith(_LOCAL):
            yield key, source.removeprefix(_LOCAL)


def _known(registry: Registry, folder: Path) -> Iterator[Path]:
    found = [getattr(registry, name) for name in OWN_FILES]
    found += [getattr(spec, name, None) for spec in registry.experts for name in PATH_KEYS]
    yield from (path for path in (registry.encoder.path, *found) if path is not None)
    for spec in registry.experts:
        source = spec.weights.source if isinstance(spec, LlamaCppSpec) else ""
        if source.startswith(_LOCAL):
            yield folder / source.removeprefix(_LOCAL)


def _real(path: Path) -> Path:
    """Where it leads in the end; a link that leads nowhere stays as it is."""
    return Path(os.path.realpath(path))
