"""What a figure rests on: data, encoder, code, commit and machine. Two runs on the same of these are the same run."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from eval.bench.machine import commit, machine

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGES: Final = ("eval", "router", "experts")


@cache
def code_of(module: str) -> str:
    """Hash of a module's text and of all it imports from this house, directly or through others."""
    digest = hashlib.sha256()
    for name in sorted(_reached(module)):
        digest.update(name.encode() + b"\0" + _path(name).read_bytes() + b"\0")
    return digest.hexdigest()


def origin() -> dict[str, Any]:
    """Commit, date and machine, as every result says them."""
    head, dirty = commit(ROOT)
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"commit": head, "dirty": dirty, "date": date, "machine": machine()}


def _reached(module: str) -> set[str]:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and _path(name).is_file():
            seen.add(name)
            waiting += _imported(name)
    return seen


def _imported(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(_path(module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in PACKAGES:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in PACKAGES)


def _path(module: str) -> Path:
    return ROOT / Path(*module.split(".")).with_suffix(".py")
