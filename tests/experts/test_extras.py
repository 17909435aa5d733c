"""A remedy that names an extra can be followed: it is one of pyproject.toml's, and a path, not a name on an index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from experts.extras import install

ROOT = Path(__file__).parents[2]


def test_every_extra_that_is_named_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    asked = r"install\(['\"]([\w-]+)['\"]\)"
    texts = [
        path.read_text() for part in ("shoal", "eval", "router", "experts") for path in (ROOT / part).rglob("*.py")
    ]
    named = {extra for text in texts for extra in re.findall(asked, text)}
    assert {"train", "otel", "parquet", "eval", "llama-cpp-python"} <= named <= extras
    assert install("otel") == ".venv/bin/pip install -e '.[otel]'"
    told = [*texts, *(page.read_text() for page in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))]
    assert not [text for text in told if "'shoal[" in text]
