"""What would have changed a choice is tried, not guessed: with the change made, the choice is the one that was told."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some

from experts.policy import Policy
from experts.wire import Vector
from router.decide import Decision, NobodyCan, decide, otherwise, smallest
from router.explain import Flip, _why_none, flips, in_words, leads
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.fit import Fitted
from router.meter.tariff import Tariffs
from router.promises.another import figures
from router.promises.promises import Promises
from router.rule import Rule
from tests.router.promises.test_evidence import THREE, judge_of, outcomes_of
from tests.router.test_decide import REGISTRY, choose, expert, needs
from tests.router.test_judge import ALL_BUT_SUMS, ONLY_VERSE, flat, judge, outcomes, requests

RULE = Rule("balanced", 0.8, 0.05)


def told(probability: dict[str, float], known: float = 0.5) -> tuple[Decision, list[Flip]]:
    decision = choose(probability, known, RULE)
    return decision, flips(decision, RULE, Ladder.of(REGISTRY), needs())


def test_the_least_change_comes_first() -> None:
    decision, found = told({"small": 0.85, "medium": 0.9})
    assert decision.expert == "small"
    assert [(flip.expert, flip.threshold) for flip in found] == [("medium", 0.8501), ("big", 0.9001)]


def test_a_smaller_expert_may_be_a_lower_threshold_away() -> None:
    decision, found = told({"small": 0.7512, "medium": 0.99})
    assert decision.expert == "medium"
    assert (found[0].expert, found[0].threshold) == ("small", 0.7512)


def test_what_is_out_of_every_domain_may_need_two_changes() -> None:
    decision, found = told({"small": 0.7}, known=0.0312)
    assert decision.expert == "big"
    assert (found[0].expert, found[0].out_of_domain, found[0].threshold) == ("small", 0.0312, 0.7)


def test_the_least_change_is_told_however_far_it_is() -> None:
    assert [(flip.expert, flip.threshold) for flip in told({"small": 0.0064})[1]] == [("small", 0.0064)]
    assert [(flip.expert, flip.threshold) for flip in told({"small": 0.00001})[1]] == [("small", 0.0)]


def test_where_nothing_would_change_it_the_reason_is_told() -> None:
    assert _why_none(choose({}, 0.5, RULE)).startswith("no other expert than big was weighed")
    hindered = choose({"small": 0.9}, 0.5, RULE, down=("small",))
    assert flips(hindered, RULE, Ladder.of(REGISTRY), needs()) == []
    assert _why_none(hindered) == "small is down"


def nowhere(flip: Flip) -> None:
    """No promise leads there."""


PROMISED = {
    "examples, safe": (judge_of(), Policy(max_risk=0.1)),
    "examples, safer": (judge_of(), Policy(max_risk=0.06)),
    "outcomes, safe": (judge_of(outcomes_of(400)), Policy(max_risk=0.2)),
    "examples, thrifty": (judge_of(), Policy(max_fallback_share=0.3)),
    "outcomes, thrifty": (judge_of(outcomes_of(400)), Policy(max_fallback_share=0.8)),
}


@pytest.mark.parametrize("case", list(PROMISED))
def test_a_promise_that_is_told_to_send_a_request_elsewhere_does_and_no_nearer_one(case: str) -> None:
    """A threshold was told that none of twenty promises led to."""
    judge, policy = PROMISED[case]
    asked, told = needs(), 0
    pattern = rf"{policy.aim} at (\S+)( or less| or more|) instead of (\S+?)(, which is refused)?[,:]"

    def with_figure(value: float) -> Promises:
        registry = THREE.model_copy(update={"policies": {"it": policy.model_copy(update={policy.aim: value})}})
        return Promises.make(registry, Fitted(judge, "data"), "encoder", Tariffs.of_registry(registry), None)

    def chosen(by: Promises, vector: Vector) -> Decision:
        return decide(judge.judge_anew(vector, flat(1)[0]), ladder, by.rule("it"), asked, lambda _: None)

    now, ladder = with_figure(getattr(policy, policy.aim)), Ladder.of(THREE)
    vectors = np.random.default_rng(1).normal(0, 0.2, (12, 24)) + np.eye(24)[[0, 1] * 6]
    for vector in (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32):
        decision = chosen(now, vector)
        rest = otherwise(decision.candidates, ladder, asked)
        leading = partial(leads, decision=decision, another=now.another, ladder=ladder, rest=rest)
        for flip in flips(decision, now.rule("it"), ladder, asked):
            said = in_words(flip, decision, now.rule("it"), policy, leading)
            if (found := re.match(pattern, said)) is None:
                continue
            told, to = told + 1, float(found[1])
            changed = with_figure(to)
            assert chosen(changed, vector).expert == flip.expert != decision.expert
            assert (changed.rule("it").threshold is None) == (found[4] is not None)
            nearer = figures(policy, larger=to > float(found[3]))
            at = nearer.index(to)
            assert at == 0 or chosen(with_figure(nearer[at - 1]), vector).expert != flip.expert
    assert told > 0


def test_figures_of_a_promise_are_those_that_a_policy_may_name() -> None:
    assert figures(Policy(max_risk=0.02), larger=False)[:2] == [0.019, 0.018]
    assert figures(Policy(max_risk=0.9811), larger=True) == [0.99]
    assert figures(Policy(max_fallback_share=0.985), larger=True) == [0.99, 1.0]
    assert figures(Policy(max_fallback_share=0), larger=False) == []
    lowest = Policy(max_risk=0.00002)
    for policy in (Policy(max_usd_per_kreq=0.3), Policy(max_fallback_share=0), Policy(max_risk=0.004), lowest):
        for larger in (False, True):
            for value in figures(policy, larger=larger):
                assert (value > getattr(policy, policy.aim)) == larger
                Policy.model_validate({policy.aim: value})


@pytest.mark.parametrize(
    ("policy", "threshold", "said"),
    [
        (Policy(threshold=0.8), 0.9, "threshold at 0.9 or more instead of 0.8: big"),
        (Policy(threshold=0.8), 0.0, "threshold at 0 instead of 0.8: big"),
        (Policy(threshold=0.8), 1.0, "threshold at 1 instead of 0.8: big"),
        (
            Policy(max_risk=0.02),
            0.9,
            "a plain threshold at 0.9 or more (no max_risk leads there): big",
        ),
        (
            Policy(max_risk=0.02),
            0.7,
            "a plain threshold at 0.7 or less (no max_risk puts one below 0.8): big",
        ),
        (
            Policy(max_fallback_share=0.3),
            0.7,
            "a plain threshold at 0.7 or less (no max_fallback_share leads there): big",
        ),
        (
            Policy(max_fallback_share=0.3),
            0.4,
            "a plain threshold at 0.4 or less (no max_fallback_share puts one below 0.5): big",
        ),
        (
            Policy(max_fallback_share=0.3),
            0.9,
            "a plain threshold at 0.9 or more (no max_fallback_share leads there): big",
        ),
    ],
)
def test_a_policy_that_names_no_threshold_is_told_to_where_no_promise_leads_there(
    policy: Policy, threshold: float, said: str
) -> None:
    decision = choose({"small": 0.85}, 0.5, RULE)
    assert in_words(Flip("big", threshold, None, 0.1), decision, RULE, policy, nowhere) == said


def test_what_is_told_can_be_written_into_the_registry() -> None:
    decision, _ = told({"small": 0.75, "medium": 0.9})
    said = in_words(Flip("small", 8e-06, 7e-05, 0.1), decision, RULE, Policy(threshold=0.8), nowhere)
    for number in re.findall(r"at (\S+) or", said):
        assert isinstance(yaml.safe_load(number), float), f"{number} is text in YAML"
    limit, threshold = "0.00007 or less instead of 0.05", "0.000008 or less instead of 0.8"
    assert said == f"out_of_domain at {limit} and threshold at {threshold}: small"


def test_a_limit_under_which_a_threshold_is_found_anew_is_told_as_that() -> None:
    """A budget's threshold is the most careful one: with more requests let through it may become stricter."""
    decision, flip = choose({"small": 0.85}, 0.5, RULE), Flip("small", None, 0.02, 0.1)
    said = "out_of_domain at 0.02 or less instead of 0.05"
    assert in_words(flip, decision, RULE, Policy(threshold=0.7), nowhere) == f"{said}: small"
    for policy in (Policy(max_fallback_share=0.4), Policy(max_risk=0.02)):
        assert in_words(flip, decision, RULE, policy, nowhere) == f"{said}, if its threshold stays as it is: small"


@given(
    some.dictionaries(some.sampled_from(["small", "medium", "dear"]), some.floats(0, 1), min_size=1),
    some.floats(0.001, 1),
)
def test_every_change_does_what_it_says(probability: dict[str, float], known: float) -> None:
    decision, found = told(probability, known)
    for flip in found:
        threshold = RULE.threshold if flip.threshold is None else flip.threshold
        limit = RULE.out_of_domain if flip.out_of_domain is None else flip.out_of_domain
        changed = replace(RULE, threshold=threshold, out_of_domain=limit)
        assert choose(probability, known, changed).expert == flip.expert != decision.expert


def test_of_hundreds_of_experts_only_those_are_tried_that_make_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is worked out for every request to /v1/route."""
    chances = {f"e{at}": (at * 37 % 200) / 203 for at in range(200)}
    experts = [expert(name, 1 + (chance > 0.6) + (chance > 0.9)) for name, chance in chances.items()]
    ladder = Ladder.of(REGISTRY.model_copy(update={"experts": (*experts, REGISTRY.expert("big"))}))
    judgement = Judgement("e0", chances, 0.5, 0.0)
    decision = decide(judgement, ladder, RULE, needs(), lambda _: None)
    tried: list[float] = []

    def counting(candidates: object, rule: Rule, least: float, of: Ladder) -> object:
        tried.append(least)
        return smallest(decision.candidates, rule, least, of)

    monkeypatch.setattr("router.explain.smallest", counting)
    assert len({flip.expert for flip in flips(decision, RULE, ladder, needs())}) == 3
    assert len(tried) < 30


PROBABLY = some.one_of(some.sampled_from([0.0, 0.5, 0.8, 0.80001, 0.800049, 0.79995, 1.0]), some.floats(0, 1))


@given(some.data())
def test_the_least_change_is_the_least_and_does_what_it_says_whatever_experts_can(data: some.DataObject) -> None:
    """Fallbacks that are too short, or lack what is asked, experts that are hindered, rules that are exact."""
    size = some.integers(0, 5)
    can = some.sampled_from([("stream",), ("stream", "tools")])
    experts = [
        expert(f"e{at}", data.draw(size) + 1, context=data.draw(some.sampled_from([20, 90_000])), capabilities=[*c])
        for at, c in enumerate(data.draw(some.lists(can, min_size=1, max_size=4)))
    ]
    last = expert("big", 70, context=data.draw(some.sampled_from([20, 90_000])), capabilities=[*data.draw(can)])
    ladder = Ladder.of(REGISTRY.model_copy(update={"experts": (*experts, last)}))
    tools = {"tools": [{"type": "function"}]} if data.draw(some.booleans()) else {}
    asked = needs(messages=[{"role": "user", "content": "hi" * data.draw(some.sampled_from([1, 500]))}], **tools)
    known = data.draw(some.sampled_from([0.02, 0.0312, 0.05, 0.4]))
    judgement = Judgement("e0", {each.id: data.draw(PROBABLY) for each in experts}, known, 0.0)
    rule = Rule("balanced", 0.8, 0.05, exact=data.draw(some.booleans()))

    def chosen(threshold: float, limit: float) -> str | None:
        changed = replace(rule, threshold=threshold, out_of_domain=limit)
        try:
            return decide(judgement, ladder, changed, asked, lambda _: None).expert
        except NobodyCan:
            return None

    now = chosen(0.8, 0.05)
    if now is None:
        return
    found = flips(decide(judgement, ladder, rule, asked, lambda _: None), rule, ladder, asked)
    for flip in found:
        threshold, limit = (flip.threshold, flip.out_of_domain)
        assert chosen(0.8 if threshold is None else threshold, 0.05 if limit is None else limit) == flip.expert != now
    sums = {
        abs(threshold - 0.8) + abs(limit - 0.05)
        for threshold in (0.8, *(value + by for value in judgement.probability.values() for by in (0, 1e-7)))
        for limit in (0.05, known, known + 1e-7)
        if threshold <= 1 and chosen(threshold, limit) not in (None, now)
    }
    assert bool(found) == bool(sums)
    assert not found or found[0].size <= min(sums) + 2.1e-4  # both are told to four digits


def test_the_parts_of_a_probability_add_up_to_it() -> None:
    fitted = judge(outcomes(300, 3, {"poet": ONLY_VERSE, "big": ALL_BUT_SUMS}))
    vectors, _ = requests(20, 8)
    for vector in vectors:
        said, reasons = fitted.judge(vector, flat(1)[0]), fitted.reasons(vector, flat(1)[0])
        assert set(reasons.moved["lawyer"]) == {"domain"}
        assert set(reasons.moved["big"]) == {"domain", "level", "task", "neighbours", "calibration"}
        for name, parts in reasons.moved.items():
            assert sum(parts.values()) == pytest.approx(said.probability[name], abs=1e-5)
        assert sum(reasons.looks) == pytest.approx(said.familiarity, abs=1e-5)
        assert np.isfinite(list(reasons.moved["big"].values())).all()
