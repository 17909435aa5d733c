"""The JSON Schema file that editors use to complete and check registry.yaml."""

from __future__ import annotations

import json
from pathlib import Path

from experts.spec import registry_json_schema

FILENAME = "registry.schema.json"


def json_schema_text() -> str:
    """The file's text, a final newline included."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps({**head, **registry_json_schema()}, indent=2, ensure_ascii=False) + "\n"


def write_json_schema(path: Path) -> None:
    """Write it to `path`. Raises OSError."""
    path.write_text(json_schema_text(), encoding="utf-8", newline="\n")
