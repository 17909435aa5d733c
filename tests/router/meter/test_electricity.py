"""The router's own work in money: its electricity, added up exactly, at the price of its time."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from experts.spec import Power
from router.board.overview import overview
from router.keys.keeper import spending
from router.meter.audit import audit
from router.meter.compared import Sum
from router.meter.cost import NO_ELECTRICITY, Electricity
from router.meter.export import rows
from router.meter.ledger import read_ledger
from router.meter.money import exact_usd
from router.meter.record import Arm, Role
from router.meter.report import render, report
from router.meter.rollup import due
from router.meter.tariff import Tariffs
from router.meter.verified import savings
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small, tariffs
from tests.router.meter.traffic import DAY, HOUR_US, START_US, add_up_all, entries, fill, registry

LATER_US = START_US + 7 * HOUR_US


def tariffs_at(usd_per_kwh: float | None) -> Tariffs:
    """The registry of the tests with another price of electricity."""
    own = registry()
    return Tariffs.of_registry(
        own.model_copy(update={"power": own.power.model_copy(update={"usd_per_kwh": usd_per_kwh})})
    )


@pytest.fixture
async def changed(path: Path) -> Path:
    """A morning at 30 cents, an evening at 50."""
    early = list(entries(tariffs_at(0.3), 60, held=True))
    await fill(path, early + list(entries(tariffs_at(0.5), 60, seed=1, start_us=LATER_US, held=True)))
    return path


def told(path: Path, since_us: int | None = None, until_us: int | None = None) -> dict[str, Any]:
    with closing(read_ledger(path)) as connection:
        return report(connection, since_us, until_us, "key").to_json()


def used_uj(path: Path, since_us: int, until_us: int) -> int:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT sum(router_energy_uj) FROM requests WHERE ts_us >= ? AND ts_us < ?"
        found: int = connection.execute(query, (since_us, until_us)).fetchone()[0]
        return found


@given(st.decimals(0, 10, places=6), st.integers(0, 10**15))
def test_a_price_is_resolved_once_and_what_is_charged_is_exact(usd_per_kwh: Decimal, energy_uj: int) -> None:
    price = Electricity.of(float(usd_per_kwh))
    exact = Fraction(usd_per_kwh) * energy_uj / (3_600_000 * 10**6)
    assert abs(Fraction(price.cost_yusd(energy_uj), 10**24) - exact) <= Fraction(energy_uj, 2 * 10**24)
    assert price.cost_yusd(3 * energy_uj) == 3 * price.cost_yusd(energy_uj), "no request is rounded"
    assert price.version == f"{float(usd_per_kwh):g} USD/kWh"


def test_a_kilowatt_hour_costs_what_its_price_says_and_no_price_is_not_a_price_of_nothing() -> None:
    assert exact_usd(Electricity.of(0.3).cost_yusd(3_600_000 * 10**6)) == pytest.approx(0.3, rel=1e-11)
    assert Electricity.of(None) is NO_ELECTRICITY
    assert Electricity.of(0.0) == Electricity(0, "0 USD/kWh") != NO_ELECTRICITY


def test_cents_in_the_place_of_dollars_are_refused() -> None:
    with pytest.raises(ValueError, match="usd_per_kwh"):
        Power(dynamic_w_per_core=1.92, usd_per_kwh=30, source="test", as_of=DAY)


def test_sums_of_less_than_a_nano_dollar_are_rounded_when_they_are_told() -> None:
    tiny = Sum(router_yusd=4 * 10**14)  # .4 nano-dollars: each rounded by itself would be nothing
    whole = Sum(cost_nusd=2)
    for _ in range(5):
        whole += tiny
    assert (whole.nusd, whole.known_usd, whole.whole_usd) == (4.0, 4e-9, 4e-9)
    assert (Sum(7) - tiny).nusd == 6.6
    assert Sum(unpriced=True).known_usd is None
    assert Sum(router_yusd=10**15, unpriced=True).known_usd == 1e-9


async def test_the_past_keeps_the_price_it_had_in_rows_hours_and_days_alike(changed: Path) -> None:
    early, late = used_uj(changed, 0, LATER_US), used_uj(changed, LATER_US, 1 << 62)
    each = [tariffs_at(price).electricity.cost_yusd(uj) for price, uj in ((0.3, early), (0.5, late))]
    from_rows = told(changed)
    assert from_rows["router"]["cost_usd"] == exact_usd(sum(each)) > exact_usd(each[0]) > 0
    assert from_rows["router"]["priced"] is True
    assert told(changed, None, LATER_US)["router"]["cost_usd"] == exact_usd(each[0])
    assert told(changed, LATER_US)["router"]["cost_usd"] == exact_usd(each[1])
    await add_up_all(changed)
    with closing(read_ledger(changed)) as connection:
        assert due(connection, LATER_US + 24 * HOUR_US) == [], "all of it is added up"
    assert told(changed) == from_rows | {"adding_up": None}


async def test_every_surface_charges_the_same(changed: Path) -> None:
    found = told(changed)
    with closing(read_ledger(changed)) as connection:
        table = list(rows(connection, None, None, {}))
        board = overview(connection, registry(), None, None)
        whole = report(connection, None, None).total.sums
        by_key = spending(connection, 0)
    assert whole.router_yusd > 0 < whole.cost_nusd
    assert found["cost_usd"] == exact_usd(whole.yusd) == board["totals"]["cost_usd"]
    assert sum(Decimal(row["EffectiveCost"] or 0) for row in table) == Decimal(whole.yusd).scaleb(-24)
    own = [row for row in table if row["SkuId"] == "router"]
    assert sum(Decimal(row["EffectiveCost"]) for row in own) == Decimal(whole.router_yusd).scaleb(-24)
    assert {(row["BilledCost"], row["ListCost"]) for row in own} == {("0.000000000", "0.000000000")}
    assert all(row["x_avoidable_cost"] == row["EffectiveCost"] for row in own)
    assert {row["x_price_version"] for row in own} == {"0.3 USD/kWh", "0.5 USD/kWh"}
    steps = board["series"]["spent"]["known_usd"]
    assert sum(usd for usd in steps if usd) == pytest.approx(exact_usd(whole.yusd), rel=1e-12)
    groups = {name: group["cost_usd"] for name, group in found["groups"].items()}
    assert sum(groups.values()) == pytest.approx(exact_usd(whole.yusd), rel=1e-12)
    assert {name: exact_usd(yusd) for name, (yusd, _) in by_key.items()} == {
        name: groups[name] for name in ("team-a", "team-b")
    }


async def test_savings_charge_it_and_the_fallback_alone_has_no_router(changed: Path, tmp_path: Path) -> None:
    """Beside the same requests without a price of electricity, all that differs is the router's part."""
    free = tmp_path / "free" / "ledger.db"
    early = list(entries(tariffs_at(None), 60, held=True))
    await fill(free, early + list(entries(tariffs_at(0.0), 60, seed=1, start_us=LATER_US, held=True)))
    charged, without = told(changed), told(free)
    assert charged["router"]["cost_usd"] > without["router"]["cost_usd"] == 0
    for side in (lambda told: told["savings"]["routed"]["whole"], lambda told: told["savings"]["same_token_guess"]):
        ours, plain = side(charged), side(without)
        assert ours["counterfactual"] == plain["counterfactual"]
        assert ours["fallback_bill_avoided"] == plain["fallback_bill_avoided"]


async def test_where_everything_has_a_price_less_is_saved_by_what_the_router_cost(path: Path, tmp_path: Path) -> None:
    own = registry()
    priced = tuple(
        spec if spec.price or spec.hardware else spec.model_copy(update={"price": own.expert("law").price})
        for spec in own.experts
    )
    found = []
    for place, price in ((path, 5.0), (tmp_path / "free" / "ledger.db", None)):
        power = own.power.model_copy(update={"usd_per_kwh": price})
        tariffs = Tariffs.of_registry(own.model_copy(update={"experts": priced, "power": power}))
        await fill(place, list(entries(tariffs, 80, hours=2)))
        found.append(told(place))
    charged, free = found
    assert charged["router"]["cost_usd"] > 0
    for of in (lambda told: told["savings"], lambda told: told["savings"]["same_token_guess"]):
        ours, plain = of(charged), of(free)
        assert plain["cost_usd"] - ours["cost_usd"] == pytest.approx(charged["router"]["cost_usd"], rel=1e-6)
        assert ours["avoidable_usd"] == ours["cost_usd"], "electricity leaves a bill"
        assert ours["allocated_usd"] == pytest.approx(plain["allocated_usd"], rel=1e-9)
        assert ours["spent"]["avoidable_usd"] > plain["spent"]["avoidable_usd"]
        assert ours["share"]["cost"] < plain["share"]["cost"]


def test_a_measured_saving_charges_it_too_from_rows_and_from_hours(tmp_path: Path) -> None:
    """One third held back, at a price that makes the router's 288 uJ a request cost a tenth of a small answer."""
    ausd_per_j, past_us = 400_000_000_000_000, time.time_ns() // 1000 - 3 * HOUR_US
    found: dict[str, dict[str, Any]] = {}
    for name in ("free", "charged"):
        book = Book(tmp_path / name / "ledger.db", make_intent, make_outcome)
        body = json.loads(tariffs("chat", sql="list", chat="list"))
        body |= {"electricity": [ausd_per_j, "dear"]} if name == "charged" else {}
        told = {"body": json.dumps(body), "ts_us": past_us}
        paid = {"price_version": "list", "cost_nusd": 1_000}
        for number in range(600):
            if number % 3:
                book.add([replace(small(number), **paid)], arm=Arm.NORMAL, **told)
            else:
                held = replace(big(number), **paid | {"cost_nusd": 9_000 + 30 * number})
                book.add([held], arm=Arm.HOLDBACK, shadow=replace(small(number, role=Role.SHADOW), **paid), **told)
        book.write()
        with closing(read_ledger(book.path)) as connection:
            found[name] = savings(connection)
        book.roll_up()
        with closing(read_ledger(book.path)) as connection:
            assert savings(connection) == found[name], "to the last bit"
    free, charged = found["free"], found["charged"]
    own_usd = 600 * 288 * ausd_per_j / 10**24
    assert (charged["standing"], charged["counterfactual"]) == ("provisional", free["counterfactual"])
    assert charged["spent"]["cost_usd"] - free["spent"]["cost_usd"] == pytest.approx(own_usd, rel=1e-9)
    assert free["avoidable_usd"] - charged["avoidable_usd"] == pytest.approx(own_usd, rel=1e-9)
    lost = own_usd / free["counterfactual"]["cost_usd"]
    for end in ("low", "share", "high"):
        assert free[end]["cost"] - charged[end]["cost"] == pytest.approx(lost, rel=0.1)
    assert charged["differs_by"]["cost"]["uncharged"] - free["differs_by"]["cost"]["uncharged"] == pytest.approx(lost)
    assert charged["fallback_bill_avoided"] == free["fallback_bill_avoided"], "the fallback's bill has no router in it"
    assert charged["same_tokens"] == free["same_tokens"], "as others publish it"


async def test_no_price_is_told_once_and_counts_as_nothing(path: Path, tmp_path: Path) -> None:
    def text(ledger: Path) -> str:
        with closing(read_ledger(ledger)) as connection:
            out = StringIO()
            Console(file=out, width=100).print(render(report(connection, None, None)))
        return " ".join(out.getvalue().split())

    await fill(path, list(entries(tariffs_at(None), 30)))
    found = told(path)
    assert (found["router"]["cost_usd"], found["router"]["priced"]) == (0.0, False)
    said = "no electricity price given ('usd_per_kwh' under 'power' in registry.yaml)."
    assert text(path).count("no electricity price") == 1
    assert f"In money the router's own work counts as $0: {said}" in text(path)
    mixed = tmp_path / "mixed" / "ledger.db"
    early = list(entries(tariffs_at(None), 30))
    await fill(mixed, early + list(entries(tariffs_at(0.3), 12, seed=1, start_us=LATER_US)))
    found = told(mixed)
    assert (found["router"]["cost_usd"] > 0, found["router"]["priced"]) == (True, False)
    assert found["router"]["unpriced_requests"] == 30
    assert f"In money the router's own work counts as $0 for 30 requests: {said}" in text(mixed)
    await fill(tmp_path / "priced.db", list(entries(tariffs_at(0.3), 5)))
    assert "electricity price" not in text(tmp_path / "priced.db")


def test_a_version_without_a_price_is_named_as_before() -> None:
    """So a ledger goes on with the version it had, and only a price makes another."""
    bare, priced, dearer = (tariffs_at(price) for price in (None, 0.3, 0.5))
    assert "electricity" not in json.loads(bare.terms.body)
    assert json.loads(priced.terms.body)["electricity"] == [83_333_333_333, "0.3 USD/kWh"]
    assert len({bare.terms.version, priced.terms.version, dearer.terms.version}) == 3


async def test_the_audit_computes_it_again_from_rows_at_the_prices_that_were_kept(changed: Path) -> None:
    await add_up_all(changed)

    def wrong() -> set[str]:
        with closing(read_ledger(changed)) as connection:
            return set(audit(connection).by_figure)

    assert wrong() == set()
    with closing(sqlite3.connect(changed)) as connection, connection:
        connection.execute("UPDATE day_requests SET router_energy_uj = router_energy_uj + 1 WHERE rowid = 1")
    assert {"router_yusd", "day_requests"} <= wrong()
    with closing(sqlite3.connect(changed)) as connection, connection:
        connection.execute("UPDATE day_requests SET router_energy_uj = router_energy_uj - 1 WHERE rowid = 1")
        connection.execute("""UPDATE tariffs SET body = replace(body, '83333333333', '83333333334')""")
    assert {"hash of its body", "seal of names, tariffs, runs and draws' keys"} <= wrong()
