from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from experts.policy import Policy
from router.meter.tariff import Tariffs
from router.promises.budget import FARTHEST, FEWEST, LEAST, NoEstimate, estimate, least_known
from router.promises.promises import Promise
from tests.router.promises.bench import evidence
from tests.router.test_decide import REGISTRY, expert

TARIFFS = Tariffs.of_registry(REGISTRY).by_expert


def test_a_share_is_kept_by_the_most_careful_threshold_that_can() -> None:
    known = evidence(1000)
    found = estimate("thrifty", Policy(max_fallback_share=0.4, out_of_domain=0), known, TARIFFS)
    assert found.met
    assert found.fallback_share == found.expected <= 0.4
    of = "paired outcomes" if known.beyond else "labelled examples and scores"
    assert found.assumed == f"requests come in the same mix as the 1,000 {of} it rests on"
    stricter = [float((chosen >= 2).mean()) for at, chosen in known.choices(0) if at > found.threshold]
    assert min(stricter) > 0.4


def test_money_and_joules_are_those_of_the_tariffs() -> None:
    known = evidence(1000)
    # 64 tokens at 9 and 256 at 9 USD a million, a thousand times, is what the fallback alone takes.
    alone = (64 + 256) * 9 / 1e6 * 1000
    found = estimate("thrifty", Policy(max_usd_per_kreq=alone / 2, out_of_domain=0), known, TARIFFS)
    assert found.expected == pytest.approx(found.fallback_share * alone)
    assert found.expected <= alone / 2
    joules = estimate("thrifty", Policy(max_j_per_kreq=1e9), known, TARIFFS)
    assert 0 < joules.expected < 1e9
    assert joules.fallback_share > 0.9  # any budget will do: the most careful threshold serves


def test_what_cannot_be_met_is_said_and_the_most_frugal_one_serves() -> None:
    known = evidence(1000)
    found = estimate("thrifty", Policy(max_fallback_share=0.01, out_of_domain=0.2), known, TARIFFS)
    assert not found.met
    assert found.expected == min(float((chosen >= 2).mean()) for _, chosen in known.choices(0.2)) > 0.01


def test_a_budget_that_out_of_domain_alone_prevents_is_not_told_to_be_raised() -> None:
    known = evidence(1000)
    known = replace(known, known=np.linspace(0, 1, len(known), endpoint=False))
    cause = "out_of_domain 0.9 takes 90.0% of these requests for unknown, and such go to the fallback"
    unsure = replace(known, probability=0.4 * known.probability)
    policy = Policy(max_fallback_share=0.4, out_of_domain=0.9)
    assert estimate("thrifty", Policy(max_fallback_share=0.4, out_of_domain=0), known, TARIFFS).met
    why = Promise("thrifty", policy, estimate("thrifty", policy, known, TARIFFS)).why or ""
    assert cause in why and "Remedy: lower it; with out_of_domain 0 the budget is met." in why
    assert "raise the budget" not in why
    why = Promise("thrifty", policy, estimate("thrifty", policy, unsure, TARIFFS)).why or ""
    assert "out_of_domain" not in why and "Remedy: raise the budget" in why


@pytest.mark.parametrize(
    ("aim", "budget", "expected", "told"),
    [
        ("max_j_per_kreq", 5000, 15_942.4, "take 15,940 J per thousand requests, and max_j_per_kreq is 5,000"),
        ("max_j_per_kreq", 1e6, 2.5e6, "take 2,500,000 J per thousand requests, and max_j_per_kreq is 1,000,000"),
        ("max_usd_per_kreq", 1e-5, 0.000045678, "take 0.00004568 USD per thousand requests, and max_usd_per_kreq is "
         "0.00001"),
        ("max_fallback_share", 0.2, 0.31, "ask the fallback for 0.31 of requests, and max_fallback_share is 0.2"),
    ],
)  # fmt: skip
def test_a_refused_budget_is_told_in_plain_numbers_with_their_unit(
    aim: str, budget: float, expected: float, told: str
) -> None:
    policy = Policy.model_validate({aim: budget})
    found = replace(estimate("thrifty", policy, evidence(1000), TARIFFS), budget=budget, expected=expected, met=False)
    why = Promise("thrifty", policy, found).why
    assert why is not None
    assert why.startswith(f"even the most frugal threshold is expected to {told}; it serves all the same, ")


def test_nothing_is_estimated_of_nothing() -> None:
    for n in (0, FEWEST - 1):
        with pytest.raises(NoEstimate, match=rf"at least {FEWEST} examples that differ, and there are {n}\. Remedy: "):
            estimate("thrifty", Policy(max_fallback_share=0.1), evidence(n), TARIFFS)
    assert estimate("thrifty", Policy(max_fallback_share=0.9), evidence(FEWEST), TARIFFS).n == FEWEST
    free = REGISTRY.model_copy(update={"experts": (*REGISTRY.experts[:3], expert("big", 70))})
    with pytest.raises(
        NoEstimate, match=r"'big' has no price to save\. Remedy: give it `price:`, `list_price:` or `hardware:`"
    ):
        estimate("thrifty", Policy(max_usd_per_kreq=1), evidence(10), Tariffs.of_registry(free).by_expert)


@pytest.mark.parametrize("source", ["examples", "outcomes"])
def test_no_budget_sends_a_request_to_an_expert_that_surely_cannot(source: Literal["examples", "outcomes"]) -> None:
    known = evidence(1000, source=source)
    found = estimate("thrifty", Policy(max_fallback_share=0.0, out_of_domain=0), known, TARIFFS)
    assert found.threshold >= FARTHEST[source]
    unsure = replace(known, probability=known.probability * [0.1, 0.1, 1.6])
    least = estimate("thrifty", Policy(max_fallback_share=0.3, out_of_domain=0), unsure, TARIFFS)
    assert (least.met, least.fallback_share, least.expected) == (False, 1.0, 1.0)


def test_the_interval_holds_what_other_requests_of_the_same_kind_take() -> None:
    policy, inside = Policy(max_fallback_share=0.4, out_of_domain=0), 0
    for seed in range(200):
        found = estimate("thrifty", policy, evidence(300, seed), TARIFFS)
        chosen = evidence(20_000, seed + 1000).chooser(0)(found.threshold)
        inside += found.low <= float((chosen >= 2).mean()) <= found.high
    # The threshold was picked where the estimate is just within the budget, so a little less than 90 % of 200.
    assert inside >= 200 * 0.9 - 3 * (200 * 0.9 * 0.1) ** 0.5


def test_money_has_an_interval_in_its_own_unit() -> None:
    found = estimate("thrifty", Policy(max_usd_per_kreq=1.4, out_of_domain=0), evidence(1000), TARIFFS)
    assert 0 < found.low < found.expected < found.high < (64 + 256) * 9 / 1e6 * 1000
    everything = estimate("thrifty", Policy(max_fallback_share=1.0, out_of_domain=0), evidence(1000), TARIFFS)
    assert 0.9 < everything.low < everything.expected <= everything.high <= 1


@pytest.mark.parametrize(("n", "within"), [(LEAST, 0.05), (FEWEST, 0.1)])
def test_so_many_requests_tell_any_share_so_well(n: int, within: float) -> None:
    assert n == least_known(within)
    known = evidence(n)
    half = replace(known, probability=np.repeat([[0.0, 0.0, 0.5], [1.0, 0.0, 0.5]], [n - n // 2, n // 2], axis=0))
    found = estimate("thrifty", Policy(max_fallback_share=0.6, out_of_domain=0), half, TARIFFS)
    assert found.expected == pytest.approx(0.5, abs=0.01)
    assert within * 0.98 < (found.high - found.low) / 2 <= within
