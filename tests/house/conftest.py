"""The tree as the house rules see it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("shoal", "eval", "router", "experts")
MADE = {".git", ".venv", ".shoal", ".hypothesis", "__pycache__", "build", "dist", "node_modules"}


def belongs(path: Path) -> bool:
    """Whether a file is the project's own, not made by a tool."""
    parts = path.relative_to(ROOT).parts
    return path.is_file() and not any(part in MADE or part.endswith(("_cache", ".egg-info")) for part in parts)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def files() -> list[Path]:
    """Every file of the project."""
    return sorted(path for path in ROOT.rglob("*") if belongs(path))


@pytest.fixture(scope="session")
def modules(files: list[Path]) -> dict[str, ast.Module]:
    """Path from the root -> syntax tree, of every Python file outside the tests."""
    own = [path for path in files if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "tests"]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in own}
