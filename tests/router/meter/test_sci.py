"""Software carbon intensity, avoidable and allocated money, and carbon by another table, all from a report."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from experts.spec import Price
from router.meter.carbon import Grids, co2_ug
from router.meter.coefficients import Size, accelerator_j
from router.meter.counterfactual import HEARD
from router.meter.ledger import read_ledger
from router.meter.record import Intent, Outcome, Status
from router.meter.report import render, report
from router.meter.sci import sci
from router.meter.table import tables
from router.meter.tariff import Tariffs
from router.meter.totals import Report
from router.meter.ulid import ulid_bytes
from router.meter.units import dollars
from tests.router.meter.traffic import DAY, HOUR_US, START_US, entries, fill, registry, shadow

Traffic = list[tuple[Intent, Outcome]]


@pytest.fixture
def tariffs() -> Tariffs:
    return Tariffs.of_registry(registry())


@pytest.fixture
async def traffic(path: Path, tariffs: Tariffs) -> Traffic:
    made = list(entries(tariffs, 120, hours=2))
    await fill(path, made)
    return made


async def test_intensity_is_of_tokens_that_clients_were_given(path: Path, tariffs: Tariffs) -> None:
    """Neither what ran beside nor what was thrown away makes it look better."""
    traffic = list(entries(tariffs, 150, held=True))
    draw = random.Random(3)  # noqa: S311
    beside = [shadow(draw, tariffs, i) for i, e in traffic if i.draw and i.draw.held and e.answered_by == "big"]
    await fill(path, traffic, beside)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None, "domain")
    given = sum(a.output_tokens for _, e in traffic for a in e.attempts if a.status in HEARD)
    told = found.to_json()
    assert len(beside) > 5
    assert told["answered_tokens"] == given
    assert told["output_tokens"] == given + sum(a.output_tokens for each in beside for a in each.attempts)
    assert sum(group["answered_tokens"] for group in told["groups"].values()) == given
    whole_g = told["sci"]["operational_g"] + told["sci"]["embodied_g"]
    assert told["sci"]["per_1000_output_tokens"] == pytest.approx(whole_g / given * 1000)
    assert "idle" in told["sci"]["boundary"]


async def test_intensity_is_operation_and_making_over_what_was_delivered(path: Path, traffic: Traffic) -> None:
    rejected = next(intent for intent, ended in traffic if ended.status is Status.OK)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO feedback VALUES (?, 0, 100000)", (ulid_bytes(rejected.request_id),))
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    told = sci(found)
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
    given = sum(a.output_tokens for _, e in traffic for a in e.attempts if a.status in HEARD)
    assert found.total.answered_tokens == given
    assert told["per_1000_output_tokens"] == pytest.approx(whole / given * 1000)


def all_priced() -> Tariffs:
    """Of a registry in which every expert names a price."""
    own, price = registry(), Price(input_usd_per_mtok=0.01, output_usd_per_mtok=0.02, source="quote", as_of=DAY)
    experts = [
        spec if spec.price or spec.hardware else spec.model_copy(update={"price": price}) for spec in own.experts
    ]
    return Tariffs.of_registry(own.model_copy(update={"experts": tuple(experts)}))


async def test_money_on_fixed_machines_is_mostly_spent_all_the_same(path: Path) -> None:
    traffic = list(entries(all_priced(), 120, hours=2))
    await fill(path, traffic)
    with closing(read_ledger(path)) as connection:
        told = report(connection, None, None).to_json()["savings"]
    money = told["same_token_guess"]
    unspent = sum(e.counterfactual_cost_nusd - e.cost_yusd / 10**15 for _, e in traffic)
    for each in (told, money):
        assert each["cost_usd"] == each["avoidable_usd"] < unspent / 1e9, "what leaves no bill is not saved"
        assert each["avoidable_usd"] + each["allocated_usd"] == pytest.approx(unspent / 1e9)
        assert each["spent"]["cost_usd"] == money["spent"]["cost_usd"], "to the last digit"
        of = each["counterfactual"]["avoidable_usd"], each["spent"]["avoidable_usd"]
        assert each["cost_usd"] == pytest.approx(of[0] - of[1])
        assert each["share"]["cost"] == pytest.approx(each["cost_usd"] / each["counterfactual"]["cost_usd"])
        assert each["allocated_share"] == pytest.approx(each["allocated_usd"] / each["counterfactual"]["cost_usd"])
    share = 0.5 * 0.12 * 1.2 / (0.12 * 1.2 + 30_000 / (4 * 8766))  # it serves half of the time
    alone = sum(e.counterfactual_cost_nusd for _, e in traffic)
    others = sum(a.cost_nusd for _, e in traffic for a in e.attempts if a.expert in ("law", "help"))  # sql's is there
    others += sum(e.router_yusd or 0 for _, e in traffic) / 10**15
    big = sum(a.cost_nusd for _, e in traffic for a in e.attempts if a.expert == "big")
    assert money["avoidable_usd"] == pytest.approx((alone * share - big * share - others) / 1e9, rel=1e-4)
    assert money["fallback_bill_avoided"] == {
        "usd": pytest.approx((alone - big) * share / 1e9, rel=1e-4),
        "allocated_usd": pytest.approx((alone - big) * (1 - share) / 1e9, rel=1e-4),
        "share": pytest.approx((1 - big / alone) * share, rel=1e-4), "before_cost_of": [],
    }  # fmt: skip
    # Of electricity, larger batches would have made a token written take less, and one read as much as it does.
    run = told["routed"]["by_fallback"]["big"]
    heard = [next((a for a in reversed(e.attempts) if a.status in HEARD), None) for _, e in traffic]
    read, written = (
        sum(each)
        for each in zip(*((a.input_tokens - a.cached_tokens, a.output_tokens) for a in heard if a), strict=True)
    )
    rates = [accelerator_j(Size(70, batch=run["fixed_capacity"][name])) for name in ("batch", "batch_alone")]
    now, then = (read * asked + written * answered for asked, answered in rates)
    diluted = alone * share * then / now - big * share
    assert (run["capacity"], then < now) == ("fixed", True)
    assert told["fallback_bill_avoided"]["usd"] == pytest.approx(diluted / 1e9, rel=1e-4)
    assert told["cost_usd"] == pytest.approx((diluted - others) / 1e9, rel=1e-4)


def printed(found: Report) -> str:
    """The report as a terminal shows it."""
    text = StringIO()
    Console(file=text, width=80).print(render(found))
    return text.getvalue()


def in_words(found: Report) -> str:
    """The same without its line ends."""
    return " ".join(printed(found).split())


async def test_without_prices_of_small_experts_the_bill_avoided_is_told_and_no_saving(path: Path) -> None:
    """What one's own machine costs nobody declared, so what was saved is unknown; the fallback's bill is not."""
    traffic = list(entries(Tariffs.of_registry(registry()), 120, hours=2))
    await fill(path, traffic)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None, "domain")
    told = found.to_json()
    alone = sum(e.counterfactual_cost_nusd for _, e in traffic)
    big = sum(a.cost_nusd for _, e in traffic for a in e.attempts if a.expert == "big")
    others = sum(a.cost_nusd for _, e in traffic for a in e.attempts if a.expert == "law")
    others += sum(e.router_yusd or 0 for _, e in traffic) / 10**15
    for each in (told["savings"], told["savings"]["same_token_guess"], told["savings"]["routed"]["whole"]):
        assert each["cost_usd"] is each["share"]["cost"] is each["spent"]["cost_usd"] is None
        assert each["counterfactual"]["cost_usd"] == pytest.approx(alone / 1e9)
        bill = each["fallback_bill_avoided"]
        assert bill["before_cost_of"] == ["help", "law", "sql"], "whose cost is known is paid all the same"
        assert each["at_most"]["no_price"] == ["help", "sql"]
        assert each["at_most"]["others_usd"] == pytest.approx(others / 1e9)
        assert each["at_most"]["usd"] == pytest.approx(bill["usd"] - others / 1e9)
        assert each["at_most"]["share"] == pytest.approx(each["at_most"]["usd"] / (alone / 1e9))
        assert bill["usd"] + bill["allocated_usd"] == pytest.approx((alone - big) / 1e9)
        assert bill["share"] == pytest.approx(bill["usd"] / (alone / 1e9))
    bills = [group["same_token_guess"]["fallback_bill_avoided"] for group in told["groups"].values()]
    assert sum(bill["usd"] + bill["allocated_usd"] for bill in bills) == pytest.approx((alone - big) / 1e9)
    assert told["savings"]["same_token_guess"]["avoidable_usd"] is None
    words = in_words(found)
    bill, most = (told["savings"][name] for name in ("fallback_bill_avoided", "at_most"))
    avoided, allocated = (dollars(round(bill[name] * 1e9)) for name in ("usd", "allocated_usd"))
    lost, known = dollars(-most["usd"] * 1e9), dollars(most["others_usd"] * 1e9)
    assert (
        f"At least {lost} more was paid than the fallback alone would cost, {most['share']:.0%}: the fallback's bill "
        f"is {avoided} smaller, {bill['share']:.0%}, before "
        f"what help, law, sql and the router's own work cost. Of that {known} is known; not in it is what help"
    ) in words
    assert "help and sql cost, which is not declared: 'hardware' or 'price' in registry.yaml." in words
    found.priced_now = frozenset({"help"})
    assert "help and sql cost, which is not declared: 'hardware' or 'price' for sql in registry.yaml." in in_words(
        found
    )
    found.priced_now = frozenset({"help", "sql"})
    assert "help and sql cost, which had no price at some time of this period, but has one now." in in_words(found)
    on_paper = f"{allocated} is the cost of the fallback's machines that are there in any case: saved on paper only."
    assert on_paper in words
    assert "unknown" in next(line for line in printed(found).splitlines() if line.startswith("saved"))


async def test_a_price_given_later_leaves_the_time_before_unknown(path: Path) -> None:
    own = registry()
    bare = tuple(spec.model_copy(update={"hardware": None}) if spec.id == "big" else spec for spec in own.experts)
    early = Tariffs.of_registry(own.model_copy(update={"experts": bare}))
    await fill(
        path, [*entries(early, 20), *entries(Tariffs.of_registry(own), 20, seed=1, start_us=START_US + 6 * HOUR_US)]
    )
    with closing(read_ledger(path)) as connection:
        told = report(connection, None, None).to_json()
        later = report(connection, START_US + 6 * HOUR_US, None).to_json()
    assert told["counterfactual"]["cost_usd"] is told["savings"]["fallback_bill_avoided"]["usd"] is None
    assert told["savings"]["share"]["cost"] is None
    assert later["counterfactual"]["cost_usd"] > later["savings"]["fallback_bill_avoided"]["usd"] > 0


async def test_what_was_charged_for_is_unknown_where_nothing_of_it_has_a_price(path: Path) -> None:
    traffic = [(i, e) for i, e in entries(Tariffs.of_registry(registry()), 200) if e.answered_by in ("help", "sql")]
    await fill(path, [(i, e) for i, e in traffic if all(a.expert != "big" for a in e.attempts)])
    with closing(read_ledger(path)) as connection:
        told = report(connection, None, None).to_json()
    assert told["charged"]["answers"]["cost_usd"] is None
    assert told["charged"]["answers"]["energy_j"] > 0
    assert told["charged"]["shadow"]["cost_usd"] == 0, "there was none"


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
        sum(e.energy_uj for i, e in traffic if i.request.key_id == "team-a") * 41_440 / 3.6e9 / 1e6, abs=2e-6
    )
    by_hour = [sum(e.energy_uj for i, e in traffic if (i.ts_us - START_US) // HOUR_US == hour) for hour in range(2)]
    assert told["co2_g"] == (co2_ug(by_hour[0], 20_000) + co2_ug(by_hour[1], 60_000)) / 1e6
    assert told["marginal"]["co2_g"] == (co2_ug(by_hour[0], 400_000) + co2_ug(by_hour[1], 700_000)) / 1e6
    assert told["grids"][0].startswith("FRA hourly ")
    assert (told["hours"], yearly["hours"]) == (
        {"of_their_own": 2, "of_their_year": 0, "with_marginal": 2},
        {"of_their_own": 0, "of_their_year": 2, "with_marginal": 0},
    )
    hours.write_text(hours.read_text().replace(",400", ","))
    with closing(read_ledger(path)) as connection:
        one = report(connection, None, None, grids=Grids.of("FRA", hours))
    assert one.to_json()["carbon"]["marginal"] is None
    assert "; by no marginal figures, for the file has them of 1 of 2 hours only." in in_words(one)
    hours.write_text("zone,hour,g_per_kwh\nFRA,2026-11-01T09:00,60\n")
    with closing(read_ledger(path)) as connection:
        gap = report(connection, None, None, grids=Grids.of("FRA", hours))
    assert gap.to_json()["carbon"]["co2_g"] == (co2_ug(by_hour[0], 41_440) + co2_ug(by_hour[1], 60_000)) / 1e6
    printed = Console(file=StringIO(), width=200)
    printed.print(tables(gap, {}))
    assert "; 1 hour of 2 by the year, for the file has a gap there" in " ".join(printed.file.getvalue().split())
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
    assert told["counterfactual"]["cost_usd"] is told["savings"]["cost_usd"] is None
    assert told["cost_usd"] == told["router"]["cost_usd"] > 0, "of the router's own work there is a price"
    guess = told["savings"]["same_token_guess"]
    assert guess["avoidable_usd"] is guess["allocated_usd"] is guess["fallback_bill_avoided"]["usd"] is None
    assert {each["cost_usd"] for each in told["by_expert"].values()} == {None}
    assert sum(each["cost_usd"] for each in told["groups"].values()) == pytest.approx(told["cost_usd"])
    assert told["counterfactual"]["energy_j"] > 0
    Console(file=text, width=100).print(render(found))
    lines = {line.split("  ")[0]: line for line in text.getvalue().splitlines()}
    assert all("unknown" in lines[name] for name in ("fallback alone", "really spent", "saved"))
    assert "$0.00 " not in "".join(lines[name] for name in ("fallback alone", "really spent", "saved"))


async def test_the_share_of_machines_whose_making_is_known_is_told(path: Path) -> None:
    tariffs = Tariffs.of_registry(registry())
    traffic = list(entries(tariffs, 60))
    await fill(path, traffic)
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    attempts = [each for _, ended in traffic for each in ended.attempts]
    known = sum(each.total_us for each in attempts if each.expert != "law")
    share = known / sum(each.total_us for each in attempts)
    assert sci(found)["embodied_share"] == share < 1
    text = StringIO()
    Console(file=text, width=200).print(render(found))
    assert f"making the machines included for {share:.0%} of the working time" in text.getvalue()


async def test_which_grids_carbon_is_by_is_told(path: Path) -> None:
    for hour, zone in enumerate(("WOR", "SWE")):
        start_us = START_US + hour * 6 * HOUR_US
        await fill(path, list(entries(Tariffs.of_registry(registry(grid_zone=zone)), 20, seed=hour, start_us=start_us)))
    with closing(read_ledger(path)) as connection:
        both, late = (report(connection, since_us, None) for since_us in (None, START_US + 6 * HOUR_US))
    world, own = sorted(sci(both)["grids"], reverse=True)
    assert f"Carbon above is by the grid of {own} and {world}, WOR being the world." in in_words(both)
    assert f"Carbon above is by the grid of {own}." in in_words(late)


async def test_parts_of_the_money_add_up_in_the_order_they_are_read(path: Path) -> None:
    """A fallback on fixed machines: alone, less spent, less what is on paper only, is what was saved."""
    await fill(path, list(entries(all_priced(), 120, hours=2)))
    with closing(read_ledger(path)) as connection:
        lines = [line.split() for line in printed(report(connection, None, None, "expert")).splitlines()]
    rows = [line for line in lines if line[:2] in (["fallback", "alone"], ["really", "spent"], ["on", "paper"])]
    at = lines.index(rows[2])
    assert [lines.index(each) for each in rows] == [at - 2, at - 1, at]
    assert lines[at + 1][0] == "saved"
    cells = [next(word for word in line if "$" in word) for line in lines[at - 2 : at + 2]]
    alone, spent, paper, saved = (Decimal(cell.replace("$", "")) for cell in cells)
    assert alone - spent - paper == saved
    assert "By expert that answered: all that its requests took, others asked for them too" in [
        " ".join(line) for line in lines
    ]


@pytest.mark.parametrize(("zone", "told"), [("WOR", True), ("FRA", False)])
async def test_the_world_average_is_called_so(path: Path, zone: str, told: bool) -> None:
    await fill(path, list(entries(Tariffs.of_registry(registry(grid_zone=zone)), 20)))
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None)
    assert [each.partition(" ")[0] for each in sci(found)["grids"]] == [zone]
    text = StringIO()
    Console(file=text, width=200).print(render(found))
    assert ("world average of grids (WOR); grid_zone in the registry names" in text.getvalue()) is told
