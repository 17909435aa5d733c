from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from experts.spec import Energy, Price
from router.meter.cost import UnitPrice
from router.meter.counterfactual import Fallback, counterfactual
from router.meter.energy import UnitEnergy
from router.meter.record import Attempt, Role, Status

Make = Callable[..., Attempt]
CI = 458_290


@pytest.fixture
def fallback() -> Fallback:
    price = Price(input_usd_per_mtok=2.5, output_usd_per_mtok=10, source="list", as_of=date(2026, 1, 1))
    energy = Energy(input_j_per_token=0.18, output_j_per_token=0.86, source="fit", as_of=date(2026, 1, 1))
    return Fallback("big", UnitPrice.of(price), UnitEnergy.of(energy))


def test_a_small_answer_is_priced_as_the_fallback_would_be(attempt: Make, fallback: Fallback) -> None:
    found = counterfactual([attempt(input_tokens=120, output_tokens=80)], fallback, CI)
    energy_uj = 120 * 180_000 + 80 * 860_000
    assert found == (120 * 2_500 + 80 * 10_000, energy_uj, round(energy_uj * 458_290 / 3.6e9))


def test_what_a_cache_took_costs_what_the_fallback_asks_for_it(attempt: Make, fallback: Fallback) -> None:
    price = Price(input_usd_per_mtok=2, output_usd_per_mtok=0, cache_write_usd_per_mtok=2.5, source="x", as_of=None)
    answer = attempt(input_tokens=120, output_tokens=80, cached_tokens=20, cache_write_tokens=40)
    dearer = replace(fallback, price=UnitPrice.of(price))
    assert counterfactual([answer], dearer, CI)[0] == 80 * 2_000 + 40 * 2_500
    assert counterfactual([answer], dearer, CI)[1] == 100 * 180_000 + 80 * 860_000


def test_where_the_fallback_answered_it_is_what_happened(attempt: Make, fallback: Fallback) -> None:
    small = attempt(status=Status.OK, cost_nusd=7)
    big = attempt(expert="big", role=Role.FALLBACK, cost_nusd=900, energy_uj=800, co2_ug=70)
    assert counterfactual([small, big], fallback, CI) == (900, 800, 70)


@pytest.mark.parametrize("status", [Status.PARTIAL, Status.CANCELLED])
def test_a_broken_off_answer_counts_as_far_as_it_came(attempt: Make, fallback: Fallback, status: Status) -> None:
    assert counterfactual([attempt(status=status, input_tokens=0, output_tokens=3)], fallback, CI)[0] == 30_000


def test_nothing_heard_is_nothing_bought(attempt: Make, fallback: Fallback) -> None:
    nothing = (0, 0, 0)
    assert counterfactual([], fallback, CI) == nothing
    assert counterfactual([attempt(status=Status.ERROR)], fallback, CI) == nothing
