"""Software carbon intensity, avoidable and allocated money, and carbon by another table, all from a report."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from router.meter.carbon import Grids, co2_ug
from router.meter.ledger import read_ledger
from router.meter.record import Intent, Outcome, Status
from router.meter.report import render, report
from router.meter.tariff import Tariffs
from router.meter.ulid import ulid_bytes
from tests.router.meter.traffic import HOUR_US, START_US, entries, fill, registry

Traffic = list[tuple[Intent, Outcome]]


@pytest.fixture
def tariffs() -> Tariffs:
    return Tariffs.of_registry(registry())


@pytest.fixture
async def traffic(path: Path, tariffs: Tariffs) -> Traffic:
    made = list(entries(tariffs, 120, hours=2))
    await fill(path, made)
    return made


async def test_intensity_is_operation_and_making_over_what_was_delivered(path: Path, traffic: Traffic) -> None:
    rejected = next(intent for intent, ended in traffic if ended.status is Status.OK)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO feedback VALUES (?, 0, 100000)", (ulid_bytes(rejected.request_id),))
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    told = found.sci()
    core_s = sum(e.router_cpu_us + sum(a.cpu_us for a in e.attempts) for _, e in traffic) / 1e6
    big_s = sum(a.total_us for _, e in traffic for a in e.attempts if a.expert == "big") / 1e6
    life_s = 4 * 8766 * 3600
    made_g = core_s * 900_000 / life_s / 8 + big_s * 1_500_000 / life_s / 64
    assert told["embodied_g"] == pytest.approx(made_g, rel=1e-3)
    assert told["operational_g"] == sum(e.co2_ug for _, e in traffic) / 1e6
    whole = told["operational_g"] + told["embodied_g"]
    answered = sum(e.status is Status.OK for _, e in traffic)
    assert told["accepted_answers"] == answered - 1
    assert told["per_accepted_answer"] == pytest.approx(whole / (answered - 1))
    assert told["per_request"] == pytest.approx(whole / 120)
    assert told["per_1000_output_tokens"] == pytest.approx(whole / found.total.output_tokens * 1000)


async def test_money_on_fixed_machines_is_mostly_spent_all_the_same(
    path: Path, tariffs: Tariffs, traffic: Traffic
) -> None:
    with closing(read_ledger(path)) as connection:
        money = report(connection, None, None).to_json()["savings"]
    saved = sum(e.counterfactual_cost_nusd - e.cost_nusd for _, e in traffic)
    assert money["avoidable_usd"] + money["allocated_usd"] == pytest.approx(saved / 1e9)
    share = 0.12 * 1.2 / (0.12 * 1.2 + 30_000 / (4 * 8766))
    alone = sum(e.counterfactual_cost_nusd for _, e in traffic)
    law = sum(a.cost_nusd for _, e in traffic for a in e.attempts if a.expert == "law")
    big = sum(a.cost_nusd for _, e in traffic for a in e.attempts if a.expert == "big")
    assert money["avoidable_usd"] == pytest.approx((alone * share - big * share - law) / 1e9, rel=1e-4)


async def test_the_batch_of_a_fixed_fallback_is_told_beside(path: Path, traffic: Traffic) -> None:
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None).to_json()
    fixed = found["counterfactual"]["fixed_capacity"]
    whole, own = found["output_tokens"], found["by_expert"]["big"]["output_tokens"]
    assert fixed["batch_alone"] == pytest.approx(64 * whole / own)
    assert fixed["share"] < found["savings"]["share"]["energy"]


async def test_another_table_computes_the_past_again(path: Path, traffic: Traffic, tmp_path: Path) -> None:
    hours = tmp_path / "hours.csv"
    hours.write_text(
        "zone,hour,g_per_kwh,marginal_g_per_kwh\nFRA,2026-11-01T08:00,20,400\nFRA,2026-11-01T09:00,60,700\n"
    )
    with closing(read_ledger(path)) as connection:
        told = report(connection, None, None, grids=Grids.of("FRA", hours)).to_json()["carbon"]
        yearly = report(connection, None, None, grids=Grids.of("FRA")).to_json()["carbon"]
        own = report(connection, None, None, grids=Grids.of("FRA"), own="team-a").to_json()["carbon"]
    assert own["co2_g"] == pytest.approx(
        sum(e.energy_uj for i, e in traffic if i.key_id == "team-a") * 41_440 / 3.6e9 / 1e6, abs=2e-6
    )
    by_hour = [
        sum(e.energy_uj for i, e in traffic if (i.ts_us - START_US) // HOUR_US == hour) for hour in range(2)
    ]  # fmt: skip
    assert told["co2_g"] == (co2_ug(by_hour[0], 20_000) + co2_ug(by_hour[1], 60_000)) / 1e6
    assert told["marginal"]["co2_g"] == (co2_ug(by_hour[0], 400_000) + co2_ug(by_hour[1], 700_000)) / 1e6
    assert told["grids"][0].startswith("FRA hourly ")
    assert (yearly["grids"], yearly["marginal"]) == (["FRA 2025"], None)
    assert yearly["counterfactual_co2_g"] == pytest.approx(
        sum(e.counterfactual_energy_uj for _, e in traffic) * 41_440 / 3.6e9 / 1e6, rel=1e-6
    )


async def test_what_has_no_price_is_unknown_and_not_nothing(path: Path) -> None:
    """A fallback without a price: what it would have cost, and so what was saved, is told nowhere as 0."""
    own = registry()
    bare = tuple(spec.model_copy(update={"price": None, "hardware": None}) for spec in own.experts)
    tariffs = Tariffs.of_registry(own.model_copy(update={"experts": bare}))
    await fill(path, list(entries(tariffs, 40)))
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None, "expert")
    told, text = found.to_json(), StringIO()
    assert told["cost_usd"] is told["counterfactual"]["cost_usd"] is told["savings"]["cost_usd"] is None
    assert told["savings"]["avoidable_usd"] is told["savings"]["allocated_usd"] is None
    assert {each["cost_usd"] for each in [*told["by_expert"].values(), *told["groups"].values()]} == {None}
    assert told["counterfactual"]["energy_j"] > 0
    Console(file=text, width=100).print(render(found))
    lines = {line.split("  ")[0]: line for line in text.getvalue().splitlines()}
    assert all("no price" in lines[name] for name in ("fallback alone", "really spent", "saved"))
    assert "$0.00 " not in "".join(lines[name] for name in ("fallback alone", "really spent", "saved"))


async def test_without_a_price_of_small_experts_the_money_saved_is_told_as_at_most(path: Path) -> None:
    """A laptop beside an API: what the API would have charged and did not is known, and a bound of what was saved."""
    own = registry()
    small = tuple(
        spec if spec.id == own.fallback else spec.model_copy(update={"price": None, "hardware": None})
        for spec in own.experts
    )
    tariffs = Tariffs.of_registry(own.model_copy(update={"experts": small}))
    ended = [(begun, end) for begun, end in entries(tariffs, 60) if end.answered_by in ("sql", "law", "help")]
    alone = [(begun, end) for begun, end in ended if len(end.attempts) == 1]
    await fill(path, alone)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    told, text = found.to_json(), StringIO()
    saved = sum(end.counterfactual_cost_nusd for _, end in alone) / 1e9
    assert told["cost_usd"] is None, "nothing that was asked has a price"
    assert (told["savings"]["cost_usd"], told["savings"]["cost_at_most"]) == (pytest.approx(saved), True)
    assert told["savings"]["avoidable_usd"] + told["savings"]["allocated_usd"] == pytest.approx(saved)
    Console(file=text, width=200).print(render(found))
    assert "at most $" in text.getvalue()
    assert "not taken off the money saved" in text.getvalue()


async def test_the_share_of_machines_whose_making_is_known_is_told(path: Path) -> None:
    tariffs = Tariffs.of_registry(registry())
    traffic = list(entries(tariffs, 60))
    await fill(path, traffic)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    attempts = [each for _, ended in traffic for each in ended.attempts]
    known = sum(each.total_us for each in attempts if each.expert != "law")
    share = known / sum(each.total_us for each in attempts)
    assert found.sci()["embodied_share"] == share < 1
    text = StringIO()
    Console(file=text, width=200).print(render(found))
    assert f"making the machines included for {share:.0%} of the working time" in text.getvalue()


@pytest.mark.parametrize(("zone", "told"), [("WOR", True), ("FRA", False)])
async def test_the_world_average_is_called_so(path: Path, zone: str, told: bool) -> None:
    await fill(path, list(entries(Tariffs.of_registry(registry(grid_zone=zone)), 20)))
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    assert [each.partition(" ")[0] for each in found.sci()["grids"]] == [zone]
    text = StringIO()
    Console(file=text, width=200).print(render(found))
    assert ("world average of grids (WOR); grid_zone in the registry names" in text.getvalue()) is told
