"""The guarantee that is published is the one that serves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from eval import risk
from eval.drawn import Drawn
from eval.few import FEW
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


@pytest.mark.parametrize("between", [False, True])
def test_what_is_tried_is_what_a_registry_would_promise_and_decide(between: bool) -> None:
    """Certified and decided here by hand, through the product's own door, on the same halves; scores 0 and 1 or not."""
    seen = judged(1200)
    if between:
        seen = replace(seen, scores=np.where(np.arange(1200)[:, None] % 5 == 0, 0.9 * seen.scores + 0.04, seen.scores))
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
    found = risk.Trial(evidence).resplit(seed=3, times=1)
    assert 0 < found.kept_small < 1
    assert found.kept_small == pytest.approx(np.mean(kept))
    assert found.violations == (np.mean(losses) > 0.02)


def trial(n: int, seed: int) -> risk.Trial:
    evidence = risk.evidence_of(judged(n, seed), MODELS, 2)
    assert evidence is not None
    return risk.Trial(evidence)


def test_the_interval_of_five_seeds_holds_what_is_true_of_all_requests() -> None:
    """Five seeds divide the same requests: their own values, whose percentiles it was, lie too close together."""
    true = np.mean([trial(600, 1000 + seed).resplit(seed, times=5).kept_small for seed in range(60)])
    held, between_seeds = 0, 0
    for requests in range(20):
        tried = trial(600, requests)
        found = [tried.drawn(tried.resplit(seed, times=20), seed, draws=8)["kept_small"] for seed in range(5)]
        pooled = Drawn.pooled([each.centred() for each in found])
        held += pooled.low <= true <= pooled.high
        low, high = np.percentile([each.value for each in found], [2.5, 97.5])
        between_seeds += low <= true <= high
    assert held >= 17
    assert between_seeds <= 10


@pytest.mark.parametrize("size", [FEW - 1, FEW])
def test_few_requests_are_not_drawn_again(size: int) -> None:
    tried = trial(size, 0)
    found = tried.drawn(tried.resplit(0, times=2), 0, draws=3)
    assert {name: np.isfinite(each.low) for name, each in found.items()} == dict.fromkeys(found, size >= FEW)
    assert set(found) == {"broken", "kept_small"}


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
