"""The guarantee that is published is the one that serves."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from eval import risk
from eval.judged import Judged
from experts.policy import Policy
from router.decide import decide
from router.judgement import Judgement
from router.ladder import Ladder
from router.promises.certificate import Basis, certify
from router.rule import Rule
from tests.router.test_decide import REGISTRY, expert, needs

MODELS = ("small", "medium", "big", "vast")
EXPERTS = tuple(expert(name, size) for name, size in zip(MODELS, (1, 3, 30, 70), strict=True))
LADDER = Ladder.of(REGISTRY.model_copy(update={"experts": EXPERTS}))


def judged(n: int, seed: int = 0) -> Judged:
    """The harder a request the more a larger model is worth, and the judge knows by how much."""
    rng = np.random.default_rng(seed)
    probability = (1 - rng.random((n, 1)) * [0.6, 0.3, 0.05, 0.02]).astype(np.float32)
    scores = (rng.random((n, 4)) < probability).astype(float)
    costs = np.tile([1.0, 3.0, 30.0, 70.0], (n, 1))
    nobody = np.zeros(n, np.intp)
    return Judged(
        probability.astype(float), probability, rng.random(n), scores, nobody, costs, scores, costs, np.full(n, "")
    )


def test_what_is_tried_is_what_a_registry_would_promise_and_decide() -> None:
    """Certified and decided here by hand, through the product's own door, on the same halves."""
    seen = judged(1200)
    evidence = risk.evidence_of(seen, MODELS, 2)
    assert evidence is not None
    order = np.random.default_rng(3).permutation(1200)
    made = certify(
        "safe", Policy(max_risk=0.02, confidence=0.9), evidence.take(order[:600]), Basis("", "", ""), date.today()
    )
    rule = Rule("safe", made.threshold, made.out_of_domain, made.beyond, exact=True)
    losses, kept = [], []
    for row in order[600:]:
        said = dict(zip(MODELS, seen.probability[row].astype(float).tolist(), strict=True))
        choice = decide(Judgement(None, said, float(seen.known[row]), 0.0), LADDER, rule, needs(), lambda _: None)
        losses.append(seen.scores[row, 2] - seen.scores[row, MODELS.index(choice.expert)])
        kept.append(choice.expert in ("small", "medium"))
    found = risk.resplit(evidence, seed=3, times=1)
    assert 0 < found.kept_small < 1
    assert found.kept_small == pytest.approx(np.mean(kept))
    assert found.violations == (np.mean(losses) > 0.02)


def test_the_curve_ends_where_no_promise_goes_further() -> None:
    evidence = risk.evidence_of(judged(600), MODELS, 2)
    assert evidence is not None
    curve = risk.risk_curve(evidence)
    assert curve[0] == {"kept_small": 0.0, "loss": 0.0}
    short = evidence.probability[:, 1] - evidence.probability[:, 2]
    kept = (evidence.known >= 0.05) & (short >= evidence.laxest)
    assert curve[-1]["kept_small"] == pytest.approx(kept.mean())
    assert max(each["loss"] for each in curve) > 0.02


def test_nothing_cheaper_is_nothing_to_promise() -> None:
    assert risk.evidence_of(judged(600), MODELS, 0) is None
    assert risk.evidence_of(judged(1), MODELS, 2) is None
