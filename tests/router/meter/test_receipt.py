"""What the client is told: the ledger's whole numbers, each divided once."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from msgspec.structs import replace

from experts.spec import Price
from router.meter.money import exact_usd, whole_usd
from router.meter.receipt import Receipt
from router.meter.record import Arm, EnergyMethod, Intent, Outcome
from router.meter.tariff import Tariffs
from tests.router.meter.conftest import make_outcome
from tests.router.meter.test_electricity import tariffs_at
from tests.router.meter.traffic import DAY, entries, registry

NANO = Fraction(1, 10**9)
YOCTO = Fraction(1, 10**24)
MICRO = Fraction(1, 10**6)


def priced() -> Tariffs:
    """Everybody has a price of the tokens."""
    own, price = registry(), Price(input_usd_per_mtok=0.2, output_usd_per_mtok=0.7, source="list", as_of=DAY)
    experts = tuple(
        spec if spec.price or spec.hardware else spec.model_copy(update={"price": price}) for spec in own.experts
    )
    return Tariffs.of_registry(own.model_copy(update={"experts": experts}))


def receipt(tariffs: Tariffs, intent: Intent, ended: Outcome, policy: str | None = "balanced") -> Receipt:
    asked = replace(intent, decision=replace(intent.decision, policy=policy))
    return Receipt(asked, ended, ended.answered_by or "nobody", tariffs)


def plainly(tariffs: Tariffs, ended: Outcome) -> dict[str, Any]:
    """The same figures from fractions, one by one."""
    nusd = [(each.cost_nusd, tariffs.of(each.expert).avoidable_ppm) for each in ended.attempts]
    own = tariffs.electricity.cost_yusd(ended.router_energy_uj) * YOCTO if tariffs.electricity.version else None
    known = all(each.price_version for each in ended.attempts)
    methods = [each.energy_method for each in ended.attempts if each.energy_uj]
    return {
        "cost_usd": float(sum(cost for cost, _ in nusd) * NANO + (own or 0)) if known else None,
        "router_cost_usd": None if own is None else float(own),
        "avoidable_usd": float(sum(cost * ppm for cost, ppm in nusd) * MICRO * NANO + (own or 0)) if known else None,
        "energy_j": float((ended.router_energy_uj + sum(each.energy_uj for each in ended.attempts)) * MICRO),
        "energy_source": min(methods, default=EnergyMethod.MODELLED).label,
        "co2_g": float((ended.router_co2_ug + sum(each.co2_ug for each in ended.attempts)) * MICRO),
    }


@pytest.mark.parametrize("tariffs", [tariffs_at(None), tariffs_at(0.3), priced()])
def test_every_figure_is_the_sum_of_the_entry_rounded_once(tariffs: Tariffs) -> None:
    known = 0
    for intent, ended in entries(tariffs, 2_000, seed=3, held=True):
        told, plain = receipt(tariffs, intent, ended).to_json(), plainly(tariffs, ended)
        assert {name: told[name] for name in plain} == plain
        assert told["energy_j"] == ended.energy_uj / 1e6
        assert told["cost_usd"] in (None, exact_usd(ended.cost_yusd))
        known += told["cost_usd"] is not None
        alone = told["fallback"]
        assert alone["cost_usd"] == float(ended.counterfactual_cost_nusd * NANO)
        assert alone["energy_j"] == (ended.counterfactual_energy_uj / 1e6 or None)
        assert alone["estimated"] is (ended.answered_by != "big")
    assert known > 1_000


@pytest.mark.parametrize("own_yusd", [None, 0, 1, 123_456_789_012_345])
def test_money_is_rounded_alike_with_and_without_the_routers(own_yusd: int | None) -> None:
    for ppm_nusd in (0, 1, 999_999, 12_345 * 10**6, 2**53 - 1, 2**53 + 1, 10**19 + 7, 3 * 10**22 + 1):
        assert whole_usd(ppm_nusd, own_yusd) == float(ppm_nusd * MICRO * NANO + (own_yusd or 0) * YOCTO)


def test_what_is_compared_with_nothing_says_so_and_names_no_figure() -> None:
    tariffs = priced()
    intent, _ = next(entries(tariffs, 1))
    for (arm, why), policy in product(
        [(None, None), (Arm.UNABLE, "unable"), (Arm.FAILED, "failed")], ["balanced", None]
    ):
        ended = make_outcome(intent.request_id, arm=arm)
        alone = receipt(tariffs, replace(intent, draw=None), ended, policy).to_json()["fallback"]
        missing = why or (None if policy else "named")
        assert (alone["left_out"], alone["could_answer"]) == (missing, why is None)
        assert [alone[name] is None for name in ("cost_usd", "avoidable_usd", "energy_j", "co2_g")] == [
            missing is not None
        ] * 4
