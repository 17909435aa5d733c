from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eval.regression import allowances, assumed, tolerance, worse
from shoal.evaluate import app

FIGURES: dict[str, dict[str, Any]] = {
    "apgr": {"value": 0.70, "low": 0.66, "high": 0.74, "seeds": [0.69, 0.70, 0.71], "better": "more", "title": "APGR"},
    "cpt50": {"value": 30.0, "low": 26.0, "high": 34.0, "seeds": [30.0], "better": "less", "title": "calls for half"},
}


def record(**values: float | None) -> dict[str, Any]:
    figures = {name: {**figure, "value": values.get(name, figure["value"])} for name, figure in FIGURES.items()}
    return {"id": "two", "seeds": [0], "figures": figures, "detail": {}}


def test_noise_is_what_the_seeds_say_and_never_less_than_rounding() -> None:
    assert tolerance(FIGURES["apgr"]) == pytest.approx(2 * 0.01 * (2 / 3) ** 0.5)
    assert tolerance(FIGURES["cpt50"]) == pytest.approx(0.05 * 8)


def test_what_noise_is_assumed_is_said() -> None:
    even = {**FIGURES["apgr"], "seeds": [0.7, 0.7, 0.7]}
    assert [assumed(each) for each in (*FIGURES.values(), even)] == [
        "2 standard errors over 3 seeds",
        "5% of its interval: one seed tells no noise",
        "5% of its interval",
    ]
    never = {**FIGURES["apgr"], "value": None, "low": None, "high": None, "seeds": [None]}
    told = allowances({"figures": {**FIGURES, "never": never}})
    assert set(told) == {"apgr", "cpt50"}
    assert told["cpt50"]["by"] == tolerance(FIGURES["cpt50"])


@pytest.mark.parametrize(
    ("now", "named"),
    [
        ({}, []),
        ({"apgr": 0.69}, []),
        ({"apgr": 0.80, "cpt50": 20.0}, []),
        ({"apgr": 0.68}, ["APGR"]),
        ({"cpt50": 30.3}, []),
        ({"cpt50": 30.5}, ["calls for half (cpt50)"]),
        ({"apgr": 0.5, "cpt50": 40.0}, ["APGR", "calls for half (cpt50)"]),
        ({"apgr": None}, ["APGR"]),
    ],
)
def test_only_what_is_worse_beyond_noise_is_named(now: dict[str, float | None], named: list[str]) -> None:
    assert [line.partition(":")[0] for line in worse(record(), record(**now))] == named


def test_a_figure_that_is_gone_is_named() -> None:
    lacking = record()
    del lacking["figures"]["apgr"]
    assert list(worse(record(), lacking)) == ["APGR: is not measured any more (was 0.7)"]


def test_the_gate_fails_a_build(tmp_path: Path) -> None:
    was, same, bad, other = (tmp_path / name for name in ("was.json", "same.json", "bad.json", "other.json"))
    was.write_text(json.dumps(record()))
    same.write_text(json.dumps(record()))
    bad.write_text(json.dumps(record(apgr=0.5)))
    other.write_text(json.dumps({**record(), "id": "other"}))
    run = CliRunner()
    passed = run.invoke(app, ["check", "--against", str(was), "--current", str(same)])
    assert passed.exit_code == 0
    assert "cpt50: 0.4 (5% of its interval: one seed tells no noise)" in passed.output
    failed = run.invoke(app, ["check", "--against", str(was), "--current", str(bad)])
    assert failed.exit_code == 1
    assert "two: APGR: 0.5, was 0.7, worse by more than 0.01633 (2 standard errors over 3 seeds)" in failed.output
    said = run.invoke(app, ["check", "--against", str(was), "--current", str(bad), "--json"])
    assert said.exit_code == 1
    assert len(json.loads(said.stdout)["worse"]) == 1
    assert set(json.loads(said.stdout)["allowed"]) == {"apgr", "cpt50"}
    assert run.invoke(app, ["check", "--against", str(was), "--current", str(other)]).exit_code == 2
