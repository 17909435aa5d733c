from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from experts.destination import write_there
from experts.errors import ShoalError
from experts.extras import install
from experts.reading.list_price import list_price
from experts.spec import OpenAISpec
from router.meter.audit import audit
from router.meter.cost import cost_nusd
from router.meter.export import COLUMNS, MOMENTS, MONEY, exact, rows, usd
from router.meter.forms import Form, exported, harmless
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Attempt, Draw, Intent, Outcome, Role, Status
from router.meter.report import render, report
from router.meter.rollup import add_up, due
from router.meter.spans import only_in_sums
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import HOUR_US, KEY, START_US, entries, fill, registry

EVIL = [
    '=HYPERLINK("http://127.0.0.1/?"&A1,"more, and \n more")',
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\n=1+1",
    "\uff1d1+1",
]


@pytest.fixture
async def full(path: Path) -> Path:
    tariffs = Tariffs.of_registry(registry())
    traffic = list(entries(tariffs, 200))
    for (intent, _), evil in zip(traffic, EVIL, strict=False):
        intent.request = replace(intent.request, body={"model": evil})
        intent.decision = replace(intent.decision, label=evil)
    await fill(path, traffic)
    return path


def written(path: Path, form: Form, since_us: int | None = None, until_us: int | None = None) -> bytes:
    with closing(read_ledger(path)) as connection:
        return b"".join(exported(rows(connection, since_us, until_us, {"team-a": "Team =A"}), form))


async def test_rows_add_up_to_the_report(full: Path) -> None:
    period = (START_US + HOUR_US, START_US + 3 * HOUR_US)
    table = list(csv.DictReader(io.StringIO(written(full, "csv", *period).decode())))
    with closing(read_ledger(full)) as connection:
        found = report(connection, *period).total
    assert tuple(table[0]) == COLUMNS
    assert found.sums.router_yusd > 0
    assert sum(Decimal(row["EffectiveCost"] or 0) for row in table) == Decimal(found.sums.yusd).scaleb(-24)
    assert sum(int(row["x_energy_uj"]) for row in table) == found.sums.energy_uj
    assert sum(int(row["x_co2_ug"]) for row in table) == found.sums.co2_ug
    for unit, many in (("Tokens", found.input_tokens + found.output_tokens), ("Requests", found.requests)):
        own = [row for row in table if row["ConsumedUnit"] == unit]
        assert sum(int(row["ConsumedQuantity"]) for row in own) == many
        assert [(row["PricingQuantity"], row["PricingUnit"]) for row in own] == [
            (row["ConsumedQuantity"], unit) for row in own
        ]
    assert sum(int(row["x_counterfactual_energy_uj"]) for row in table) == found.compared.alone.energy_uj
    assert len({row["x_request_id"] for row in table}) == found.requests
    alone_nusd = sum(int(row["x_counterfactual_avoidable_nusd"] or 0) for row in table)
    assert 0 <= found.compared.alone_avoidable_ppm_nusd / 10**6 - alone_nusd < found.requests, "each rounded down"
    assert 0 < alone_nusd < sum(int(row["x_counterfactual_cost_nusd"] or 0) for row in table)
    compared = {row["x_request_id"] for row in table if row["x_counterfactual_cost_nusd"]}
    spent_yusd = sum(
        Decimal(row["x_avoidable_cost"] or 0).scaleb(24) for row in table if row["x_request_id"] in compared
    )
    assert spent_yusd == found.compared.avoidable_yusd, "saved is found here"


async def test_what_is_not_compared_has_no_counterfactual_and_says_why(path: Path) -> None:
    traffic = list(entries(Tariffs.of_registry(registry()), 60))
    for intent, _ in traffic[:20]:
        intent.decision, intent.draw = replace(intent.decision, policy=None), None
    for intent, _ in traffic[20:30]:
        intent.draw = Draw(Arm.UNABLE)
    await fill(path, traffic)
    table = [json.loads(line) for line in written(path, "jsonl").splitlines()]
    told = Counter({row["x_request_id"]: row["x_left_out"] for row in table}.values())
    assert told == {"named": 20, "unable": 10, None: 30}
    for row in table:
        alone = [row[name] is None for name in COLUMNS if name.startswith("x_counterfactual")]
        assert alone == [bool(row["x_left_out"])] * 4, "in every row of it, so that no sum takes it for nothing"


async def test_what_was_under_way_when_the_server_died_is_unknown_and_not_nothing(path: Path) -> None:
    intents = [intent for intent, _ in entries(Tariffs.of_registry(registry()), 2)]
    ledger = Ledger.open(path)
    for intent in intents:
        await ledger.begin(intent)
    ledger.checkpoint(intents[1].request_id, 16)
    await ledger.aclose()  # ends what is open as a start after a crash does
    table = [json.loads(line) for line in written(path, "jsonl").splitlines()]
    assert [(row["SkuId"], row["x_status"]) for row in table] == [
        (name, "interrupted") for intent in intents for name in ("router", intent.decision.expert)
    ]
    unknown = ("x_energy_uj", "x_co2_ug", "x_counterfactual_cost_nusd", "x_counterfactual_energy_uj")
    assert {row[name] for row in table for name in unknown} == {None}
    asked = table[1::2]
    assert {row[name] for row in asked for name in (*MONEY, "x_input_tokens")} == {None}
    assert [row["x_output_tokens"] for row in asked] == [None, 16]
    with closing(read_ledger(path)) as connection:
        found = report(connection, None, None, "policy")
    told = found.to_json()
    assert told["unmetered"] == {"requests": 2}
    assert {name: group["unmetered"] for name, group in told["groups"].items()} == {"balanced": {"requests": 2}}
    console = Console(width=110, file=io.StringIO(), record=True)
    console.print(render(found))
    text = console.export_text()
    for whose in ("all", "balanced"):
        assert re.search(rf"{whose} .* ≥ \$0\.00 +≥ 0 Wh +≥ 0 g", text)
    assert "is in no sum" in " ".join(text.split())


async def test_of_one_held_back_the_fallback_was_under_way(path: Path, intent: Callable[..., Intent]) -> None:
    ledger = Ledger.open(path)
    for tokens in (0, 64):
        begun = intent(draw=Draw(Arm.HOLDBACK, 10_000, bytes(8), 1), role=Role.FALLBACK)
        await ledger.begin(begun)
        ledger.checkpoint(begun.request_id, tokens)
    await ledger.aclose()
    table = [json.loads(line) for line in written(path, "jsonl").splitlines()][1::2]
    assert [(row["SkuId"], row["x_role"], row["x_output_tokens"]) for row in table] == [
        ("chat", "fallback", None), ("chat", "fallback", 64),
    ]  # fmt: skip


async def test_what_nobody_heard_was_written_is_unknown(
    path: Path, intent: Callable[..., Intent], outcome: Callable[..., Outcome], attempt: Callable[..., Attempt]
) -> None:
    gone = attempt(status=Status.UNHEARD, output_tokens=0, first_byte_us=None, error_code="CancelledError")
    begun, ledger = intent(), Ledger.open(path)
    await ledger.begin(begun)
    await ledger.finish(outcome(begun.request_id, status=Status.CANCELLED, answered_by=None, attempts=[gone]))
    await ledger.aclose()
    own, row = (json.loads(line) for line in written(path, "jsonl").splitlines())
    assert (own["x_status"], row["x_status"]) == ("cancelled", "unheard")
    assert (row["x_input_tokens"], row["x_output_tokens"], row["x_reasoning_tokens"]) == (120, None, None)
    assert (row["ConsumedQuantity"], row["EffectiveCost"]) == (120, "0.000012345")
    assert row["ChargeDescription"] == "answer, at least: its client left before the first word"


async def test_every_form_says_the_same(full: Path) -> None:
    import pyarrow.parquet as pq

    table = [json.loads(line) for line in written(full, "jsonl").splitlines()]
    parquet = pq.read_table(io.BytesIO(written(full, "parquet")))
    columns = parquet.to_pylist()
    assert {str(parquet.schema.field(name).type) for name in MOMENTS} == {"timestamp[us, tz=UTC]"}
    for row, line in zip(columns, table, strict=True):
        row |= {name: None if row[name] is None else exact(int(row[name] * 10**24)) for name in MONEY}
        assert [row[name] for name in MOMENTS] == [datetime.fromisoformat(line[name]) for name in MOMENTS]
        row |= {name: line[name] for name in MOMENTS}
    assert columns == table
    text = list(csv.DictReader(io.StringIO(written(full, "csv").decode(), newline="")))
    assert [["" if row[name] is None else str(harmless(row[name])) for name in COLUMNS] for row in table] == [
        list(row.values()) for row in text
    ]


async def test_no_cell_of_a_spreadsheet_is_a_formula(full: Path) -> None:
    table = list(csv.DictReader(io.StringIO(written(full, "csv").decode(), newline="")))
    told = {row["x_requested_model"] for row in table}
    assert {f"'{evil}" for evil in EVIL} <= told
    assert {f"'{evil}" for evil in EVIL} <= {row["x_domain"] for row in table}
    numbers = {"x_attempt"}
    cells = [cell for row in table for name, cell in row.items() if name not in numbers]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))]


async def test_what_is_not_there_is_null_and_no_empty_text(full: Path) -> None:
    table = [json.loads(line) for line in written(full, "jsonl").splitlines()]
    assert {row["ChargeClass"] for row in table} == {None}
    assert not [name for row in table for name, value in row.items() if value == ""]


async def test_an_empty_period_is_only_a_head(full: Path) -> None:
    assert written(full, "csv", START_US + 90 * HOUR_US) == (",".join(COLUMNS) + "\r\n").encode()
    assert written(full, "jsonl", START_US + 90 * HOUR_US) == b""


async def test_a_missing_library_is_one_clear_line(full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ShoalError, match=re.escape(install("parquet"))):
        written(full, "parquet")


@pytest.mark.parametrize(
    ("nusd", "text"), [(0, "0.000000000"), (1, "0.000000001"), (12_345_678_901, "12.345678901"), (-5, "-0.000000005")]
)
def test_money_is_exact(nusd: int, text: str) -> None:
    assert usd(nusd) == text


@pytest.mark.parametrize(
    ("yusd", "text"),
    [
        (1, "0.000000000000000000000001"),
        (-541_666_666_664_500, "-0.0000000005416666666645"),
        (10**24 + 10**15, "1.000000001"),
        (10**15 + 10**14, "0.0000000011"),
    ],
)
def test_less_than_a_nano_dollar_is_exact(yusd: int, text: str) -> None:
    assert exact(yusd) == text


async def test_what_has_no_price_costs_nothing_known(full: Path) -> None:
    for row in map(json.loads, written(full, "jsonl").splitlines()):
        unknown = row["x_attempt"] >= 0 and not row["x_price_version"]
        assert [row[name] is None for name in MONEY] == [unknown] * len(MONEY)
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"] == "2026-12-01T00:00:00Z"


MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory",
    "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost",
    "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
)  # fmt: skip
"""Columns of FOCUS 1.2 that may never be null."""


async def test_machines_of_ones_own_are_in_no_invoice_and_what_is_avoidable_is_told(full: Path) -> None:
    table = [json.loads(line) for line in written(full, "jsonl").splitlines()]
    priced = [row for row in table if row["x_price_version"]]
    assert {row["SkuId"] for row in priced} == {"law", "big", "router"}
    assert {row["x_price_version"] for row in priced if row["SkuId"] == "router"} == {"0.3 USD/kWh"}
    share_ppm = json.loads(Tariffs.of_registry(registry()).terms.body)["experts"]["big"]["avoidable_ppm"]
    assert 0 < share_ppm < 1_000_000
    for row in priced:
        own, cost = row["SkuId"] in ("big", "router"), Decimal(row["EffectiveCost"])
        for name in ("BilledCost", "ContractedCost", "ListCost"):
            assert Decimal(row[name]) == (0 if own else cost)
        kept_ppm = share_ppm if row["SkuId"] == "big" else 1_000_000
        assert Decimal(row["x_avoidable_cost"]) == cost * kept_ppm / 1_000_000
    for row in (each for each in table if each["x_price_version"] or each["x_attempt"] == -1):
        assert [name for name in MANDATORY if not row[name]] == []


async def test_an_expert_of_old_that_was_called_as_the_router_is_told_from_it(full: Path) -> None:
    before = [json.loads(line) for line in written(full, "jsonl").splitlines()]
    with closing(sqlite3.connect(full)) as connection, connection:
        connection.execute("UPDATE names SET name = 'router' WHERE name = 'law'")
    after = [json.loads(line) for line in written(full, "jsonl").splitlines()]
    named = {"law": "expert:router"}
    assert [row["SkuId"] for row in after] == [named.get(row["SkuId"], row["SkuId"]) for row in before]
    assert {row["x_attempt"] == -1 for row in after if row["SkuId"] == "router"} == {True}
    assert "expert:router" in {row["SkuId"] for row in after}


async def test_a_provider_is_who_made_the_expert_available_and_no_name_of_ours(path: Path) -> None:
    """By whose list it is charged, the installation itself, or unknown: what an expert is called here is its SkuId."""
    listed = tuple(
        each.model_copy(update={"price": list_price("openai/gpt-4o")}) if each.id == "law" else each
        for each in registry().experts
    )
    await fill(
        path,
        [*entries(Tariffs.of_registry(registry()), 60), *entries(Tariffs.of_registry(registry(experts=listed)), 60, 1)],
    )
    table = [json.loads(line) for line in written(path, "jsonl").splitlines()]
    told = {(row["SkuId"], row["ProviderName"]) for row in table}
    assert told >= {("law", "unknown"), ("law", "openai"), ("big", "Shoal"), ("sql", "Shoal"), ("router", "Shoal")}
    assert {provider for _, provider in told} == {"unknown", "openai", "Shoal"}
    for row in table:
        assert row["ProviderName"] == row["PublisherName"] == row["InvoiceIssuerName"]


async def test_moments_are_of_focus_and_no_charge_period_is_empty(full: Path) -> None:
    table = [json.loads(line) for line in written(full, "jsonl").splitlines()]
    for row in table:
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row[name]) for name in MOMENTS)
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"], "its end is not included"


async def test_a_price_version_names_one_price(path: Path) -> None:
    """Though only the numbers of a price were changed, and nothing of what it says of its source."""
    dear = tuple(
        each.model_copy(update={"price": each.price.model_copy(update={"output_usd_per_mtok": 1.2})})
        if isinstance(each, OpenAISpec) and each.price else each
        for each in registry().experts
    )  # fmt: skip
    before, after = Tariffs.of_registry(registry()), Tariffs.of_registry(registry(experts=dear))
    await fill(path, [*entries(before, 60), *entries(after, 60, 1)])
    with closing(read_ledger(path)) as connection:
        table = [row for row in rows(connection, None, None, {}) if row["SkuId"] == "law" and row["x_output_tokens"]]
        assert audit(connection, KEY).findings == []
    prices = {"0.6": before.of("law").price, "1.2": after.of("law").price}
    for out, price in prices.items():
        version = f"list 2026-01-01, USD/Mtok 0.15 in, {out} out, 0.075 cached"
        charged = [row for row in table if row["x_price_version"] == version]
        assert len(charged) > 10
        for row in charged:
            nusd = cost_nusd(price, row["x_input_tokens"], row["x_output_tokens"], row["x_cached_tokens"])
            assert row["EffectiveCost"] == usd(nusd)


async def test_how_a_request_was_drawn_and_who_counted_is_told(path: Path) -> None:
    traffic = list(entries(Tariffs.of_registry(registry()), 60, held=True))
    await fill(path, traffic)
    kept = {intent.request_id: intent.draw for intent, _ in traffic}
    table = [json.loads(line) for line in written(path, "jsonl").splitlines()]
    assert {row["x_arm"] for row in table} >= {"normal", "holdback"}
    for row in table:
        draw = kept[row["x_request_id"]] or Draw(Arm.NORMAL)
        talk = draw.conversation.hex() if draw.conversation else None
        assert (row["x_arm"], row["x_pi_ppm"], row["x_conversation"]) == (draw.arm.name.lower(), draw.rate_ppm, talk)
    counted = {intent_attempt.token_source for _, ended in traffic for intent_attempt in ended.attempts}
    assert {row["x_token_source"] for row in table if row["x_attempt"] >= 0} == counted


async def test_cached_written_and_reasoning_tokens_are_in_rows_and_reports_alike(path: Path) -> None:
    traffic = list(entries(Tariffs.of_registry(registry()), 30))
    for number, (_, ended) in enumerate(traffic):
        for made in ended.attempts:
            made.cached_tokens, made.reasoning_tokens = made.input_tokens // 3, made.output_tokens // (2 + number % 2)
            made.cache_write_tokens = made.input_tokens // (4 + number % 2)
    await fill(path, traffic)
    table = [json.loads(line) for line in written(path, "jsonl").splitlines()]
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection:
        rows_say = report(connection, None, None, "domain")
        for hour in due(connection, START_US + 40 * HOUR_US):
            await ledger.roll_up(add_up(connection, hour))
        sums_say = report(connection, None, None, "domain")
    await ledger.aclose()
    for kind in ("cached", "cache_write", "reasoning"):
        went_in = sum(getattr(made, f"{kind}_tokens") for _, ended in traffic for made in ended.attempts)
        assert sum(row[f"x_{kind}_tokens"] for row in table) == went_in > 0
        for found in (rows_say.to_json(), sums_say.to_json()):
            assert found[f"{kind}_tokens"] == went_in
            for parts in ("by_expert", "groups"):
                assert sum(part[f"{kind}_tokens"] for part in found[parts].values()) == went_in
    text = io.StringIO()
    Console(width=200, file=text).print(render(rows_say))
    assert f"Of the tokens written {sums_say.total.reasoning_tokens:,} were reasoning." in text.getvalue()
    written_into = f"Of the tokens read {sums_say.total.cache_write_tokens:,} were written into a provider's cache."
    assert written_into in text.getvalue()


async def test_keys_are_named_beside_their_ids(full: Path) -> None:
    named = {
        (row["SubAccountId"], row["SubAccountName"]) for row in map(json.loads, written(full, "jsonl").splitlines())
    }
    assert named == {("team-a", "Team =A"), ("team-b", None), (None, None)}


async def test_rows_that_are_gone_are_counted(full: Path) -> None:
    ledger = Ledger.open(full)
    with closing(ledger.read()) as connection:
        for hour in due(connection, START_US + 40 * HOUR_US):
            await ledger.roll_up(add_up(connection, hour))
    removed = await ledger.prune(START_US + 3 * HOUR_US)
    with closing(ledger.read()) as connection:
        assert only_in_sums(connection, None, None) == removed > 0
        assert only_in_sums(connection, START_US + 3 * HOUR_US, None) == 0
        told = [report(connection, None, None, own=key).to_json()["only_in_sums"] for key in ("team-a", "team-b")]
        assert 0 < sum(told) < removed, "some were asked without a key"
        found = report(connection, None, None)
        assert found.to_json()["only_in_sums"] == removed
        assert report(connection, START_US + 3 * HOUR_US, None).to_json()["only_in_sums"] == 0
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(render(found))
    assert f"Of {removed} requests only sums are left" in console.export_text()
    await ledger.aclose()


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ShoalError("no library")

    out = tmp_path / "rows.csv"
    out.write_text("before")
    with pytest.raises(ShoalError, match="no library"):
        write_there("--out", out, broken())
    assert [each.name for each in tmp_path.iterdir()] == ["rows.csv"]
    assert out.read_text() == "before"
    write_there("--out", out, [b"new"])
    assert out.read_bytes() == b"new"
    with pytest.raises(ShoalError, match="cannot be written: No such file"):
        write_there("--out", tmp_path / "none" / "rows.csv", [b"new"])
