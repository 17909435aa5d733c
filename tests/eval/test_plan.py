from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from eval.plan import FIGURES, PlanError, find, read_plan, read_record
from eval.provenance import ROOT, code_of
from experts.digest import sha256_of

RUN = (
    "seeds: [0]\nruns:\n"
    "  - {id: a, title: A, kind: labels, file: a.jsonl, figures: {accuracy: {title: t, better: more}}}\n"
)


def test_the_shipped_plan_asks_what_was_promised() -> None:
    plan = read_plan(FIGURES)
    asked = {(run.id, name): figure.reach for run in plan.runs for name, figure in run.figures.items()}
    assert plan.seeds == (0, 1, 2, 3, 4)
    assert asked["clinc150", "recall"] == 0.70
    assert asked["banking77-10", "accuracy"] == 0.86
    assert asked["mmlu-1500", "cpt80"] == 65.5
    assert asked["nine-models", "cost_at_best_single"] == 30
    assert all(set(run.headline) <= set(run.figures) for run in plan.runs)
    assert all(set(run.ablate_seeds) <= set(plan.seeds_of(run)) for run in plan.runs if run.ablate)
    left_out = {(run.kind, part) for run in plan.runs for part in run.ablate}
    assert left_out == {(run.kind, part) for run in plan.runs for part in run.parts}, "every part is tried somewhere"
    assert not any(
        figure.reach for run in plan.runs if run.kind == "labels" and run.left for figure in run.figures.values()
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seeds: []\nruns: []\n", r"p\.yaml: seeds: .*Remedy"),
        (RUN.replace("labels", "guesses"), r"p\.yaml: runs\.0: .*Remedy"),
        (RUN.replace("better: more", "better: bigger"), r"figures\.accuracy\.better.*Remedy"),
        (RUN.replace("title: A", "titel: A"), r"p\.yaml: runs\.0.*Remedy"),
        (RUN.replace("figures:", "ablate: [tasks], figures:"), r"runs\.0.*: tasks is none of scores, .*Remedy"),
        (
            RUN.replace("figures:", "headline: [acuracy], figures:"),
            r"headline: acuracy is none of its .*, accuracy.*Remedy",
        ),
        (
            RUN.replace("kind: labels", "kind: outcomes, fallback: x, objective: usd"),
            r"p\.yaml: runs\.0\.outcomes\.split: run 'a': Field required. Remedy: .*'split', one of folds, given",
        ),
        (RUN.replace("title: A, ", ""), r"runs\.0\.labels\.title: run 'a': Field required. Remedy: .*'title', as in"),
        (RUN.replace("id: a, ", ""), r"p\.yaml: runs\.0\.labels\.id: Field required. Remedy: give the run 'id', as in"),
        (RUN + RUN.partition("runs:\n")[2], r"p\.yaml: two runs have the id a, and one record.*Remedy"),
        ("[", r"p\.yaml:2: column 1: the text ends where a \[ or { is open\. Remedy: close it with \]"),
        ("[1", r"p\.yaml:1: column 1: a \[ opens here and never closes\. Remedy: close it with \]"),
        (
            RUN.replace("title: A", "title: 'A"),
            r"p\.yaml:\d+: column \d+: a quote opens here and never closes\. Remedy",
        ),
        ("seeds: [0]\nseeds: [1]\nruns: []\n", r"p\.yaml:2: seeds: is written twice, first on line 1\. Remedy: "),
        ("seeds: [0]\nruns: !!python/none x\n", r"p\.yaml:2: runs: the tag !!python/none is not allowed\. Remedy: "),
        ("- a\n", r"p\.yaml:1: must be `key: value` lines at the top\. Remedy: "),
        ("", r"p\.yaml: is empty\. Remedy: start from the one that ships with Shoal"),
    ],
)
def test_a_wrong_plan_is_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(PlanError, match=problem):
        read_plan(path)
    with pytest.raises(PlanError, match=r"none\.yaml: cannot be read"):
        read_plan(tmp_path / "none.yaml")


def test_a_file_is_looked_for_in_the_data_folder_first(tmp_path: Path) -> None:
    data, beside = tmp_path / "data", tmp_path / "beside"
    data.mkdir()
    beside.mkdir()
    (beside / "a.jsonl").write_text("beside")
    assert find("a.jsonl", data, beside / "plan.yaml") == beside / "a.jsonl"
    (data / "a.jsonl").write_text("data")
    assert find("a.jsonl", data, beside / "plan.yaml") == data / "a.jsonl"
    with pytest.raises(PlanError, match=r"b\.jsonl: neither in .*Remedy: name the folder .*EVAL_DATA"):
        find("b.jsonl", data, beside / "plan.yaml")


def test_the_code_a_figure_rests_on_is_all_it_imports() -> None:
    assert code_of("eval.drawn") == code_of("eval.drawn")
    assert code_of("eval.labels") != code_of("eval.outcomes")
    text = (ROOT / "eval" / "samples.py").read_bytes()
    assert code_of("eval.samples") != hashlib.sha256(text).hexdigest()


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256_of(path) == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    "record",
    [
        "[]",
        '{"id": "a", "figures": {}, "detail": {}}',
        '{"id": "a", "seeds": [0], "figures": {"x": {"value": 1, "low": 0, "high": 2, "seeds": []}}, "detail": {}}',
        '{"id": "a", "seeds": [0], "figures": {"x": 1}, "detail": {}}',
    ],
)
def test_half_a_record_is_named(tmp_path: Path, record: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(record)
    with pytest.raises(PlanError, match=r"r\.json: is no record of a run .*Remedy: "):
        read_record(path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("value", "0.9", r"figures\.accuracy\.value: Input should be a valid number"),
        ("value", float("nan"), r"figures\.accuracy\.value: Input should be a finite number"),
        ("low", "x", r"figures\.accuracy\.low: Input should be a valid number"),
        ("high", None, r"figures\.accuracy: one end of its interval lacks"),
        ("seeds", None, r"figures\.accuracy\.seeds: Input should be a valid list"),
        ("seeds", [float("inf")], r"figures\.accuracy\.seeds\.0: Input should be a finite number"),
        ("better", "bigger", r"figures\.accuracy\.better: Input should be 'more' or 'less'"),
        ("title", 5, r"figures\.accuracy\.title: Input should be a valid string"),
    ],
)
def test_a_figure_that_no_gate_can_go_by_is_named(tmp_path: Path, name: str, value: object, said: str) -> None:
    """NaN is worse than nothing, so that a gate let it pass; of the others there was a traceback."""
    figure = {"value": 0.9, "low": 0.8, "high": 1, "seeds": [0.9], "better": "more", "title": "accuracy", "more": 1}
    record = {"id": "a", "seeds": [0], "figures": {"accuracy": figure}, "detail": {}}
    path = tmp_path / "r.json"
    path.write_text(json.dumps(record))
    assert read_record(path)["figures"] == {"accuracy": figure}
    path.write_text(json.dumps({**record, "figures": {"accuracy": {**figure, name: value}}}))
    with pytest.raises(PlanError, match=rf"r\.json: is no record of a run \({said}.*\)\. Remedy: make it again"):
        read_record(path)
