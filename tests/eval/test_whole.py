"""A small plan, measured for real: the shipped encoder, the product's judge, files made here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval import runs
from eval.plan import Figure, Plan, PlanError, RequestsRun, read_plan
from eval.requests import REQUESTS
from eval.runs import Bench
from eval.whole import measure, measure_one
from experts.registry import load_registry
from router.encode import Encoder
from shoal.evaluate import app

ROOT = Path(__file__).resolve().parents[2]
TOPICS = {
    "weather": "Will it {} tomorrow in {}?",
    "cooking": "How do I {} a cake from {}?",
    "travel": "Book a train to {1} so that I can {0}",
}
DOING, PLACES = ("rain", "snow", "freeze", "thaw", "clear up", "bake", "cool"), ("Oslo", "Rome", "Lima", "Bern", "Kyiv")

PLAN = """
seeds: [0, 1]
runs:
  - id: intents
    title: three topics
    kind: labels
    file: intents.jsonl
    figures:
      accuracy: {title: accuracy, unit: "%", better: more, reach: 0.5, aim: 1.01}
      auroc: {title: AUROC, better: more}
    ablate: [centroid, shrinkage, temperature]
    headline: [auroc]
  - id: two
    title: two models
    kind: outcomes
    file: two.jsonl
    fallback: big
    objective: calls
    split: folds
    folds: 2
    figures:
      apgr: {title: APGR, better: more, reach: 0.5}
      ece: {title: ECE, better: less}
      broken: {title: broken, unit: "%", better: less}
      gain_shuffled: {title: gain, unit: points, better: more}
    ablate: [tasks]
    headline: [apgr]
"""


def texts() -> Iterator[tuple[str, str]]:
    for label, shape in TOPICS.items():
        for doing in DOING:
            for place in PLACES:
                yield label, shape.format(doing, place)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    splits = ("train", "train", "train", "test", "validation")
    intents = [{"input": text, "label": label, "split": splits[at % 5]} for at, (label, text) in enumerate(texts())] + [
        {"input": f"zq{at} wv{at * 7} kk", "label": None, "split": ("test", "validation")[at % 2]} for at in range(20)
    ]
    intents.append({**intents[3], "split": "train"})  # a test row that stands in train as well
    rng = np.random.default_rng(0)
    two = [
        {
            "input": text,
            "task": label,
            "outcomes": {
                "small": {"score": int(rng.random() < (0.9 if label == "weather" else 0.2)), "calls": 0},
                "big": {"score": int(rng.random() < 0.9), "calls": 1},
            },
        }
        for label, text in texts()
    ]
    for name, rows in (("intents", intents), ("two", [*two, two[0]])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "plan.yaml").write_text(PLAN)
    return folder


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    loaded = load_registry(ROOT / "registry.yaml", {})
    spec = loaded.registry.encoder
    encoder = Encoder.of(spec)
    return Bench(encoder, loaded, tmp_path_factory.mktemp("kept"), lambda *_: None)


@pytest.fixture(scope="module")
def plan(data: Path) -> Plan:
    return read_plan(data / "plan.yaml")


@pytest.fixture(scope="module")
def made(bench: Bench, plan: Plan, data: Path) -> dict[str, dict[str, Any]]:
    found = measure(bench, plan, plan.runs, data, data / "plan.yaml", data / "out", quick=False)
    return {record["id"]: record for record in found}


def test_a_record_says_what_it_rests_on(made: dict[str, dict[str, Any]], data: Path) -> None:
    record = made["intents"]
    assert json.loads((data / "out" / "intents.json").read_text()) == record
    assert len(record["data_sha256"]) == 64
    assert {"commit", "dirty", "date", "machine", "encoder", "command"} <= set(record)
    assert "registry" not in record, "it does not rest on one"
    assert record["seeds"] == [0, 1]


def test_figures_of_a_registry_say_of_which(bench: Bench, plan: Plan, data: Path) -> None:
    rows = REQUESTS.read_text().splitlines()[:40]
    (data / "asked.jsonl").write_text("\n".join(rows) + "\n")
    figures = {"handled": Figure(title="handled", unit="%", better="more")}
    run = RequestsRun(
        id="asked", title="asked", kind="requests", file="asked.jsonl", seeds=(0,), split="all", figures=figures
    )
    record = measure_one(bench, plan, run, data, data / "plan.yaml")
    assert record["registry"] == bench.registry.version


def test_figures_come_with_intervals_and_what_was_asked(made: dict[str, dict[str, Any]]) -> None:
    accuracy, auroc = (made["intents"]["figures"][name] for name in ("accuracy", "auroc"))
    assert accuracy["seeds"] == [accuracy["value"]] * 2  # nothing is drawn at random
    assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
    assert (accuracy["reached"], accuracy["aim_reached"]) == (True, False)
    assert (auroc["reach"], auroc["reached"]) == (None, None)
    assert made["two"]["figures"]["apgr"]["value"] > 0.5


def test_the_leak_is_dropped_and_said(made: dict[str, dict[str, Any]]) -> None:
    assert made["intents"]["detail"]["dropped"] == 1
    assert made["two"]["detail"]["dropped"] == 1


def test_a_gain_is_told_with_its_doubt(made: dict[str, dict[str, Any]]) -> None:
    verdict = made["two"]["verdict"]["shuffled"]
    assert verdict["beats"] == (verdict["low"] > 0)
    assert made["intents"]["verdict"] == {}


def test_an_ablation_says_what_each_part_earns(made: dict[str, dict[str, Any]]) -> None:
    of_intents = made["intents"]["ablation"]
    assert set(of_intents) == {"centroid", "shrinkage", "temperature"}
    assert of_intents["temperature"]["auroc"] == {"value": 0, "low": 0, "high": 0, "earns": "nothing sure"}
    tasks = made["two"]["ablation"]["tasks"]["apgr"]
    assert tasks["low"] <= tasks["value"] <= tasks["high"]
    assert tasks["earns"] in ("yes", "nothing sure", "harms")


def test_no_text_of_the_data_is_published(made: dict[str, dict[str, Any]]) -> None:
    said = json.dumps(made)
    assert [text for _, text in texts() if text in said] == []


def test_what_was_measured_is_not_measured_again(
    made: dict[str, dict[str, Any]], bench: Bench, plan: Plan, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    for name in ("evaluate_labels", "evaluate_outcomes", "without", "without_parts"):
        monkeypatch.setattr(runs, name, refuse)
    again = measure(bench, plan, plan.runs, data, data / "plan.yaml", data / "out", quick=False)
    assert [record["figures"] for record in again] == [record["figures"] for record in made.values()]
    with (data / "two.jsonl").open("a") as file:
        file.write(json.dumps({"input": "new", "outcomes": {"big": {"score": 1, "calls": 1}}}) + "\n")
    with pytest.raises(AssertionError, match="measured again"):
        measure(bench, plan, plan.runs[1:], data, data / "plan.yaml", data / "out", quick=False)


def test_what_was_measured_and_is_damaged_is_measured_again_with_a_word(
    made: dict[str, dict[str, Any]], bench: Bench, plan: Plan, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = list((bench.folder / "eval").glob("intents-*.json"))
    for each in kept:
        each.write_text(each.read_text()[:50])
    again = measure(bench, plan, plan.runs[:1], data, data / "plan.yaml", data / "out", quick=False)
    assert again[0]["figures"] == made["intents"]["figures"]
    assert f"{kept[0]}: is damaged (" in caplog.text
    assert "so it is measured again" in caplog.text


def test_the_gate_lets_a_run_of_other_settings_not_pass(
    made: dict[str, dict[str, Any]], plan: Plan, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More examples make a worse judge look as good as it was."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    lesser = tmp_path / "plan.yaml"
    lesser.write_text((data / "plan.yaml").read_text().replace("kind: labels", "kind: labels\n    shots: 20"))
    record = str(data / "out" / f"{made['intents']['id']}.json")
    asked = ["check", "--against", record, "--data", str(data), "--plan"]
    other, same = (CliRunner().invoke(app, [*asked, str(path)]) for path in (lesser, data / "plan.yaml"))
    assert (other.exit_code, same.exit_code) == (1, 0)
    assert "intents: measured otherwise (shots 20, was None): not the same figures. Remedy: " in other.output


def test_the_gate_lets_the_same_judge_pass_and_a_worse_one_fail(
    made: dict[str, dict[str, Any]], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    rows = [json.loads(row) for row in (data / "intents.jsonl").read_text().splitlines()]
    for at, row in enumerate(rows):  # every other example is taught wrong
        if row["split"] == "train" and at % 2:
            row["label"] = {"weather": "cooking", "cooking": "travel", "travel": "weather"}[row["label"]]
    (tmp_path / "intents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [
        "check",
        "--against",
        str(data / "out" / f"{made['intents']['id']}.json"),
        "--plan",
        str(data / "plan.yaml"),
    ]
    same, worse = (CliRunner().invoke(app, [*asked, "--data", str(folder)]) for folder in (data, tmp_path))
    assert same.exit_code == 0, same.output
    assert "accuracy: " in same.output and "of its interval" in same.output
    assert worse.exit_code == 1
    assert "intents: accuracy: " in worse.output
    assert "intents: measured on other data (sha256 " in worse.output
    assert "measured on other data" not in same.output


def test_a_figure_of_the_plan_that_is_not_measured_is_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt one was not missed, and a page said that all that were asked are reached."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    misspelt = tmp_path / "plan.yaml"
    misspelt.write_text((data / "plan.yaml").read_text().replace("auroc", "auroc_"))
    asked = ["run", "--plan", str(misspelt), "--data", str(data), "--out", str(tmp_path / "out"), "--only", "intents"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert "intents: not measured, for such a run or its data does not tell it: auroc_\n" in done.stderr
    assert "accuracy" not in done.stderr


def test_a_figure_that_is_no_share_is_not_told_as_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPT50 of 16.7 % was told as 100.0 %, for a share ends at 1."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    wrong = tmp_path / "plan.yaml"
    wrong.write_text((data / "plan.yaml").read_text().replace("ece: {title: ECE,", 'cpt50: {title: CPT50, unit: "%",'))
    asked = ["run", "--plan", str(wrong), "--data", str(data), "--out", str(tmp_path / "out"), "--only", "two"]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, PlanError)
    assert str(done.exception).startswith("two: cpt50 is ")
    assert str(done.exception).endswith(' no share of 1. Remedy: leave out its `unit: "%"` in the plan')


def test_a_missing_file_is_told_before_anything_is_measured(bench: Bench, plan: Plan, data: Path) -> None:
    lacking = plan.model_copy(update={"runs": (plan.runs[0], plan.runs[1].model_copy(update={"file": "no.jsonl"}))})
    with pytest.raises(PlanError, match=r"no\.jsonl: neither in"):
        measure(bench, lacking, lacking.runs, data, data / "plan.yaml", data / "nowhere", quick=True)
    assert not (data / "nowhere").exists()


@pytest.mark.parametrize(("options", "folder"), [(["--quick"], "eval/quick"), ([], "eval/results")])
def test_a_quick_look_never_takes_the_place_of_a_result(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))
    asked = ["run", "--plan", str(data / "plan.yaml"), "--data", str(data), "--only", "intents", *options]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("eval/**/*.json")] == [f"{folder}/intents.json"]


@pytest.mark.parametrize("quick", [True, False])
def test_make_eval_rewrites_the_readme_after_a_whole_run_only(quick: bool) -> None:
    arguments = "ARGS=--quick --only clinc150" if quick else "ARGS=--only clinc150"
    command = ["make", "--dry-run", "eval", "EVAL_DATA=.", arguments]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert ("shoal eval report eval/quick" in said) is quick
    assert ("eval.tables" in said) is not quick
