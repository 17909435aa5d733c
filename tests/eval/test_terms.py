"""Made-up periods within which terms change: the figure is right, and a ledger of the same requests says the same."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.savings import period_figures
from eval.terms import PERIODS, Period, Terms, run_under
from eval.worlds import World, requests
from router.meter.coefficients import accelerator_j
from router.meter.cost import cost_nusd
from router.meter.counterfactual import counterfactual
from router.meter.dilution import Machines
from router.meter.energy import UnitEnergy, table_uj
from router.meter.kept import KeptTariffs
from router.meter.ledger import Ledger, read_ledger
from router.meter.paired import Paired
from router.meter.record import Arm, Attempt, Draw, Intent, Outcome, Role, Shadow, Status
from router.meter.savings import ENOUGH, alone
from router.meter.segment import Segment
from router.meter.verified import measured, same_tokens, savings
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import HOUR_US, Book

RUNS = 24
STUDENT = 1.97
"""His 97.5 % quantile, of some 300 degrees of freedom."""


@pytest.mark.parametrize("period", PERIODS, ids=lambda period: period.world.name)
def test_the_figure_is_right_where_terms_change(period: Period) -> None:
    for found in period_figures(period, RUNS):
        assert found.held >= ENOUGH
        assert abs(found.bias) <= 0.3 + 3 * found.bias_error
        assert found.coverage >= 0.70  # 24 runs at 95 %: one time in 10,000 fewer than 18 cover


def test_capacity_and_price_change_and_each_period_is_another() -> None:
    assert len({replace(period, world=replace(period.world, name="")) for period in PERIODS}) == len(PERIODS)
    assert all(sum(terms.share for terms in period.terms) == pytest.approx(1) for period in PERIODS)
    capacities = [{terms.capacity for terms in period.terms} for period in PERIODS]
    prices = [{terms.usd for terms in period.terms} for period in PERIODS]
    assert sum(len(each) > 1 for each in capacities) >= 2
    assert sum(len(each) > 1 for each in prices) >= 2


@pytest.mark.parametrize("of_fixed", [0.6, 1.0])
def test_an_interval_ends_where_the_figure_would_be_were_the_fallback_dearer_by_its_doubt(of_fixed: float) -> None:
    """Its money is like its joules here, so that one doubt moves both: what it costs, and the batches it would have."""
    (segment,) = like_joules(of_fixed).segments
    reach = STUDENT * np.sqrt(alone(segment.traffic).variance)

    def moved(way: int) -> Segment:
        return replace(segment, traffic=replace(segment.traffic, known=segment.traffic.known + way * reach))

    for unit in ("energy", "cost"):
        ends = shares(moved(-1))["share"][unit], shares(moved(1))["share"][unit]
        assert widths(segment, unit) == pytest.approx(np.abs(np.array(ends) - shares(segment)["share"][unit]), rel=0.03)


def test_of_a_group_money_too_is_in_doubt_by_what_the_others_would_have_taken() -> None:
    """They are answered in one batch, and in a larger one a token takes less electricity."""
    (segment,) = like_joules(1.0).segments
    machines, taken_uj = segment.spells[0].machines, float(segment.at_todays_batch()[0][0])
    others = replace(machines, other_uj=taken_uj)

    def among(of: Machines) -> Segment:
        return replace(segment, spells=tuple(replace(each, machines=of) for each in segment.spells))

    doubt_uj = 0.4 * taken_uj
    more = shares(among(replace(others, other_uj=taken_uj + 0.01 * doubt_uj)))["share"]
    told = among(replace(others, other_variance=doubt_uj**2))
    for unit in ("energy", "cost"):
        reach = STUDENT * 100 * (more[unit] - shares(among(others))["share"][unit])
        whole, own = sum(widths(told, unit)), sum(widths(among(others), unit))
        assert whole == pytest.approx(np.hypot(own, 2 * reach), rel=0.03), unit


def like_joules(of_fixed: float) -> Paired:
    """A period of whose requests the last are answered on fixed machines; its money is in proportion to its joules."""
    asked_j, answered_j = accelerator_j(Terms(1.0).size)
    usd = 0.8 * asked_j / answered_j, 0.8
    terms = Terms(1 - of_fixed, usd=usd), Terms(of_fixed, "fixed", usd=usd, avoidable=0.3)
    return run_under(Period(World("money like joules", requests=20_000), terms[of_fixed == 1.0 :]), [7]).paired


def shares(segment: Segment) -> dict[str, dict[str, float | None]]:
    return measured(Paired((segment,)))


def widths(segment: Segment, unit: str) -> tuple[float, float]:
    """How far an interval reaches down and up."""
    share, low, high = (shares(segment)[name][unit] for name in ("share", "low", "high"))
    return share - low, high - share


def test_it_is_what_a_report_says_of_the_same_requests_in_a_ledger(tmp_path: Path) -> None:
    """Each request is charged by the ledger's own tariffs here, and entered as serving does."""
    world = World("small", requests=3000, rate=0.15)
    period = Period(world, (Terms(0.6, usd=(2.5, 10.0)), Terms(0.4, "fixed", batch=16, avoidable=0.3)))
    book = Book(tmp_path / "ledger.db", make_intent, make_outcome)
    asyncio.run(fill(book.path, entries(period, [7])))
    told = run_under(period, [7])
    for way in ("rows", "sums of hours"):
        if way == "sums of hours":
            book.roll_up()
        with closing(read_ledger(book.path)) as connection:
            said = savings(connection)
        (one,) = said["by_fallback"].values()
        assert [each["capacity"] for each in one["by_capacity"]] == ["api", "fixed"]
        for unit in ("energy", "cost"):
            assert said["same_tokens"][unit] == pytest.approx(same_tokens(told.paired)[unit], abs=1e-5)
            for name, share in measured(told.paired).items():
                assert said[name][unit] == pytest.approx(share[unit], abs=1e-5), (way, name, unit)


def entries(period: Period, seed: Sequence[int]) -> list[tuple[Intent, Outcome, Shadow | None]]:
    """The period's requests, one by one; terms change by the hour."""
    drawn = requests(period.world, np.random.default_rng(seed))
    last = [round(share * period.world.requests) for share in np.cumsum([each.share for each in period.terms])]
    found = []
    for number in range(period.world.requests):
        at = bisect_right(last, number)
        tariffs = KeptTariffs.of_body(period.terms[at].body)
        energy = {"big": tariffs.fallback.energy, "small": UnitEnergy(*(round(j * 1e12) for j in period.world.small))}
        big, small = (
            attempt(tariffs, energy[name], name, np.rint(tokens[number]).astype(int).tolist())
            for name, tokens in (("big", drawn.asked), ("small", drawn.points))
        )
        tried, held = bool(drawn.tried[number]), bool(drawn.tried[number] and drawn.held[number])
        draw = Draw(Arm(int(held)), round(period.world.rate * 1e6), int(drawn.talk[number]).to_bytes(8), 1)
        small.role = Role.SHADOW if held else Role.ROUTED
        small.status = Status.OK if drawn.served[number] else Status.ERROR
        attempts = [small] * (tried and not held) + [big] * (held or not drawn.served[number])
        intent = make_intent(
            draw=draw if tried else None, ts_us=(at + 1) * HOUR_US + number, label=f"domain {drawn.domain[number]}",
            expert="small" if tried else "big", fallback="big", version=f"terms {at}", body=period.terms[at].body,
        )  # fmt: skip
        nusd, uj, _ = counterfactual(attempts, tariffs.fallback, 0)
        outcome = make_outcome(
            intent.request_id, answered_by=attempts[-1].expert, attempts=attempts,
            router_energy_uj=round(period.world.router_j * 1e6), counterfactual_cost_nusd=nusd,
            counterfactual_energy_uj=uj,
        )  # fmt: skip
        found.append((intent, outcome, Shadow(intent.request_id, [small]) if held else None))
    return found


def attempt(tariffs: KeptTariffs, energy: UnitEnergy, expert: str, tokens: list[int]) -> Attempt:
    price, (asked, answered) = tariffs.of(expert).price, tokens
    return Attempt(
        expert, Role.FALLBACK, Status.OK, asked, answered, cost_nusd=cost_nusd(price, asked, answered, 0),
        price_version=price.version, energy_uj=table_uj(energy, asked, answered),
    )  # fmt: skip


async def fill(path: Path, told: list[tuple[Intent, Outcome, Shadow | None]]) -> None:
    ledger = Ledger.open(path)
    await asyncio.gather(*(ledger.begin(intent) for intent, _, _ in told))
    await asyncio.gather(*(ledger.finish(outcome) for _, outcome, _ in told))
    await asyncio.gather(*(ledger.note(shadow) for _, _, shadow in told if shadow))
    await ledger.aclose()
