"""The registry a measurement serves: the shipped one, with the upstream in the place of every model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from eval.bench.upstream import BURST, PACED
from experts.registry import load_registry
from experts.spec import ExpertSpec, LlamaCppSpec, OpenAISpec, Registry

_PRICE: Final = {
    "input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.4, "source": "for the arithmetic", "as_of": "2026-01-01",
}  # fmt: skip


def bench_registry(path: Path, upstream_port: int) -> dict[str, Any]:
    """The registry at `path` with the upstream in the place of every expert that generates.

    Examples, answers and labels stay, so the judge is as large as the shipped one. One expert more, `paced`, is the
    upstream that takes its time between events. Raises RegistryError.
    """
    registry = load_registry(path, {}).registry
    experts = [_expert(spec, upstream_port) for spec in registry.experts]
    fallback = next(each for each in experts if each["id"] == registry.fallback)
    paced = {key: value for key, value in fallback.items() if key != "examples"}
    return {**_said(registry), "experts": [*experts, {**paced, "id": PACED, "model": PACED}]}


def _expert(spec: ExpertSpec, port: int) -> dict[str, Any]:
    said = _said(spec)
    if not isinstance(spec, LlamaCppSpec | OpenAISpec):
        return said
    shared = {key: value for key, value in said.items() if key in ExpertSpec.model_fields}
    return {**shared, "kind": "openai", "url": f"http://127.0.0.1:{port}/v1", "model": BURST, "price": _PRICE}


def _said(model: Registry | ExpertSpec) -> dict[str, Any]:
    return dict(model.model_dump(mode="json", exclude_unset=True))
