"""What is to be said of the examples that an expert is added with, on a terminal and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from experts.spec import Registry
from router.encode import Encoder
from router.learn.fit import examples_of
from router.learn.repeats import too_few
from router.learn.vectors import vectors_of

_LOOKED_AT: Final = 1024
"""Examples that are compared with each other: if so many differ in a word only, the rest will not be better."""


def warning_about(expert: str, registry: Registry, encoder: Encoder, cache: Path) -> str | None:
    """What is to be said of its domain's examples; nothing where outcomes may tell of it. Raises `RegistryError`."""
    if registry.outcomes is not None:
        return None
    label = registry.expert(expert).label
    texts = [text for spec in registry.experts if spec.label == label for text in examples_of(spec)]
    if not texts:
        return "no examples, so it answers only requests that name it. Remedy: give it examples"
    return too_few(vectors_of(texts[:_LOOKED_AT], encoder, cache))
