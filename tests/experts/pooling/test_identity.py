from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from experts.pooling.identity import identity
from experts.spec import AnySpec, Encoder

ENCODER = Encoder(path=Path("encoder"), sha256="0" * 64)
CHAT = {
    "id": "chat",
    "kind": "llama_cpp",
    "description": "d",
    "params_b": 0.1,
    "context": 2048,
    "memory_mb": 300,
    "weights": {"source": "file:a.gguf", "sha256": "1" * 64, "licence": "MIT"},
}
PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "source": "s", "as_of": "2026-01-01"}


def spec(about: dict[str, Any], **changes: Any) -> AnySpec:
    adapter: TypeAdapter[AnySpec] = TypeAdapter(AnySpec)
    return adapter.validate_python({**about, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"description": "e"},
        {"price": PRICE},
        {"domain": "talk"},
        {"params_b": 0.2},
        {"capabilities": ["stream", "n"]},
        {"examples": "e.jsonl"},
        {"weights": {"source": "file:elsewhere.gguf", "sha256": "1" * 64, "licence": "Apache-2.0"}},
    ],
)
def test_what_is_only_told_does_not_restart_an_expert(change: dict[str, Any]) -> None:
    assert identity(spec(CHAT, **change), ENCODER) == identity(spec(CHAT), ENCODER)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "talk"},
        {"context": 1024},
        {"slots": 2},
        {"threads": 1},
        {"memory_mb": 301},
        {"engine": "llama-cpp-python"},
        {"timeouts": {"idle_s": 1}},
        {"max_concurrency": 1},
        {"weights": {"source": "file:a.gguf", "sha256": "2" * 64, "licence": "MIT"}},
    ],
)
def test_what_shapes_how_it_runs_does(change: dict[str, Any]) -> None:
    assert identity(spec(CHAT, **change), ENCODER) != identity(spec(CHAT), ENCODER)


def test_an_experts_own_file_and_its_encoder_count(tmp_path: Path) -> None:
    labels = tmp_path / "labels.jsonl"
    labels.write_text("one")
    triage = {"id": "t", "kind": "labels", "description": "d", "params_b": 0, "context": 9, "labels": str(labels)}
    before = identity(spec(triage), ENCODER)
    labels.write_text("two")
    after = identity(spec(triage), ENCODER)
    other = ENCODER.model_copy(update={"sha256": "1" * 64})
    assert len({before, after, identity(spec(triage), other)}) == 3
    assert identity(spec(CHAT), other) == identity(spec(CHAT), ENCODER)
