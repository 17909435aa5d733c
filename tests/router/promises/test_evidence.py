from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experts.policy import Policy
from experts.spec import AnySpec, Registry
from router.decide import decide
from router.judge import Judge
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.certify import LITTLE
from router.learn.evidence import Outcomes
from router.learn.surface import NAMES
from router.promises.certificate import Basis, CertificateRefused, certify
from router.promises.drift import WINDOW, Reference
from router.promises.evidence import Evidence, capped, evidence_of
from router.rule import Rule
from tests.router.promises.bench import evidence
from tests.router.test_decide import REGISTRY, expert, needs

TODAY = date(2026, 11, 25)


def registry_of(medium: AnySpec) -> Registry:
    return REGISTRY.model_copy(update={"experts": (REGISTRY.expert("small"), medium, REGISTRY.expert("big"))})


THREE = registry_of(REGISTRY.expert("medium"))
EQUAL = registry_of(expert("medium", 1))


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from(["examples", "outcomes"]), st.floats(0, 0.5), st.booleans())
def test_a_threshold_is_tried_by_the_very_choices_that_decide_makes(
    seed: int, source: str, out_of_domain: float, equal: bool
) -> None:
    known = evidence(12, seed, source, equal=equal)  # type: ignore[arg-type]
    registry = EQUAL if equal else THREE
    assert known.bulks == tuple(Ladder.of(registry).bulk[name] for name in known.experts)
    tried = list(known.choices(out_of_domain))
    for threshold, chosen in (tried[seed % len(tried)], tried[-1]):
        rule = Rule("safe", threshold, out_of_domain, known.beyond, exact=True)
        for row, column in enumerate(chosen):
            probability = dict(zip(known.experts, known.probability[row].tolist(), strict=True))
            judgement = Judgement("x", probability, float(known.known[row]), 0.0)
            decision = decide(judgement, Ladder.of(registry), rule, needs(), lambda _: None)
            assert decision.expert == (*known.experts, "big")[column]


def test_of_equally_small_experts_the_more_probable_is_chosen() -> None:
    known = evidence(60, equal=True)
    laxest = list(known.choices(0.0))[-1][1]
    assert laxest.tolist() == known.probability[:, :2].argmax(axis=1).tolist()
    assert set(laxest) == {0, 1}


def test_thresholds_go_from_strict_to_lax_and_keep_more() -> None:
    kept = [tally.kept for tally in evidence(500).tallies(0.05)]
    at = [tally.at for tally in evidence(500).tallies(0.05)]
    assert kept == sorted(kept)
    assert at == sorted(at, reverse=True)
    assert kept[0] < 10 < 400 < kept[-1]


def judge_of(outcomes: Outcomes | None = None, sureness: float = 1.0) -> Judge:
    rng = np.random.default_rng(3)
    labels = ["small", "medium"] * 40
    vectors = np.eye(24, dtype=np.float32)[[int(label == "small") for label in labels]]
    vectors = (vectors + rng.normal(0, 0.2, vectors.shape)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    judge = Judge({"small": "small", "medium": "medium", "big": "big"}, sureness=sureness)
    return judge.fit(labels, vectors, labels, outcomes)


def outcomes_of(n: int) -> Outcomes:
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((n, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.integers(0, 2, (n, 2)).astype(np.float32)
    scores[::4, 1] = np.nan
    return Outcomes(("small", "big"), vectors, np.zeros((n, len(NAMES)), np.float32), scores)


def around(corner: int, n: int, seed: int) -> np.ndarray:
    """Unit vectors (n, 24) that differ, none of them of the examples unless the corner is 0 or 1."""
    vectors = np.eye(24)[np.full(n, corner)] + np.random.default_rng(seed).normal(0, 0.2, (n, 24))
    found: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def told_of(*parts: tuple[np.ndarray, np.ndarray]) -> Outcomes:
    """Vectors (n, 24) with the scores (n, 2) of the small one and the fallback."""
    vectors, scores = (np.concatenate(each).astype(np.float32) for each in zip(*parts, strict=True))
    return Outcomes(("small", "big"), vectors, np.zeros((len(vectors), len(NAMES)), np.float32), scores)


def test_examples_lose_all_on_another_domain_and_nothing_on_their_own(registry: Registry) -> None:
    found = evidence_of(judge_of(), registry, 50)
    assert (found.source, found.experts, len(found), found.beyond) == ("examples", ("small", "medium"), 80, None)
    assert found.losses.sum(axis=1).tolist() == [1.0] * 80
    assert set(np.unique(found.losses)) == {0.0, 1.0}


def test_examples_that_the_encoder_was_tuned_on_bound_no_risk_and_outcomes_do(registry: Registry) -> None:
    lax, basis = Policy(max_risk=0.5), Basis("e", "d", "r")
    assert certify("lax", lax, evidence_of(judge_of(), registry, 50), basis, TODAY).n == 80
    with pytest.raises(CertificateRefused, match=r"tuned on labelled examples .* Remedy: add paired outcomes"):
        certify("lax", lax, evidence_of(judge_of(sureness=0.85), registry, 50), basis, TODAY)
    found = evidence_of(judge_of(outcomes_of(400), sureness=0.85), registry, 50)
    assert (found.source, found.learnt_by_heart) == ("outcomes", False)
    assert certify("lax", lax, found, basis, TODAY).n == 300 + 49


def test_outcomes_count_against_the_fallback_where_both_were_asked(registry: Registry) -> None:
    outcomes = outcomes_of(400)
    found = evidence_of(judge_of(outcomes), registry, 50)
    assert (found.source, found.experts, found.beyond) == ("outcomes", ("small", "medium", "big"), "big")
    compared = ~np.isnan(outcomes.scores[:, 1])
    paired, blamed = outcomes.scores[compared], int((outcomes.scores[~compared, 0] == 0).sum())
    assert (len(found), len(paired), blamed) == (300 + 49, 300, 49)
    lost = float((paired[:, 1] - paired[:, 0]).sum())
    assert found.losses[:, 0].sum() == pytest.approx(lost + blamed), (
        "nobody asked the fallback, which is taken as perfect"
    )
    # Nobody asked the medium one: it may have been wrong every time.
    assert found.losses[:, 1].sum() == pytest.approx(float(paired[:, 1].sum()) + blamed)
    assert not found.losses[:, 2].any()


def test_beside_outcomes_praise_counts_only_where_the_fallback_was_asked_and_blame_every_time(
    registry: Registry,
) -> None:
    """250 pairs and then 1,000 scores, of which 200 were 0, left the certificate as it was."""
    pairs, basis = around(1, 250, 1), Basis("e", "d", "r")
    scores = np.array([[at % 5 > 0, np.nan] for at in range(1000)], np.float32)
    unheard, heard = (
        evidence_of(judge_of(told_of((pairs, np.ones((250, 2))), (around(2, len(told), 2), told))), registry, 100)
        for told in (scores[scores[:, 0] == 1], scores)
    )
    assert (len(unheard), len(heard)) == (250, 250 + 200)
    before, after = (
        certify("safe", Policy(max_risk=0.05, out_of_domain=0), found, basis, TODAY) for found in (unheard, heard)
    )
    assert before.kept == 1
    assert (after.n, after.threshold > before.threshold) == (450, True)
    assert 0.4 < after.kept <= 250 / 450, "those that are blamed go to the fallback"
    own = heard.losses[:, heard.experts.index("small")]
    assert (own[:250].sum(), own[250:].sum()) == (0, 200)
    mix = evidence_of(
        judge_of(told_of((pairs, np.ones((250, 2))), (around(2, 1000, 2), scores))), registry, 100, blame=False
    )
    assert len(mix) == 250, "a budget is of a mix of requests, none of which was picked by its score"


@pytest.mark.parametrize("source", ["outcomes", "examples"])
def test_what_traffic_shall_be_like_is_what_was_counted_and_nothing_else(registry: Registry, source: str) -> None:
    """A promise was valid on traffic that nobody tested, and refused on the very requests it was tested on."""
    praise = around(2, 400, 5), np.array([[1, np.nan]] * 400)
    told = praise if source == "examples" else (around(1, 200, 1), np.ones((200, 2)))
    found = evidence_of(judge_of(told_of(told, praise)), registry, 100)
    assert found.source == source
    reference = Reference().fit(found.vectors)
    tested, other = around(1, WINDOW, 7), around(2, WINDOW, 8)
    if source == "examples":  # and praise of other requests, which is in the bound
        examples = judge_of().known()[0]
        assert reference.statistic(np.resize(examples, (WINDOW, 24))) > reference.limit_
        tested = found.vectors[:: len(found) // WINDOW][:WINDOW]
    assert reference.statistic(tested) < reference.limit_ < reference.statistic(other)


def test_too_few_outcomes_leave_it_to_the_examples(registry: Registry) -> None:
    assert evidence_of(judge_of(outcomes_of(400)), registry, 301).source == "examples"


def test_paired_outcomes_of_few_templates_displace_no_examples(registry: Registry) -> None:
    told = outcomes_of(400)
    judge = judge_of(told.take(np.tile(np.flatnonzero(told.scores[:, 1] == 1)[:8], 50)))
    assert evidence_of(judge, registry, 9).source == "examples"
    found = evidence_of(judge, registry, 8)
    assert (found.source, len(found)) == ("outcomes", 400)


def test_scores_that_contradict_the_examples_make_a_promise_stricter(registry: Registry) -> None:
    """Clients say that the small one answers its own domain badly; nobody asked the fallback."""
    rng = np.random.default_rng(5)
    vectors = np.eye(24, dtype=np.float32)[np.ones(60, int)] + rng.normal(0, 0.2, (60, 24)).astype(np.float32)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    scores = np.where(np.arange(60) % 5 < 3, 1, 0).astype(np.float32)[:, None]
    told = Outcomes(("small",), vectors, np.zeros((60, len(NAMES)), np.float32), scores)
    found = evidence_of(judge_of(told), registry, 1000)
    assert (found.source, len(found)) == ("examples", 140)
    assert found.losses[80:, found.experts.index("small")].sum() == 24
    assert found.losses[80:, found.experts.index("medium")].sum() == 60  # nobody asked it: the worst is assumed
    threshold = certify("safe", Policy(max_risk=0.1), found, Basis("e", "d", "r"), TODAY).threshold
    chosen = next(columns for at, columns in found.choices(0.05) if at == threshold)
    assert set(chosen[80:]) == {len(found.experts)}


def test_a_promise_from_examples_sends_nobody_to_an_expert_that_falls_far_short() -> None:
    found = certify("safe", Policy(max_risk=0.9), evidence(2000), Basis("e", "d", "r"), TODAY)
    assert found.threshold >= 1 - LITTLE
    assert capped(found.threshold, found.beyond) == (
        "no lower than 0.8: made from examples alone, which count the fallback as perfect"
    )


def test_where_a_laxer_threshold_was_tried_and_failed_nothing_is_capped() -> None:
    found = certify("safe", Policy(max_risk=0.02), evidence(2000), Basis("e", "d", "r"), TODAY)
    assert found.threshold > 1 - LITTLE
    assert capped(found.threshold, found.beyond) is None
    assert capped(-LITTLE, "big") == "no further below P(big) than 0.2, whatever others make good"
    assert capped(-LITTLE + 0.005, "big") is None


def test_a_thousand_examples_of_one_template_count_as_the_few_that_they_are(registry: Registry) -> None:
    rng = np.random.default_rng(6)
    labels = ["small", "medium"] * 40 + ["small"] * 500
    vectors = np.eye(24, dtype=np.float32)[[int(label == "small") for label in labels]]
    vectors = vectors + rng.normal(0, 0.2, vectors.shape)
    vectors[80:] = vectors[80] + rng.normal(0, 0.02, (500, 24))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    judge = Judge({"small": "small", "medium": "medium", "big": "big"}).fit(labels, vectors, labels)
    assert 70 < len(evidence_of(judge, registry, 50)) <= 81


@pytest.fixture
def registry() -> Registry:
    return THREE.model_copy(update={"policies": {"safe": Policy(max_risk=0.02)}})


def test_without_any_evidence_there_is_none(registry: Registry) -> None:
    judge = Judge({"small": "small"}).fit([], np.empty((0, 24), np.float32), [])
    found: Evidence = evidence_of(judge, registry, 1)
    assert len(found) == 0


@pytest.mark.parametrize("examples", [0, 1])
def test_where_examples_tell_nothing_of_what_is_usual_scored_requests_do(registry: Registry, examples: int) -> None:
    """A registry with outcomes and no examples ended servers and commands: of nothing there is no drift."""
    told = outcomes_of(200)
    judge = Judge({"small": "small", "medium": "medium", "big": "big"})
    judge.fit(["one"] * examples, told.vectors[:examples], ["small"] * examples, told)
    found = evidence_of(judge, registry, 1000)
    assert (found.source, len(found.vectors)) == ("examples", 200 + examples)
    reference = Reference().fit(found.vectors)
    assert 0 < reference.limit_ < np.inf
    assert reference.statistic(told.vectors[:WINDOW]) < reference.limit_
