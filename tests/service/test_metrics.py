"""GET /metrics of a real server: the ledger's own figures, and no series for what clients make up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.server import Server, write_registry
from tests.service.test_ledger import eventually

CANARY = "zebrafink-4711"


def samples(server: Server) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels."""
    status, body = server.get("/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def total(server: Server, name: str) -> float:
    """A counter over all its labels."""
    return sum(value for (sample, *_), value in samples(server).items() if sample == name)


def say(server: Server, text: str, model: str = "auto") -> int:
    """The status of one request."""
    return server.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}]})[0]


def test_counters_equal_the_ledger_shadows_included(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "savings: {holdback: 0.5}\n")
    server = start(path)
    for number in range(12):
        assert say(server, f"write a poem about the sea, number {number}") == 200
    assert say(server, "poem about rain BREAK") == 200
    # A small path that runs beside an answer is in the ledger a moment after it; the poet is asked thirteen times.
    eventually(lambda: server.report()["by_expert"]["poet"]["attempts"] == 13)
    report = server.report()
    assert report["charged"]["shadow"]["cost_usd"] > 0
    assert total(server, "shoal_requests_total") == report["requests"]
    assert total(server, "shoal_tokens_total") == report["input_tokens"] + report["output_tokens"]
    assert total(server, "shoal_cost_total") / 1e6 == pytest.approx(report["cost_usd"], rel=1e-12)
    assert total(server, "shoal_energy_joules_total") == pytest.approx(report["energy_j"], rel=1e-12)
    assert total(server, "shoal_co2_grams_total") == pytest.approx(report["co2_g"], rel=1e-12)
    assert total(server, "shoal_meter_pending") == 0
    assert total(server, "shoal_meter_write_failures_total") == 0


def test_what_clients_make_up_is_no_label(shared: Server) -> None:
    assert say(shared, "a haiku on autumn", model="poet") == 200
    before = samples(shared)
    for number in range(200):
        assert say(shared, CANARY, model=f"{CANARY}-{number}") == 404
    assert {name for name in samples(shared) if not name[0].startswith("process_")} <= set(before)
    assert CANARY not in shared.get("/metrics")[1].decode()
