"""A report says which term changed within its period, whose and when, the same from rows, hours and days."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from experts.spec import OpenAISpec, Price
from router.board.overview import overview
from router.meter.carbon import Intensity
from router.meter.ledger import read_ledger
from router.meter.record import Intent, Outcome
from router.meter.report import render, report
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import DAY, HOUR_US, START_US, add_up_all, entries, fill, registry

LATER_US = START_US + 7 * HOUR_US
NEXT_DAY_US = START_US + 26 * HOUR_US
BEFORE = "list 2026-01-01, USD/Mtok 0.15 in, 0.6 out, 0.075 cached"
AFTER = "contract 2026-01-01, USD/Mtok 0.1 in, 0.4 out"


def at(law_usd: float | None = None, usd_per_kwh: float = 0.3) -> Tariffs:
    """The registry of the tests with another price of one expert, or of electricity."""
    own = registry()
    power = own.power.model_copy(update={"usd_per_kwh": usd_per_kwh})
    price = law_usd and Price(input_usd_per_mtok=law_usd, output_usd_per_mtok=0.4, source="contract", as_of=DAY)
    experts = [
        spec.model_copy(update={"price": price})
        if price and isinstance(spec, OpenAISpec) and spec.id == "law"
        else spec
        for spec in own.experts
    ]
    return Tariffs.of_registry(own.model_copy(update={"power": power, "experts": tuple(experts)}))


def in_france(traffic: list[tuple[Intent, Outcome]]) -> list[tuple[Intent, Outcome]]:
    return [(replace(intent, grid=Intensity("FRA 2024", 44_000)), outcome) for intent, outcome in traffic]


@pytest.fixture
async def changed(path: Path) -> Path:
    """A morning as ever, an afternoon at another price of law, and another day in France, electricity dearer."""
    morning = list(entries(at(), 40))
    afternoon = list(entries(at(0.1), 40, seed=1, start_us=LATER_US))
    await fill(path, morning + afternoon + in_france(list(entries(at(0.1, 0.5), 40, seed=2, start_us=NEXT_DAY_US))))
    return path


def told(path: Path, since_us: int | None = None, until_us: int | None = None, **more: Any) -> list[dict[str, Any]]:
    with closing(read_ledger(path)) as connection:
        found: list[dict[str, Any]] = report(connection, since_us, until_us, **more).to_json()["changed"]
        return found


def as_text(path: Path) -> str:
    console = Console(file=StringIO(), width=2000)
    with closing(read_ledger(path)) as connection:
        console.print(render(report(connection, None, None)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text)


async def test_it_is_told_whose_price_became_which_and_when_from_rows_and_sums_alike(changed: Path) -> None:
    from_rows = told(changed)
    assert [(each["hour"], each["what"], each["expert"]) for each in from_rows] == [
        ("2026-11-01T15:00:00+00:00", "price", "law"),
        ("2026-11-02T10:00:00+00:00", "electricity", None),
        ("2026-11-02T10:00:00+00:00", "grid", None),
    ]
    assert (from_rows[0]["before"], from_rows[0]["after"]) == (BEFORE, AFTER)
    assert from_rows[1]["told"] == (
        "price of electricity 0.5 USD/kWh (before: 0.3 USD/kWh) in the hour from 2026-11-02 10:00 UTC on"
    )
    assert (from_rows[2]["before"], from_rows[2]["after"]) == ("WOR 2025", "FRA 2024")
    of_key = told(changed, own="team-a")
    await add_up_all(changed)
    assert told(changed) == from_rows
    assert told(changed, own="team-a") == of_key != []


async def test_a_period_in_which_nothing_changed_says_nothing(changed: Path) -> None:
    assert told(changed, None, LATER_US) == told(changed, LATER_US, NEXT_DAY_US) == told(changed, NEXT_DAY_US) == []


async def test_a_term_that_comes_back_is_told_both_times(path: Path) -> None:
    days = [entries(at(law), 10, start_us=START_US + day * 24 * HOUR_US) for day, law in enumerate((None, 0.1, None))]
    await fill(path, [each for day in days for each in day])
    found = [(each["before"], each["after"]) for each in told(path)]
    assert found == [(BEFORE, AFTER), (AFTER, BEFORE)]
    await add_up_all(path)
    assert [(each["before"], each["after"]) for each in told(path)] == found


async def test_a_price_that_changes_every_day_to_and_fro_is_told_once_each_way(path: Path) -> None:
    days = [entries(at(0.1 if day % 2 else None), 10, start_us=START_US + day * 24 * HOUR_US) for day in range(6)]
    await fill(path, [each for day in days for each in day])
    found = [(each["hour"][:10], each["before"], each["after"]) for each in told(path)]
    assert found == [("2026-11-02", BEFORE, AFTER), ("2026-11-03", AFTER, BEFORE)]
    await add_up_all(path)
    assert [(each["hour"][:10], each["before"], each["after"]) for each in told(path)] == found


async def test_a_grid_that_comes_back_is_told_each_time_and_after_which(path: Path) -> None:
    grids = [Intensity(version, 1000) for version in ("DEU 2024", "FRA 2024", "DEU 2024", "USA 2024")]
    days = [
        (replace(intent, grid=grid), outcome)
        for day, grid in enumerate(grids)
        for intent, outcome in entries(at(), 10, seed=day, start_us=START_US + day * 24 * HOUR_US)
    ]
    await fill(path, days)
    found = [(each["hour"][:10], each["before"], each["after"]) for each in told(path)]
    assert found == [
        ("2026-11-02", "DEU 2024", "FRA 2024"),
        ("2026-11-03", "FRA 2024", "DEU 2024"),
        ("2026-11-04", "DEU 2024", "USA 2024"),
    ]
    await add_up_all(path)
    assert [(each["hour"][:10], each["before"], each["after"]) for each in told(path)] == found


async def test_a_price_that_is_the_same_with_another_date_or_source_is_not_told_as_changed(path: Path) -> None:
    """Shoal once wrote the day of its start into the version of a list price: such ledgers are there."""
    days = []
    for day, words in enumerate(({"as_of": DAY}, {"as_of": DAY + timedelta(days=1)}, {"as_of": None, "source": "new"})):
        own = registry()
        law = own.expert("law")
        assert law.price is not None
        again = law.model_copy(update={"price": law.price.model_copy(update=words)})
        experts = tuple(again if spec.id == "law" else spec for spec in own.experts)
        tariffs = Tariffs.of_registry(own.model_copy(update={"experts": experts}))
        days += entries(tariffs, 10, seed=day, start_us=START_US + day * 24 * HOUR_US)
    await fill(path, days)
    assert told(path) == []
    await add_up_all(path)
    assert told(path) == []


async def test_readers_see_it_in_one_line_and_on_the_dashboard(changed: Path) -> None:
    line = next(line for line in as_text(changed).splitlines() if "price of law" in line)
    assert line.startswith(f"What is charged changed within this period: price of law {AFTER} (before: {BEFORE})")
    assert "; price of electricity 0.5 USD/kWh" in line
    assert "; grid FRA 2024 (before: WOR 2025) in the hour from 2026-11-02 10:00 UTC on." in line
    with closing(read_ledger(changed)) as connection:
        assert overview(connection, registry(), None, None)["totals"]["changed"] == told(changed)
