from __future__ import annotations

import pytest

from experts.policy import Policy
from router.meter.tariff import Tariffs
from router.promises.budget import NoEstimate, estimate
from tests.router.promises.bench import evidence
from tests.router.test_decide import REGISTRY, expert

TARIFFS = Tariffs.of_registry(REGISTRY).by_expert


def test_a_share_is_kept_by_the_most_careful_threshold_that_can() -> None:
    known = evidence(1000)
    found = estimate("thrifty", Policy(max_fallback_share=0.4, out_of_domain=0), known, TARIFFS)
    assert found.met
    assert found.fallback_share == found.expected <= 0.4
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


def test_nothing_is_estimated_of_nothing() -> None:
    with pytest.raises(NoEstimate, match="no examples"):
        estimate("thrifty", Policy(max_fallback_share=0.1), evidence(0), TARIFFS)
    free = REGISTRY.model_copy(update={"experts": (*REGISTRY.experts[:3], expert("big", 70))})
    with pytest.raises(NoEstimate, match="the fallback 'big' has no price to save"):
        estimate("thrifty", Policy(max_usd_per_kreq=1), evidence(10), Tariffs.of_registry(free).by_expert)
