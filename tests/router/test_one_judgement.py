"""One request is judged in fewer and smaller steps than many at once, and just the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial

import numpy as np
import pytest

from experts.fitted import State
from router.judge import Judge
from router.learn.evidence import Floats, Outcomes
from router.learn.outcomes import PLAIN, RICH, Parts
from router.learn.outside import OUTSIDE
from router.learn.surface import NAMES

SIZE, DOMAINS = 24, 6
EXPERTS = {f"expert {at}": f"domain {at}" for at in range(DOMAINS)} | {"big": ""}


def requests(count: int, seed: int) -> tuple[Floats, Floats, np.ndarray]:
    """Vectors, surface numbers, and which of the domains."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, DOMAINS, count)
    vectors = np.eye(SIZE)[index] + rng.normal(0, 0.2, (count, SIZE))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), rng.normal(size=(count, len(NAMES))).astype(np.float32), index


def judge(asked: Sequence[str], by_surface: bool = False, off: str | None = None) -> Judge:
    """Of examples, some of them nobody's, and of outcomes of the experts `asked`, if any; one part may be `off`."""
    vectors, _, index = requests(120, 0)
    labels = [f"domain {at}" for at in index[:100]] + [OUTSIDE] * 20
    told = None
    if asked:
        ours, features, task = requests(400, 1)
        chance = np.full((400, len(asked)), 0.7)
        if by_surface:
            chance[:, 0] = features[:, 0] > 0
        scores = (np.random.default_rng(2).random(chance.shape) < chance).astype(np.float32)
        told = Outcomes(tuple(asked), ours, features, scores, task.astype(str))
    parts = Parts(**{off: False}) if off else Parts()
    return Judge(EXPERTS, parts=parts).fit([str(at) for at in range(120)], vectors, labels, told)


CASES: dict[str, Callable[[], Judge]] = {
    "examples": partial(judge, ()),
    "all asked": partial(judge, tuple(EXPERTS)),
    "some asked": partial(judge, ("expert 2", "big")),
    "by surface": partial(judge, ("expert 1", "big"), by_surface=True),
    **{f"no {part}": partial(judge, ("big",), off=part) for part in ("tasks", "neighbours", "calibration")},
}


@pytest.mark.parametrize("case", CASES)
def test_one_is_judged_as_many_are(case: str) -> None:
    fitted, (vectors, features, _) = CASES[case](), requests(50, 3)
    if fitted._model is not None:
        assert fitted._model.shape_ == (RICH if case == "by surface" else PLAIN)
    many = fitted.predict_proba(vectors, features)
    rows = zip(vectors, features, strict=True)
    one = [list(fitted.judge(vector, each).probability.values()) for vector, each in rows]
    assert np.abs(many - one).max() < 5e-6


def state(rng: np.random.Generator) -> State:
    """A judge of three experts, two of them with domains, that nobody had to fit."""

    def drawn(*shape: int) -> Floats:
        return rng.normal(size=shape).astype(np.float32)

    nobody = {"rows": np.empty(0, np.intp), "probability": drawn(0, 3), "known": np.empty(0), "scores": drawn(0, 3)}
    nobody["once"] = np.empty(0, bool)
    head = {"classes": ["a", "b"], "weights": 4 * drawn(2, 8), "bias": drawn(2)}
    return {
        "classes": ["one", "two", "big"],
        "columns": np.array([1, 0]),
        "moved": np.array([0, 2]),
        "left_out": {"examples": nobody, "outcomes": nobody | {"vectors": drawn(0, 8)}},
        "domains": {
            "head": head,
            "familiarity": {
                "centres": drawn(2, 8), "landmarks": drawn(9, 8), "sizes": [7, 2], "norm": drawn(2), "gap": np.zeros(2),
                "lift": np.zeros(2), "scatter": np.abs(drawn(2)), "usual": [[0.1 * at, 1.0 + at] for at in range(3)],
                "scores": np.sort(rng.normal(size=40)) * 4,
            },
            "rivals": {"weight": 0.0, "temperature": 1.0, "by_size": np.zeros(2)},
            "outside": {"weights": drawn(8), "bias": 0.2, "landmarks": drawn(5, 8), "line": rng.normal(size=4)},
        },
        "model": {
            "shape": list(astuple(RICH)),
            "trust": np.array([0.7, 1.0], np.float32),
            "backed": np.array([True, False]),
            "effects": {
                "similarity": {
                    "stretch": {"mean": drawn(5), "spread": np.abs(drawn(5)) + 1, "by": [1.4, 0.6]},
                    "landmarks": 0.3 * drawn(12, 13), "half": np.abs(drawn(12)),
                },
                "by_look": 0.2 * drawn(12, 2), "by_task": 0.2 * drawn(2, 2), "constant": 0.5 + 0.1 * drawn(2),
            },
            "calibration": {"known": 0.5 + 0.1 * drawn(2, 2), "unknown": drawn(2, 2), "gate": drawn(3)},
        },
    }  # fmt: skip


def test_the_figures_stay_what_they_were() -> None:
    rng = np.random.default_rng(8)
    fitted, kept = Judge({"one": "b", "two": "a", "big": ""}), state(rng)
    fitted.restore(["x", "y"], np.eye(2, 8, dtype=np.float32), ["a", "b"], kept)
    vectors = rng.normal(size=(3, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = 2 * rng.normal(size=(3, 5)).astype(np.float32)
    judged = [fitted.judge(vector, each) for vector, each in zip(vectors, features, strict=True)]
    told = [[*each.probability.values(), each.outside] for each in judged]
    expected = AS_FIRST_WRITTEN.copy()
    expected[:, 2] *= 1 - expected[:, 3]
    assert np.abs(np.array(told) - expected).max() < 1e-6
    by_definition = [familiarity(kept["domains"], vector) for vector in vectors.astype(float)]
    assert np.abs(np.array([[each.familiarity, each.known] for each in judged]) - by_definition).max() < 1e-5


def familiarity(domains: State, vector: Floats) -> tuple[float, float]:
    """The sum of the three looks of ADR 0002, and the share of kept sums that are no greater."""
    head, kept = domains["head"], domains["familiarity"]
    scores = head["weights"] @ vector + head["bias"]
    best = int(scores.argmax())
    examples = np.split(kept["landmarks"], np.cumsum(kept["sizes"])[:-1])[best]
    near = np.sort(examples @ vector)[-5:].mean()
    looks = [scores[best], kept["centres"][best] @ vector, (near - kept["norm"][best]) / kept["scatter"][best]]
    seen = [(look - mean) / spread for look, (mean, spread) in zip(looks, kept["usual"], strict=True)]
    found = sum(seen) + kept["lift"][best]
    return found, (1 + (kept["scores"] <= found).sum()) / (1 + len(kept["scores"]))


AS_FIRST_WRITTEN = np.array([
    [6.561643481e-01, 3.208104521e-02, 7.674064040e-01, 3.118193235e-01],
    [4.233508110e-01, 2.274170765e-05, 8.168842793e-01, 6.700845932e-01],
    [8.209410310e-02, 5.482708812e-01, 8.259585500e-01, 4.203552609e-01],
])  # fmt: skip
"""Probabilities and how likely nobody's: by the steps that judge many at once, before there were others for one.

Then nobody's share was not yet taken from the third expert, which has no examples.
"""
