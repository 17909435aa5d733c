"""When is an expert still the same one? Tells a hot reload which experts may keep running."""

from __future__ import annotations

import hashlib
from pathlib import Path

from experts.spec import READS_VECTOR, AnswersSpec, AnySpec, Encoder, LabelsSpec, ScriptedSpec

TOLD = {
    "description", "domain", "examples", "card", "params_b", "params_assumed", "total_params_b", "weight_bits", "batch",
    "runs_on", "device", "price", "list_price", "hardware", "energy", "capacity", "capabilities",
}  # fmt: skip
"""What a spec tells about an expert without changing how it runs."""
TOLD_OF_WEIGHTS = {"source", "licence", "size_bytes"}
"""The same of its weights, which are who their sha256 says they are."""


def identity(spec: AnySpec, encoder: Encoder) -> str:
    """A fingerprint of all that shapes how an expert runs: settings, own files, and the encoder if it reads vectors.

    Raises OSError when a file cannot be read.
    """
    parts = [spec.model_dump_json(exclude={**dict.fromkeys(TOLD, True), "weights": TOLD_OF_WEIGHTS})]
    parts += [hashlib.sha256(path.read_bytes()).hexdigest() for path in _own_files(spec)]
    if spec.kind in READS_VECTOR:
        parts.append(encoder.model_dump_json(exclude={"path"}))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _own_files(spec: AnySpec) -> list[Path]:
    match spec:
        case AnswersSpec():
            return [spec.answers]
        case LabelsSpec():
            return [spec.labels]
        case ScriptedSpec():
            return [spec.script]
        case _:
            return []
