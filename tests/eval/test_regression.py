from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eval.plan import PlanError, read_record
from eval.regression import allowances, assumed, tolerance, worse
from shoal.evaluate import app

RESULTS = Path(__file__).resolve().parents[2] / "eval" / "results"

FIGURES: dict[str, dict[str, Any]] = {
    "apgr": {"value": 0.70, "low": 0.66, "high": 0.74, "seeds": [0.69, 0.70, 0.71], "better": "more", "title": "APGR"},
    "cpt50": {"value": 30.0, "low": 26.0, "high": 34.0, "seeds": [30.0], "better": "less", "title": "calls for half"},
}


def record(**values: float | None) -> dict[str, Any]:
    figures = {name: {**figure, "value": values.get(name, figure["value"])} for name, figure in FIGURES.items()}
    return {"id": "two", "seeds": [0], "figures": figures, "detail": {}}


def test_noise_is_what_the_seeds_say_and_never_less_than_rounding() -> None:
    assert tolerance(FIGURES["apgr"]) == pytest.approx(2 * 0.01 * (2 / 3) ** 0.5)
    even = {**FIGURES["apgr"], "seeds": [0.7, 0.7, 0.7]}
    assert tolerance(even) == pytest.approx(0.05 * 0.08)


def test_one_seed_goes_by_its_own_interval_on_the_worse_side() -> None:
    lopsided = {**FIGURES["cpt50"], "low": 20.0, "high": 34.0}
    assert tolerance(lopsided) == pytest.approx(4)
    assert tolerance({**lopsided, "better": "more"}) == pytest.approx(10)
    assert tolerance({**lopsided, "high": 30.1}) == pytest.approx(0.05 * 10.1), "rounding in any case"
    assert tolerance({**lopsided, "low": None, "high": None}) == 0


def test_noise_of_one_seed_passes_and_a_real_loss_does_not() -> None:
    """Of a record that is shipped: every figure at the worse end of its interval, then twice as far."""
    recorded = read_record(RESULTS / "clinc150.json")
    assert len(recorded["seeds"]) == 1

    def moved(share: float) -> dict[str, Any]:
        figures = {
            name: {
                **each,
                "value": each["value"] + share * (each["low" if each["better"] == "more" else "high"] - each["value"]),
            }
            for name, each in recorded["figures"].items()
        }
        return {**recorded, "figures": figures}

    assert list(worse(recorded, moved(0.99))) == []
    assert len(list(worse(recorded, moved(2)))) == len(recorded["figures"])


def test_what_noise_is_assumed_is_said() -> None:
    even = {**FIGURES["apgr"], "seeds": [0.7, 0.7, 0.7]}
    assert [assumed(each) for each in (*FIGURES.values(), even)] == [
        "2 standard errors over 3 seeds",
        "one seed: its own interval",
        "5% of its interval",
    ]
    none = {"low": None, "high": None}
    assert assumed({**FIGURES["cpt50"], **none}) == "one seed, and no interval"
    assert assumed({**even, **none}) == "no interval, and seeds that agree"
    assert assumed({**FIGURES["apgr"], **none}) == "2 standard errors over 3 seeds"
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
        ({"cpt50": 33.9}, []),
        ({"cpt50": 34.1}, ["calls for half (cpt50)"]),
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
    assert "cpt50: 4 (one seed: its own interval)" in passed.output
    failed = run.invoke(app, ["check", "--against", str(was), "--current", str(bad)])
    assert failed.exit_code == 1
    assert "two: APGR: 0.5, was 0.7, worse by more than 0.01633 (2 standard errors over 3 seeds)" in failed.output
    said = run.invoke(app, ["check", "--against", str(was), "--current", str(bad), "--json"])
    assert said.exit_code == 1
    assert len(json.loads(said.stdout)["worse"]) == 1
    assert set(json.loads(said.stdout)["allowed"]) == {"apgr", "cpt50"}
    assert run.invoke(app, ["check", "--against", str(was), "--current", str(other)]).exit_code == 2


@pytest.mark.parametrize("figures", [{}, record(apgr=None, cpt50=None)["figures"]])
def test_a_record_that_nothing_can_be_compared_with_passes_no_build(tmp_path: Path, figures: dict[str, Any]) -> None:
    was = tmp_path / "was.json"
    was.write_text(json.dumps({**record(), "figures": figures}))
    done = CliRunner().invoke(app, ["check", "--against", str(was), "--current", str(was)])
    assert isinstance(done.exception, PlanError)
    assert str(done.exception).startswith(f"{was}: no figure of it has a value, so nothing can be compared. Remedy: ")


@pytest.mark.parametrize(
    ("now", "code", "said"),
    [
        ({"data_sha256": "b" * 64}, 1, "measured on other data (sha256 bbbbbbbbbbbb, was aaaaaaaaaaaa)"),
        ({"seeds": [0, 1]}, 1, "measured with other seeds (0, 1, was 0): not the same figures. Remedy: "),
        ({"encoder": "d" * 64}, 0, "measured with another encoder (dddddddddddd, was cccccccccccc)"),
        ({"registry": "2"}, 0, "measured with another registry (2, was 1)"),
        ({}, 0, ""),
    ],
)
def test_figures_of_something_else_are_not_compared_without_a_word(
    tmp_path: Path, now: dict[str, Any], code: int, said: str
) -> None:
    rests_on = {"data_sha256": "a" * 64, "encoder": "c" * 64, "registry": "1"}
    was, current = tmp_path / "was.json", tmp_path / "current.json"
    was.write_text(json.dumps(record() | rests_on))
    current.write_text(json.dumps(record() | rests_on | now))
    asked = ["check", "--against", str(was), "--current", str(current)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == code
    assert said in done.output
    assert ("measured" in done.output) is bool(now)
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert (told["worse"], len(told["unlike"]), len(told["changed"])) == ([], code, len(now) - code)
