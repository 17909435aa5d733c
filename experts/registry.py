"""registry.yaml into a frozen Registry, or every problem in it at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from experts.errors import RegistryError
from experts.reading.checks import DATA_KEYS, OWN_FILES, PATH_KEYS, cross_problems, experts
from experts.reading.list_price import with_list_prices
from experts.reading.overlay import fallback_from, with_fallback
from experts.reading.problems import Problem, value_at
from experts.reading.shape import shape_problems
from experts.reading.yaml_nodes import Document, Unusable, read_document
from experts.spec import OpenAISpec, Registry


@dataclass(frozen=True)
class LoadedRegistry:
    """A registry as it was read at one moment."""

    registry: Registry
    version: str
    """12 hex digits of SHA-256 over registry.yaml, the data files it names and the fallback set from outside."""
    files: tuple[Path, ...]
    """Everything whose change may make a new version; absolute, registry.yaml first."""


def load_registry(path: Path, env: Mapping[str, str] | None = None) -> LoadedRegistry:
    """Read, check and complete the registry at `path`; `env` (os.environ when None) may set the fallback.

    Raises RegistryError with all problems, each as `FILE:LINE: KEY: what. Remedy: ...`.
    """
    problems: list[str] = []
    fallback = _fallback(os.environ if env is None else env, problems)
    try:
        document = read_document(path)
    except Unusable as error:
        raise RegistryError([error.problem.text(str(path)), *problems]) from None
    folder = path.absolute().parent
    registry = _registry(document, folder, path, problems)
    if fallback:
        registry = with_fallback(registry, fallback)
    registry = with_list_prices(registry)
    files = _data_files(registry)
    return LoadedRegistry(registry, _version(document.raw, files, fallback), (path.absolute(), *files))


def _fallback(env: Mapping[str, str], problems: list[str]) -> OpenAISpec | None:
    try:
        return fallback_from(env)
    except RegistryError as error:
        problems += error.problems
        return None


def _registry(document: Document, folder: Path, path: Path, others: list[str]) -> Registry:
    """The validated registry. Raises RegistryError with its problems in the order of lines, then `others`."""
    data = document.data
    # What was refused while reading stands in as None: one complaint about it is enough.
    unread = {problem.key for problem in document.problems if value_at(data, problem.key) is None}
    problems = list(cross_problems(data, folder))
    registry = None
    try:
        # Strict, by way of JSON: text stays text and a number a number, while lists may become tuples and sets.
        text = json.dumps(_absolute(data, folder), default=date.isoformat)
        registry = Registry.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems += shape_problems(error, data)
    problems = [*document.problems, *(problem for problem in problems if problem.key not in unread)]
    if registry is None or problems or others:
        raise RegistryError([*_texts(problems, document, path), *others])
    return registry


def _texts(problems: list[Problem], document: Document, path: Path) -> list[str]:
    placed = sorted(((p.line or document.line(p.key), p) for p in problems), key=lambda pair: pair[0])
    return [problem.text(str(path), line) for line, problem in placed]


def _absolute(data: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A copy of `data` in which every path starts at the root."""
    entries, encoder = data.get("experts"), data.get("encoder")
    whole = dict(data)
    if isinstance(entries, list):
        whole["experts"] = list(entries)
        for index, expert in experts(data):
            paths = {key: str(folder / expert[key]) for key in PATH_KEYS if isinstance(expert.get(key), str)}
            whole["experts"][index] = {**expert, **paths}
    whole |= {key: str(folder / data[key]) for key in OWN_FILES if isinstance(data.get(key), str)}
    if isinstance(encoder, dict) and isinstance(encoder.get("path"), str):
        whole["encoder"] = {**encoder, "path": str(folder / encoder["path"])}
    return whole


def _data_files(registry: Registry) -> tuple[Path, ...]:
    found = [getattr(expert, key, None) for expert in registry.experts for key in DATA_KEYS]
    own = [getattr(registry, key) for key in OWN_FILES]
    return tuple(dict.fromkeys(path for path in (*found, *own) if path is not None))


def _version(raw: bytes, files: tuple[Path, ...], fallback: OpenAISpec | None) -> str:
    """A hash of everything read. Raises RegistryError when a data file cannot be read to its end."""
    whole = hashlib.sha256(hashlib.sha256(raw).digest())
    for path in files:
        try:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            problem = Problem((), f"cannot be read ({error.strerror})", "restore it and give this user read permission")
            raise RegistryError([problem.text(str(path))]) from error
    if fallback:
        whole.update(f"{fallback.url} {fallback.model} {fallback.context} {fallback.params_b}".encode())
    return whole.hexdigest()[:12]
