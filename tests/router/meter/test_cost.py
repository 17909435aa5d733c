from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.spec import Price
from experts.wire import Usage
from router.meter.cost import NO_PRICE, UnitPrice, cost_nusd

TOKENS = st.integers(0, 2_000_000)
USD_PER_MTOK = st.decimals(0, 1000, places=4)


def price(input_usd: float, output_usd: float, cached_usd: float | None = None) -> Price:
    return Price(
        input_usd_per_mtok=input_usd,
        output_usd_per_mtok=output_usd,
        cached_usd_per_mtok=cached_usd,
        source="list",
        as_of=date(2026, 1, 1),
    )


@pytest.mark.parametrize(
    ("usage", "nusd"),
    [
        (Usage(1_000_000, 0), 2_500_000_000),
        (Usage(0, 1_000_000), 10_000_000_000),
        (Usage(120, 80), 120 * 2_500 + 80 * 10_000),
        (Usage(120, 80, cached=100), 20 * 2_500 + 100 * 1_250 + 80 * 10_000),
        (Usage(120, 80, reasoning=70), 120 * 2_500 + 80 * 10_000),
        (Usage(10, 0, cached=50), 10 * 1_250),
        (Usage(), 0),
    ],
)
def test_tokens_cost_their_list_price(usage: Usage, nusd: int) -> None:
    assert cost_nusd(usage, UnitPrice.of(price(2.5, 10, 1.25))) == nusd


def test_cached_input_costs_as_much_as_input_when_no_other_price_is_given() -> None:
    unit = UnitPrice.of(price(2.5, 10))
    assert cost_nusd(Usage(120, 0, cached=100), unit) == cost_nusd(Usage(120, 0), unit)


def test_no_price_costs_nothing_and_says_so() -> None:
    assert UnitPrice.of(None) is NO_PRICE
    assert cost_nusd(Usage(1000, 1000), NO_PRICE) == 0
    assert NO_PRICE.version == ""
    assert UnitPrice.of(price(0, 0)).version == "list 2026-01-01"


@given(TOKENS, TOKENS, USD_PER_MTOK, USD_PER_MTOK)
def test_cost_is_the_exact_product_rounded_once(
    given_: int, made: int, input_usd: Decimal, output_usd: Decimal
) -> None:
    exact = (given_ * input_usd + made * output_usd) * 1000
    unit = UnitPrice.of(price(float(input_usd), float(output_usd)))
    assert cost_nusd(Usage(given_, made), unit) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))
