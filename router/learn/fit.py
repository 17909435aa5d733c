"""From the registry's examples to a fitted judge; vectors are kept by content, so a refit encodes only what is new."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import load_file, save_file

from experts.errors import RegistryError
from experts.rows import read_rows
from experts.spec import AnswersSpec, AnySpec, LabelsSpec, Registry
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge
from router.learn.evidence import Outcomes
from router.learn.outcome_rows import read_outcomes

CHUNK: Final = 512
"""Texts whose vectors are kept in one file, so that a longer list encodes its end only."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A judge, and the hash of everything it was fitted on: the encoder, every example with its label, the outcomes."""

    judge: Judge
    key: str


def fit_judge(registry: Registry, encoder: Encoder, cache: Path, last: Fitted | None = None) -> Fitted:
    """The judge of a registry; `last` itself when nothing it was fitted on has changed.

    Raises `RegistryError` when a row of an examples or outcomes file is unusable.
    """
    examples = {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}
    key = _digest([encoder.fingerprint, json.dumps(examples), _file_digest(registry.outcomes)])
    if last is not None and last.key == key:
        return last
    texts = [text for _, own in examples.values() for text in own]
    labels = [label for label, own in examples.values() for _ in own]
    parts = [vectors_of(own, encoder, cache) for _, own in examples.values() if own]
    vectors = np.concatenate(parts) if parts else np.empty((0, encoder.dimensions), np.float32)
    judge = Judge({expert: label for expert, (label, _) in examples.items()})
    return Fitted(judge.fit(texts, vectors, labels, _outcomes(registry, encoder, cache)), key)


def _outcomes(registry: Registry, encoder: Encoder, cache: Path) -> Outcomes | None:
    if registry.outcomes is None:
        return None
    ids = {spec.id for spec in registry.experts}
    return read_outcomes(registry.outcomes, ids, lambda texts: vectors_of(texts, encoder, cache))


def examples_of(spec: AnySpec) -> list[str]:
    """The requests an expert is known to answer well: from its examples file, and from its answers or labels."""
    texts: list[str] = []
    if spec.examples is not None:
        texts += [row["input"] for row in read_rows(spec.examples, {"input": str})]
    if isinstance(spec, AnswersSpec):
        texts += [question for row in read_rows(spec.answers, {"questions": list}) for question in row["questions"]]
    if isinstance(spec, LabelsSpec):
        texts += [row["input"] for row in read_rows(spec.labels, {"input": str, "label": str})]
    return list(dict.fromkeys(texts))


def vectors_of(texts: Sequence[str], encoder: Encoder, cache: Path) -> Floats:
    """Unit vectors (n, d) of `texts`, from `cache` where this encoder made them before."""
    parts = [_chunk(texts[start : start + CHUNK], encoder, cache) for start in range(0, len(texts), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, encoder.dimensions), np.float32)


def _chunk(texts: Sequence[str], encoder: Encoder, cache: Path) -> Floats:
    path = cache / f"{_digest([encoder.fingerprint, *texts])}.safetensors"
    if path.exists():
        vectors: Floats = load_file(path)["vectors"]
        return vectors
    vectors = encoder.encode_all(texts)
    cache.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=cache)
    os.close(handle)
    save_file({"vectors": vectors}, draft)
    Path(draft).replace(path)
    return vectors


def _file_digest(path: Path | None) -> str:
    """Hash of a file. Raises `RegistryError` when it cannot be read."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RegistryError([f"{path}: cannot be read ({error.strerror}). Remedy: correct the path."]) from error


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
