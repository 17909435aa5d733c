"""The extras of pyproject.toml, and how somebody who has a clone gets one: Shoal is on no package index."""

from __future__ import annotations


def install(extra: str) -> str:
    """The command, run in the clone, that brings one of them into the environment `make` keeps there."""
    return f".venv/bin/pip install -e '.[{extra}]'"
