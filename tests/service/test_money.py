"""Money says the same wherever it is told: receipt, report, dashboard, export, metrics, audit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.service.server import Server, write_registry
from tests.service.test_metrics import samples


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
