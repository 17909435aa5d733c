"""Money says the same wherever it is told: receipt, report, dashboard, export, metrics, audit."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.collector import Collector
from tests.service.server import Server, eventually, write_registry
from tests.service.test_metrics import samples, say


def test_the_encoder_costs_the_same_everywhere(start: Callable[..., Server], tmp_path: Path) -> None:
    """It works inside the router, as experts that read the request vector do: it costs nothing of its own."""
    server = start(write_registry(tmp_path))
    with server.client() as client:
        client.embeddings.create(model="encoder", input="the sea")
    report = server.report()
    one = report["by_expert"]["encoder"]
    assert (one["cost_usd"], one["priced"], report["no_price"], report["cost_usd"]) == (0.0, True, [], 0.0)
    rows = [json.loads(line) for line in server.shoal("meter", "export", "--json").stdout.splitlines()]
    (row,) = (row for row in rows if row["SkuId"] == "encoder")
    assert (row["EffectiveCost"], row["BilledCost"], row["x_price_version"]) == (
        "0.000000000", "0.000000000", "inside the router",
    )  # fmt: skip
    assert samples(server)["shoal_cost_total", "encoder", "usd"] == 0
    assert sum(json.loads(server.get("/v1/dashboard")[1])["series"]["spent"]["cost_usd"]) == 0
    assert server.shoal("meter", "audit").returncode == 0


def test_the_routers_electricity_costs_the_same_everywhere(start: Callable[..., Server], tmp_path: Path) -> None:
    """Less than a nano-dollar a request, and not a digit of it is lost on the way; a price told later begins then."""
    path = write_registry(tmp_path)
    plain = path.read_text()
    server = start(path)

    def ask(text: str) -> dict[str, Any]:
        body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
        receipt: dict[str, Any] = server.post("/v1/chat/completions", body)[1]["shoal"]
        return receipt

    assert ask("write a poem about nothing")["router_cost_usd"] is None
    assert ("shoal_cost_total", "router", "usd") not in samples(server)
    assert (server.report()["router"]["cost_usd"], server.report()["router"]["priced"]) == (0.0, False)
    priced = re.sub(r"(?m)^power: \{", "power: {usd_per_kwh: 0.30, ", plain)
    assert priced != plain
    path.write_text(priced)
    server.wait(lambda: ask("write a poem about the wind")["router_cost_usd"] is not None)
    before, shown = exported(server), samples(server)["shoal_cost_total", "router", "usd"]
    receipts = [ask(f"write a poem about the sea, number {number}") for number in range(3)]
    rows = [row for row in exported(server) if row not in before]
    own = [row for row in rows if row["SkuId"] == "router"]
    assert len(own) == 3
    for receipt, row in zip(receipts, own, strict=True):
        cost_yusd = (
            row["x_energy_uj"] * 83_333_333_333
        )  # at 30 cents a kilowatt hour a joule costs so many atto-dollars
        assert Decimal(row["EffectiveCost"]).scaleb(24) == cost_yusd > 0
        assert receipt["router_cost_usd"] == cost_yusd / 10**24 < 1e-7
        attempts = [each for each in rows if each["x_request_id"] == row["x_request_id"] and each["x_attempt"] >= 0]
        whole = sum(Decimal(each["EffectiveCost"]) for each in (row, *attempts))
        assert receipt["cost_usd"] == receipt["avoidable_usd"] == float(whole)
    told = samples(server)["shoal_cost_total", "router", "usd"]
    assert told - shown == pytest.approx(1e6 * sum(receipt["router_cost_usd"] for receipt in receipts))
    every = sum(Decimal(row["EffectiveCost"] or 0) for row in exported(server))
    board = json.loads(server.get("/v1/dashboard")[1])["totals"]
    report, meter = server.report(), json.loads(server.get("/v1/meter")[1])
    assert report["cost_usd"] == meter["cost_usd"] == board["cost_usd"] == float(every)
    assert report["router"] == meter["router"] == board["router"]
    assert report["router"]["cost_usd"] == pytest.approx(told / 1e6, rel=1e-12)
    assert server.shoal("meter", "audit").returncode == 0


def exported(server: Server) -> list[dict[str, Any]]:
    """Every row, as JSON tells it."""
    return [json.loads(line) for line in server.shoal("meter", "export", "--json").stdout.splitlines()]


def test_what_nobody_heard_is_paid_for_everywhere(start: Callable[..., Server], tmp_path: Path) -> None:
    """Attempts that were thrown away, what ran beside those held back, and the router: in every sum, and told apart."""
    path = write_registry(tmp_path)
    text = path.read_text().replace("power: {", "power: {usd_per_kwh: 0.30, ")
    path.write_text(text + "savings: {holdback: 0.5}\n")
    quick = {"OTEL_METRIC_EXPORT_INTERVAL": "200"}
    with Collector() as collector:
        server = start(path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, **quick)
        for number in range(8):
            say(server, f"write a poem about the sea, number {number}")
            say(server, f"poem about rain BREAK, number {number}")
        eventually(lambda: server.report()["by_expert"]["poet"]["attempts"] == 16)
        told = samples(server)
        board, meter = json.loads(server.get("/v1/dashboard")[1]), json.loads(server.get("/v1/meter")[1])
        server.stop()
        points = collector.metrics()["shoal.cost"].sum.data_points
    report, rows = server.report(), exported(server)
    kinds = {"answers": "answer", "discarded": "discarded", "shadow": "shadow", "router": "choosing who answers"}
    paid = {
        kind: [Decimal(r["EffectiveCost"] or 0) for r in rows if r["ChargeDescription"] == kinds[kind]]
        for kind in kinds
    }
    assert all(paid.values()), "there was some of each"
    assert {kind: part["cost_usd"] for kind, part in report["charged"].items()} == {
        kind: float(sum(paid[kind])) for kind in ("answers", "discarded", "shadow")
    }
    assert report["router"]["cost_usd"] == float(sum(paid["router"])) > 0 < sum(paid["shadow"])
    every = float(sum(map(sum, paid.values())))
    assert report["cost_usd"] == meter["cost_usd"] == board["totals"]["cost_usd"] == every
    assert sum(board["series"]["spent"]["cost_usd"]) == pytest.approx(every, rel=1e-12)
    shown = sum(value for (name, *_), value in told.items() if name == "shoal_cost_total")
    assert shown / 1e6 == pytest.approx(every, rel=1e-12)
    assert sum(point.as_double for point in points) == pytest.approx(every, rel=1e-12)
    spent = report["savings"]["same_token_guess"]["spent"]["cost_usd"]
    assert spent == pytest.approx(every, rel=1e-12), "all was routed, and all of it is set against what was saved"
    assert server.shoal("meter", "audit").returncode == 0
