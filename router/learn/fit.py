"""From the registry's examples to a fitted judge; vectors are kept by content, so a refit encodes only what is new."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from experts.rows import read_rows
from experts.spec import AnswersSpec, AnySpec, LabelsSpec, Registry
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge


@dataclass(frozen=True, slots=True)
class Fitted:
    """A judge, and the hash of everything it was fitted on: the encoder and every example with its label."""

    judge: Judge
    key: str


def fit_judge(registry: Registry, encoder: Encoder, cache: Path, last: Fitted | None = None) -> Fitted:
    """The judge of a registry; `last` itself when nothing it was fitted on has changed.

    Raises `RegistryError` when a row of an examples file is unusable.
    """
    examples = {spec.id: (spec.label, own) for spec in registry.experts if (own := examples_of(spec))}
    key = _digest([encoder.fingerprint, json.dumps(examples)])
    if last is not None and last.key == key:
        return last
    texts = [text for _, own in examples.values() for text in own]
    labels = [label for label, own in examples.values() for _ in own]
    parts = [vectors_of(own, encoder, cache) for _, own in examples.values()]
    vectors = np.concatenate(parts) if parts else np.empty((0, encoder.dimensions), np.float32)
    judge = Judge({spec.id: spec.label for spec in registry.experts})
    return Fitted(judge.fit(texts, vectors, labels), key)


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


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]
