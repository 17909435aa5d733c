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
    return too_few(vectors_of(texts[:_LOOKED_AT], encoder, cache)) or _blind(registry)


def _blind(registry: Registry) -> str | None:
    """What is to be said where even the strangest request is taken for a known one.

    A p-value over n examples is 1 / (n + 1) or more, so that of fewer none is below what the policy refuses.
    """
    refused = registry.policies[registry.default_policy].out_of_domain
    told = sum(len(examples_of(spec)) for spec in registry.experts)
    if registry.outside is not None or not refused or 1 / (told + 1) < refused:
        return None
    return (
        f"{told} examples in all are too few to tell a request that is like none of them: with out_of_domain "
        f"{refused:g} that takes {int(1 / refused)}, and until then such requests go to an expert too. "
        "Remedy: more examples, or `outside: FILE` of requests that the fallback should answer"
    )
