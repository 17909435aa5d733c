"""What is to be said of the examples that an expert is added with, on a terminal and over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from experts.spec import Registry
from router.encode import Encoder
from router.learn.cautions import Examples, blind, enough, examples_by_id, scores_by_id, shared, unproved
from router.learn.repeats import too_few
from router.learn.vectors import vectors_of

_LOOKED_AT: Final = 1024
"""Examples that are compared with each other: if so many differ in a word only, the rest will not be better."""


def warnings_about(expert: str, registry: Registry, encoder: Encoder, cache: Path) -> list[str]:
    """What is to be said of its domain's examples; less where outcomes tell enough of it. Raises `RegistryError`."""
    told = examples_by_id(registry)
    found = _of_number(expert, registry, told, encoder, cache)
    return [*([found] if found else []), *shared(registry, told, expert)]


def _of_number(expert: str, registry: Registry, told: Examples, encoder: Encoder, cache: Path) -> str | None:
    label = registry.expert(expert).label
    texts = [text for spec in registry.experts if spec.label == label for text in told[spec.id]]
    scores = scores_by_id(registry)
    if not texts and scores[expert]:
        return unproved(scores[expert])
    if not texts:
        return "no examples, so it answers only requests that name it. Remedy: give it examples"
    texts = texts[:_LOOKED_AT]
    few = None if enough(registry, label, scores) else too_few(vectors_of(texts, encoder, cache))
    return few + _cut_short(texts, encoder) if few else blind(registry, told)


def _cut_short(texts: list[str], encoder: Encoder) -> str:
    """What may make examples alike that differ: of long ones the middle is not read."""
    most = encoder.max_tokens
    long = sum(encoder.count_tokens(text) == most for text in texts)
    if 2 * long < len(texts):
        return ""
    return f". Of a text longer than {most} tokens only its two ends are read, and {long} of them are"
