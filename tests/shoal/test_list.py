"""`shoal registry list`: what a token takes by the table, of experts that give only size, engine and typical batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experts.registry import load_registry
from router.meter.coefficients import HOST_FACTOR
from router.meter.units import watt_hours
from tests.service.server import ROOT, write_registry
from tests.shoal.test_main import shoal

SIZES = """
  - {id: dense, kind: openai, description: d, url: "http://127.0.0.1:1/v1", model: m, context: 4096, params_b: 70,
     runs_on: h100, batch: 64}
  - {id: sparse, kind: openai, description: d, url: "http://127.0.0.1:1/v1", model: m, context: 4096, params_b: 3.3,
     total_params_b: 30.5, runs_on: b200, batch: 32, weight_bits: 8}
  - {id: own, kind: openai, description: d, url: "http://127.0.0.1:1/v1", model: m, context: 4096, params_b: 8,
     energy: {input_j_per_token: 0.1, output_j_per_token: 0.2, source: a plug meter, as_of: 2026-11-01}}
"""


def test_size_engine_and_batch_are_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + SIZES)
    assert shoal(monkeypatch, "registry", "list", "--json", "--registry", str(path)) == 0
    told = {each["id"]: each["energy_of_a_token"] for each in json.loads(capsys.readouterr().out)}
    assert told["poet"] is None, "it works in the router"
    dense = told["dense"]
    assert dense["output_j_per_token"] == pytest.approx(0.86 * HOST_FACTOR, rel=0.05)  # metering's published table
    assert dense["input_j_per_token"] == pytest.approx(0.18 * HOST_FACTOR, rel=0.05)
    assert "table by size: 70B, batch 64; fit to ML.ENERGY v3, H100" in dense["source"]
    assert told["sparse"]["output_j_per_token"] < dense["output_j_per_token"]
    assert told["own"] == {
        "input_j_per_token": 0.1, "output_j_per_token": 0.2, "source": "a plug meter", "as_of": "2026-11-01",
    }  # fmt: skip
    assert shoal(monkeypatch, "registry", "list", "--registry", str(path)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"dense takes {watt_hours(1e6 * dense['input_j_per_token'])} a token read and " in printed
    assert (
        "own takes 27.8 µWh a token read and 55.6 µWh a token written where nothing measures it: a plug meter"
        in printed
    )


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_word_is_broken_and_no_line_too_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    """The default registry; all that is written of its experts stands in the table or below it, word by word."""
    monkeypatch.setenv("COLUMNS", str(columns))
    path = ROOT / "registry.yaml"
    assert shoal(monkeypatch, "registry", "list", "--registry", str(path)) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    written = {word.strip(",;") for word in shown.split()}
    for spec in load_registry(path, {}).registry.experts:
        assert {spec.id, spec.kind, *spec.description.replace(",", "").split(), *spec.capabilities} <= written
    assert "where a request names no limit it writes 512 tokens at most" in " ".join(shown.split())
