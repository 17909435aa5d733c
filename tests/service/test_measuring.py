"""Counters in a server that runs: what a start says of them, and joules from a card's counter to every report."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.counters.sampler import find_readers
from tests.collector import Collector, values
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.service.test_ledger import eventually
from tests.service.test_metrics import total

CARD_W = 80

LIBRARY = f'''
"""NVML as its Python binding shows it, of one card that takes {CARD_W} W: a machine without one has no other."""
import time

class NVMLError(Exception):
    pass

def nvmlInit():
    pass

def nvmlShutdown():
    pass

def nvmlDeviceGetCount():
    return 1

def nvmlDeviceGetHandleByIndex(index):
    return index

def nvmlDeviceGetTotalEnergyConsumption(handle):
    return time.monotonic_ns() * {CARD_W} // 1_000_000

def nvmlDeviceGetUtilizationRates(handle):
    raise NVMLError("Not Supported")
'''


def test_a_device_without_a_counter_is_told_with_the_remedy(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    text = path.read_text().replace("id: poet", "id: poet\n    device: gpu:77", 1)
    path.write_text(text.replace("id: cook", "id: cook\n    device: cpu", 1))
    log = start(path).log()
    assert "expert cook: what it takes of the processor is not known" in log
    assert "expert poet: no counter of its device gpu:77 can be read here" in log
    assert "'.[nvidia]'" in log
    assert ("energy is measured: " in log) == bool(find_readers())
    assert ("energy is not measured: this machine has no readable counter" in log) != bool(find_readers())


def test_a_cards_joules_reach_rows_reports_metrics_and_the_collector(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "pynvml.py").write_text(LIBRARY)
    with Collector() as collector, distant_upstream() as upstream:
        path = write_registry(tmp_path)
        local = path.read_text().split("  - id: big", 1)[0]
        big = (
            f"id: big, kind: openai, description: Beside us, url: {upstream.url}, model: ok, params_b: 8, "
            'context: 4096, device: "gpu:0"'
        )
        local = re.sub("^power: {", "power: {idle_w: 30, ", local, flags=re.MULTILINE)
        path.write_text(f"{local}  - {{{big}}}\n")
        server = start(
            path, PYTHONPATH=str(tmp_path), OTEL_EXPORTER_OTLP_ENDPOINT=collector.address,
            OTEL_METRIC_EXPORT_INTERVAL="200",
        )  # fmt: skip
        assert re.search("energy is measured: .*gpu:0", server.log())
        answers = [
            server.post("/v1/chat/completions", {"model": "big", "messages": [{"role": "user", "content": "hello"}]})
            for _ in range(5)
        ]
        assert [answer[0] for answer in answers] == [200] * 5
        assert {answer[1]["shoal"]["energy_final"] for answer in answers} == {False}
        assert {answer[1]["shoal"]["energy_source"] for answer in answers} == {"table"}
        eventually(lambda: server.report()["energy_by_method"].keys() == {"measured", "modelled"})
        report = server.report()
        assert report["by_expert"]["big"]["energy_by_method"] == {"measured": report["by_expert"]["big"]["energy_j"]}
        assert total(server, "shoal_energy_joules_total") == pytest.approx(report["energy_j"], rel=1e-9)
        assert total(server, "shoal_co2_grams_total") == pytest.approx(report["co2_g"], rel=1e-9)
        audited = server.shoal("meter", "audit", "--json")
        assert audited.returncode == 0, audited.stdout
        server.stop()
        metrics = collector.metrics()
    with closing(sqlite3.connect(server.ledger)) as connection:
        parts = connection.execute(
            "SELECT sum(counter_uj), sum(attempts_uj + router_uj + idle_uj + other_uj) FROM device_hours"
        ).fetchone()
    assert parts[0] == parts[1] > 0
    told = {values(p.attributes)["shoal.source"]: p.as_double for p in metrics["shoal.energy"].sum.data_points}
    assert told["measured"] == pytest.approx(report["by_expert"]["big"]["energy_j"])
    of_card = {"hw.id": "gpu:0", "hw.type": "gpu", "shoal.source": "measured"}
    (card_j,) = (p.as_double for p in metrics["hw.energy"].sum.data_points if values(p.attributes) == of_card)
    assert 0 < round(card_j * 1e6) <= parts[0], "a float that counted up may be off in its last digit"
