"""What each part of the judge is worth on requests as apps send them, over a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from eval.drawn import Drawn
from eval.requests import Request, evaluate_requests
from experts.spec import Registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.evidence import joined
from router.learn.fit import Fitted, Lessons, examples_of, outcomes_of, outside_of
from router.learn.outcomes import Parts

PARTS: Final = ("names", "rivals", "outside", "out_of_domain")
"""Names of domains as examples, the second look, examples of what nobody should answer, and strangers sent away."""


def without_part(
    requests: Sequence[Request], registry: Registry, encoder: Encoder, cache: Path, part: str
) -> Mapping[str, Drawn]:
    """The figures on `requests` without one of `PARTS`, drawn as `evaluate_requests` draws them."""
    examples = {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}
    lessons = Lessons.of(examples, () if part == "outside" else outside_of(registry), encoder, cache)
    names = {} if part == "names" else lessons.names
    judge = Judge(lessons.experts, parts=Parts(rivals=part != "rivals"), sureness=lessons.sureness)
    judge.fit(lessons.texts, lessons.vectors, lessons.labels, joined(outcomes_of(registry, encoder, cache)), names)
    if part == "out_of_domain":
        policies = {name: each.model_copy(update={"out_of_domain": 0.0}) for name, each in registry.policies.items()}
        registry = registry.model_copy(update={"policies": policies})
    return evaluate_requests(requests, registry, encoder, Fitted(judge, part))[1]
