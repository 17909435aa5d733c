"""What the pages show of registry.yaml can be written into one as it stands."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from experts.registry import load_registry
from experts.spec import Registry

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
REGISTRY = {
    "version": 1, "encoder": {"path": str(ROOT / "router/encoder"), "sha256": "0" * 64},
    "power": {"dynamic_w_per_core": 1.9, "source": "measured", "as_of": "2026-03-09"},
}  # fmt: skip
EXPERT = {
    "id": "small", "kind": "openai", "description": "Small", "url": "http://127.0.0.1:9/v1", "model": "m",
    "params_b": 1, "context": 4096, "examples": "examples.jsonl",
}  # fmt: skip
FALLBACK = {**EXPERT, "id": "big", "params_b": 8}
SHOWN = [
    pytest.param(yaml.safe_load(textwrap.dedent(block)), id=f"{page}-{at}")
    for page in ("experts", "learning", "metering", "promises")
    for at, block in enumerate(BLOCK.findall((ROOT / f"docs/{page}.md").read_text()))
]


def registries(shown: Any) -> list[dict[str, Any]]:
    """Experts are added, sections put in, and keys of an expert, which exclude each other, tried one by one."""
    experts = [EXPERT, FALLBACK]
    if isinstance(shown, list):
        return [{**REGISTRY, "fallback": "big", "experts": [*experts, *shown]}]
    if shown.keys() <= Registry.model_fields.keys():
        policies = {"policies": {"balanced": {"threshold": 0.7}}} | shown
        return [{**REGISTRY, "fallback": "big", "experts": experts, **policies}]
    return [
        {**REGISTRY, "fallback": "big", "experts": [{**EXPERT, key: value}, FALLBACK]} for key, value in shown.items()
    ]


def test_every_page_that_shows_some_is_read() -> None:
    shown = {page.stem for page in (ROOT / "docs").glob("*.md") if BLOCK.search(page.read_text())}
    assert shown - {"observing"} == {str(each.id).rpartition("-")[0] for each in SHOWN}, "observing.md: Prometheus' own"


@pytest.mark.parametrize("shown", SHOWN)
def test_it_is_valid(tmp_path: Path, shown: Any) -> None:
    for name in ("examples.jsonl", "sql-examples.jsonl"):
        (tmp_path / name).write_text('{"input": "Which rows?"}\n')
    for registry in registries(shown):
        path = tmp_path / "registry.yaml"
        path.write_text(yaml.safe_dump({"policies": {"balanced": {"threshold": 0.7}}, **registry}))
        assert load_registry(path, {}).registry.expert("small").params_b == 1
