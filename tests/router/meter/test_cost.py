from __future__ import annotations

import json
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.hardware import Hardware
from experts.price import MOST_USD_PER_MTOK, Price, PriceStep
from experts.reading.list_price import UnknownListPrice, list_price
from experts.registry import load_registry
from experts.wire import MAX_TOKENS, Usage
from router.meter.cost import INSIDE, NO_PRICE, Hourly, UnitPrice, avoidable_ppm, cost_nusd, hardware_price
from router.meter.store import LONGEST_NAME
from router.meter.tariff import Tariffs

TOKENS = st.integers(0, 2_000_000)
USD_PER_MTOK = st.decimals(0, 1000, places=4)


def price(
    input_usd: float, output_usd: float, cached_usd: float | None = None, written_usd: float | None = None
) -> Price:
    return Price(
        input_usd_per_mtok=input_usd,
        output_usd_per_mtok=output_usd,
        cached_usd_per_mtok=cached_usd,
        cache_write_usd_per_mtok=written_usd,
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
        (Usage(120, 80, cached=60, cache_write=40), 20 * 2_500 + 60 * 1_250 + 40 * 3_125 + 80 * 10_000),
        (Usage(10, 0, cached=8, cache_write=50), 8 * 1_250 + 2 * 3_125),
        (Usage(), 0),
    ],
)
def test_tokens_cost_their_list_price(usage: Usage, nusd: int) -> None:
    unit = UnitPrice.of(price(2.5, 10, 1.25, 3.125))
    assert cost_nusd(unit, usage.input, usage.output, usage.cached, usage.cache_write) == nusd


def test_cached_input_costs_as_much_as_input_when_no_other_price_is_given() -> None:
    unit = UnitPrice.of(price(2.5, 10))
    assert cost_nusd(unit, 120, 0, 100) == cost_nusd(unit, 120, 0) == cost_nusd(unit, 120, 0, 20, 100)


def test_the_longest_answer_at_the_highest_price_fits_into_the_ledger() -> None:
    dear = UnitPrice.of(price(MOST_USD_PER_MTOK, MOST_USD_PER_MTOK))
    assert cost_nusd(dear, MAX_TOKENS, MAX_TOKENS) < 2**63 / 100, "and a hundred of them can be added up"


def test_no_price_costs_nothing_and_says_so() -> None:
    assert UnitPrice.of(None) is NO_PRICE
    assert cost_nusd(NO_PRICE, 1000, 1000) == 0
    assert NO_PRICE.version == ""
    assert UnitPrice.of(price(0, 0)).version == "list 2026-01-01, USD/Mtok 0 in, 0 out"


def test_a_version_names_one_price() -> None:
    """Who changes the numbers alone has another version, however long the words before them are."""
    said = [UnitPrice.of(each).version for each in (price(0.15, 0.6), price(0.3, 1.2), price(0.15, 0.6, 0.075))]
    assert said == [
        "list 2026-01-01, USD/Mtok 0.15 in, 0.6 out",
        "list 2026-01-01, USD/Mtok 0.3 in, 1.2 out",
        "list 2026-01-01, USD/Mtok 0.15 in, 0.6 out, 0.075 cached",
    ]
    undated = price(2.5, 10).model_copy(update={"source": "genai-prices 1 a/b", "as_of": None})
    assert UnitPrice.of(undated).version == "genai-prices 1 a/b, USD/Mtok 2.5 in, 10 out"
    wordy = UnitPrice.of(price(50, 90.000001).model_copy(update={"source": "x" * 500})).version
    assert wordy.endswith("x 2026-01-01, USD/Mtok 50 in, 90.000001 out")
    assert len(wordy) < LONGEST_NAME


def test_a_long_prompt_and_a_written_cache_cost_what_the_lists_own_calculator_says() -> None:
    """Of every model whose price has steps, at the last token of each step and at the first of the next."""
    from genai_prices import Usage as Counted
    from genai_prices import data_snapshot

    models = [
        (provider, model)
        for provider in data_snapshot.get_snapshot().providers
        for model in provider.models
        for prices in ([model.prices] if not isinstance(model.prices, list) else [c.prices for c in model.prices])
        if (hasattr(prices.input_mtok, "tiers") or prices.cache_write_mtok) and prices.output_mtok is not None
    ]
    checked = dearer = 0
    for provider, model in models:
        name = f"{provider.id}/{model.id}"
        try:
            unit = UnitPrice.of(list_price(name))
        except UnknownListPrice:
            continue  # tokens alone do not make its price
        for asked in {100, *(step.over + more for step in unit.steps for more in (0, 1, 90_000))}:
            cached = asked // 3 if unit.cached_pusd != unit.input_pusd else 0
            written = asked // 4 if unit.rates(asked).cache_write_extra_pusd else 0
            told = {"input_tokens": asked, "output_tokens": 700, **({"cache_read_tokens": cached} if cached else {})}
            told |= {"cache_write_tokens": written} if written else {}
            exact = model.calc_price(Counted(**told), provider).total_price * 10**9
            assert abs(cost_nusd(unit, asked, 700, cached, written) - exact) <= 1, (name, asked)
            checked += asked > 100
            dearer += written > 0
    assert checked > 300 and dearer > 300


def test_what_a_cache_takes_is_kept_told_and_compared() -> None:
    """A price without it is kept as before there was any, so its tariffs have the version that they had."""
    step = PriceStep(over_tokens=32_000, input_usd_per_mtok=5, output_usd_per_mtok=15, cache_write_usd_per_mtok=6.25)
    plain = step.model_copy(update={"cache_write_usd_per_mtok": None})
    for each in (price(2.5, 10, 1.25, 3.125), price(2.5, 10, None, 2)):
        for steps in ((), (step,), (plain,)):
            unit = UnitPrice.of(each.model_copy(update={"steps": steps}))
            assert UnitPrice.kept(json.loads(json.dumps(unit.to_json()))) == unit
    unit = UnitPrice.of(price(2.5, 10, 1.25, 3.125).model_copy(update={"steps": (step,)}))
    assert unit.version == (
        "list 2026-01-01, USD/Mtok 2.5 in, 10 out, 1.25 cached, 3.125 cache write; "
        "over 32000 in: 5 in, 15 out, 6.25 cache write"
    )
    assert [cost_nusd(unit, asked, 0, 0, 1_000) for asked in (32_000, 32_001)] == [80_625_000, 161_255_000]
    assert cost_nusd(unit.flat(32_001), 1_000, 0, 0, 1_000) == 6_250_000
    assert UnitPrice.of(price(2.5, 10, 1.25, 2.5)) == UnitPrice.of(price(2.5, 10, 1.25))
    before = [2_500_000, 1_250_000, 10_000_000, "a price", [[32_000, 5_000_000, 5_000_000, 15_000_000]]]
    assert UnitPrice.kept(before).to_json() == before


def test_steps_are_kept_told_and_compared() -> None:
    steps = (
        PriceStep(over_tokens=200_000, input_usd_per_mtok=5, output_usd_per_mtok=15),
        PriceStep(over_tokens=32_000, input_usd_per_mtok=3, output_usd_per_mtok=12, cached_usd_per_mtok=1),
    )
    unit = UnitPrice.of(price(2.5, 10, 1.25).model_copy(update={"steps": steps}))
    assert UnitPrice.kept(json.loads(json.dumps(unit.to_json()))) == unit
    assert UnitPrice.of(price(2.5, 10)).to_json() == [
        2_500_000,
        2_500_000,
        10_000_000,
        UnitPrice.of(price(2.5, 10)).version,
    ]
    told = "USD/Mtok 2.5 in, 10 out, 1.25 cached; over 32000 in: 3 in, 12 out, 1 cached; over 200000 in: 5 in, 15 out"
    assert unit.version == f"list 2026-01-01, {told}"
    usd = [cost_nusd(unit, asked, 1_000) for asked in (32_000, 32_001, 200_000, 200_001)]
    assert usd == [90_000_000, 108_003_000, 612_000_000, 1_015_005_000]
    assert cost_nusd(unit, 40_000, 0, 40_000) == 40_000_000
    assert (
        len(UnitPrice.of(price(1, 2).model_copy(update={"source": "x" * 500, "steps": steps})).version) <= LONGEST_NAME
    )


@given(TOKENS, TOKENS, USD_PER_MTOK, USD_PER_MTOK)
def test_cost_is_the_exact_product_rounded_once(
    given_: int, made: int, input_usd: Decimal, output_usd: Decimal
) -> None:
    exact = (given_ * input_usd + made * output_usd) * 1000
    unit = UnitPrice.of(price(float(input_usd), float(output_usd)))
    assert cost_nusd(unit, given_, made) == int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def hardware(**changes: object) -> Hardware:
    told = {"tokens_per_s": 3500, "source": "quote", "as_of": date(2026, 1, 1), **changes}
    return Hardware.model_validate(told)


OWNED = {"capex_usd": 30_000, "life_years": 4, "power_w": 1000, "usd_per_kwh": 0.12}


def test_a_rented_hour_is_shared_by_the_tokens_it_gives() -> None:
    found = hardware_price(hardware(usd_per_hour=3.6, tokens_per_s=1000, utilisation=0.5))
    assert found.output_usd_per_mtok == pytest.approx(2.0)
    assert found.input_usd_per_mtok == 0
    assert "50% busy" in found.source


def test_what_a_machine_reads_is_charged_where_it_is_said_how_fast_it_reads() -> None:
    """A second of it costs the same whether it reads or writes: it gave prompts away, and vectors altogether."""
    told = {"usd_per_hour": 3.6, "tokens_per_s": 100, "utilisation": 0.5}
    found = hardware_price(hardware(**told, input_tokens_per_s=10_000))
    unit = UnitPrice.of(found)
    assert cost_nusd(unit, 10_000, 0) == cost_nusd(unit, 0, 100) == 2_000_000, "a busy second"
    assert cost_nusd(unit, 10_000, 0, cached=10_000) == 0, "what is in its memory is not read"
    alone = hardware_price(hardware(**told))
    assert (alone.input_usd_per_mtok, alone.output_usd_per_mtok) == (0, found.output_usd_per_mtok)
    assert "prompts in the price of output" in UnitPrice.of(alone).version
    assert "prompts" not in unit.version


def test_an_owned_machine_costs_its_wear_and_its_electricity() -> None:
    owned = hardware(**OWNED, residual_share=0.1)
    hour = Hourly.of(owned, pue=1.2)
    assert hour.machine_usd == pytest.approx(27_000 / (4 * 8766))
    assert hour.electricity_usd == pytest.approx(1.2 * 0.12)
    assert hardware_price(owned, pue=1.2).output_usd_per_mtok == pytest.approx(hour.usd / (3600 * 3500 * 0.5) * 1e6)


def test_the_published_example_comes_out() -> None:
    # One H100 with an 8B model: 4 years, .12 USD/kWh, PUE 1.2, half busy, 3500 tokens/s give .15 USD per million.
    assert hardware_price(hardware(**OWNED), 1.2).output_usd_per_mtok == pytest.approx(0.15, abs=0.02)


def test_only_what_is_not_spent_can_be_avoided() -> None:
    assert avoidable_ppm("api", None) == avoidable_ppm("autoscaled", hardware(**OWNED)) == 1_000_000
    assert avoidable_ppm("fixed", None) == 0
    hour_usd = 0.12 + 30_000 / (4 * 8766)
    assert avoidable_ppm("fixed", hardware(**OWNED)) == round(0.5 * 0.12 / hour_usd * 1e6), "half of the hour it waits"
    assert avoidable_ppm("fixed", hardware(**OWNED, utilisation=1)) == round(0.12 / hour_usd * 1e6)
    assert avoidable_ppm("fixed", hardware(usd_per_hour=0)) == 0


def test_what_a_machine_takes_while_it_waits_is_not_avoided_by_not_asking_it() -> None:
    """A month at the meter: with half of the answers, the bill is smaller by what serving them took beyond waiting."""
    owned = hardware(capex_usd=0, power_w=30, idle_w=5, usd_per_kwh=0.3, tokens_per_s=40, utilisation=0.4)

    def bill_usd(busy: float) -> float:
        return 720 * (30 * busy + 5 * (1 - busy)) / 1000 * 0.3

    tokens = 720 * 3600 * 40 * 0.4
    assert tokens * hardware_price(owned).output_usd_per_mtok / 1e6 == pytest.approx(bill_usd(0.4)), "all of the bill"
    charged_usd = tokens / 2 * hardware_price(owned).output_usd_per_mtok / 1e6
    avoided_usd = charged_usd * avoidable_ppm("fixed", owned) / 1e6
    assert avoided_usd == pytest.approx(bill_usd(0.4) - bill_usd(0.2), rel=1e-5)
    assert avoidable_ppm("fixed", owned.model_copy(update={"idle_w": 31.0})) == 0


def test_who_answers_inside_the_router_takes_nothing_more_and_that_is_known() -> None:
    """The router's work is charged as its own; what of the others has no price stays unknown."""
    registry = load_registry(Path(__file__).parents[3] / "registry.yaml", {}).registry
    tariffs = Tariffs.of_registry(registry)
    prices = {spec.kind: tariffs.of(spec.id).price for spec in registry.experts}
    assert prices["answers"] == prices["labels"] == INSIDE
    assert prices["llama_cpp"] == NO_PRICE
    assert cost_nusd(INSIDE, 1000, 1000) == 0
