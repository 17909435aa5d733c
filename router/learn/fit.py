"""From the registry's examples to a fitted judge; vectors are kept by content, so a refit encodes only what is new."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from experts.rows import read_rows
from safetensors.numpy import load_file, save_file

from experts.spec import AnswersSpec, AnySpec, LabelsSpec, Registry
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge


def fit_judge(registry: Registry, encoder: Encoder, cache: Path) -> Judge:
    """The judge of a registry. Raises `RegistryError` when a row of an examples file is unusable."""
    texts: list[str] = []
    labels: list[str] = []
    parts: list[Floats] = []
    judged: dict[str, str] = {}
    for spec in registry.experts:
        own = examples_of(spec)
        if own:
            judged[spec.id] = spec.label
            texts += own
            labels += [spec.label] * len(own)
            parts.append(vectors_of(own, encoder, cache))
    vectors = np.concatenate(parts) if parts else np.empty((0, encoder.dimensions), np.float32)
    return Judge(judged).fit(texts, vectors, labels)


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
    digest = hashlib.sha256("\0".join([encoder.fingerprint, *texts]).encode("utf-8", "replace")).hexdigest()
    path = cache / f"{digest[:32]}.safetensors"
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
