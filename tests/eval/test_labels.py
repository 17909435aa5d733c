"""`shoal eval labels` as a user runs it, on a small file."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.labels import cut, evaluate, evaluate_labels, without_parts
from eval.labels_ablation import PARTS
from eval.samples import Labelled
from eval.teaching import Teaching
from experts.extras import install
from experts.factory.packages import PACKAGES, TrainingUnavailable
from experts.registry import load_registry
from router.encode import Encoder
from shoal.evaluate import app

TORCH = all(importlib.util.find_spec(name) for name in PACKAGES)
ROOT = Path(__file__).resolve().parents[2]
SHAPES = {"weather": "Will it rain in {} tomorrow?", "cooking": "How do I bake a cake from {}?"}
WORDS = ("Oslo", "Rome", "Lima", "Bern", "Kyiv", "Cork", "Graz", "Nice", "York", "Bonn")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {"input": shape.format(word), "label": label, "split": ("train", "test", "validation")[at % 3]}
        for label, shape in SHAPES.items()
        for at, word in enumerate(WORDS)
    ]
    rows += [{"input": f"vbn{at} qqq kkl", "label": None, "split": ("test", "validation")[at % 2]} for at in range(6)]
    rows.append({"input": "How do I bake a cake from scratch?", "label": "weather", "split": "test"})
    rows.append({"input": "  will it rain in ROME tomorrow?", "label": "weather", "split": "train"})
    path = tmp_path / "l.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(ROOT / "registry.yaml"))


def test_what_all_rows_begin_with_is_told(file: Path) -> None:
    assert json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)["preamble"] is None
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row | {"input": "x" * 1600 + row["input"]}) + "\n" for row in rows))
    done = CliRunner().invoke(app, ["labels", str(file)])
    assert "l.jsonl: all 28 texts begin with the same 1,600 characters" in " ".join(done.stdout.split())


def test_the_contracts_figures_are_there(file: Path) -> None:
    done = CliRunner().invoke(app, ["labels", str(file), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["train"], found["test"], found["dropped"]) == (8, 10, 1)
    assert found["accuracy"] == pytest.approx(6 / 7)
    recalls = [each["recall"] for each in found["per_class"].values()]
    assert found["accuracy_by_class"] == pytest.approx(sum(recalls) / len(recalls)) != found["accuracy"]
    assert {"auroc", "fpr95", "in_scope_accuracy", "recall"} <= set(found["oos"])
    assert {"ece", "encode_us", "judge_us", "near_duplicates"} <= set(found)
    untold = {"low": None, "high": None}
    assert set(found["intervals"]) == {"accuracy", "auroc", "fpr95", "in_scope_accuracy", "recall", "ece"}
    assert all(each == untold for each in found["intervals"].values()), "7 rows of a domain, 3 of none: too few"
    assert found["per_class"]["weather"]["recall"] == pytest.approx(3 / 4)
    assert found["confusions"] == [{"label": "weather", "said": "cooking", "rows": 1}]


def test_a_file_twice_over_gives_the_figures_of_the_file_once(file: Path) -> None:
    """A test row that counts twice is as good as two, and calibration would be told as better than it is."""
    once = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)
    lines = file.read_text()
    again = '{"input": "Will it rain in Oslo tomorrow?", "label": "cooking", "split": "train"}\n'
    file.write_text(lines + lines + again)
    twice = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)
    kept = ("train", "test", "accuracy", "ece", "oos", "near_duplicates", "intervals", "per_class")
    assert {name: twice[name] for name in kept} == {name: once[name] for name in kept}
    rows = lines.count("\n")
    assert (once["dropped"], once["repeats"], once["relabelled"]) == (1, 0, 0)
    assert (twice["dropped"], twice["repeats"], twice["relabelled"]) == (1 + rows + 1, rows + 1, 1)
    told = " ".join(CliRunner().invoke(app, ["labels", str(file)]).stdout.split())
    assert f"{rows + 1} rows repeat one of their split and are dropped; 1 of them under another label" in told


def test_a_row_of_train_that_is_asked_about_too_is_dropped_and_told(file: Path) -> None:
    said = "1 dropped from train, whose text is in test or validation too"
    assert said in " ".join(CliRunner().invoke(app, ["labels", str(file)]).stdout.split())
    kept = [line for line in file.read_text().splitlines(keepends=True) if "ROME" not in line]
    file.write_text("".join(kept))
    assert "dropped" not in CliRunner().invoke(app, ["labels", str(file)]).stdout


def test_it_says_how_far_it_is(file: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    encoder = Encoder.of(load_registry(ROOT / "registry.yaml", {}).registry.encoder)
    evaluate_labels(file, encoder, tmp_path / "vectors", None, 0, lambda *said: told.append(said))
    assert told == [("encoding l.jsonl", 28, 28), ("judging l.jsonl", 0, 1), ("judging l.jsonl", 1, 1)]


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        (("train", "test", "validation"), ""),
        (("train", "test"), "no validation row has the label null, so no threshold is picked"),
        (("train",), "no test row has the label null, so nothing tells how well such are sent away"),
    ],
)
def test_a_dash_has_its_reason(file: Path, kept: tuple[str, ...], why: str) -> None:
    """`kept` are the splits whose rows of no domain stay."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows if row["label"] is not None or row["split"] in kept))
    done = CliRunner().invoke(app, ["labels", str(file)])
    assert done.exit_code == 0, done.output
    assert ("l.jsonl: -: " in done.stdout) is bool(why)
    assert why in done.stdout
    oos = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)["oos"]
    assert (oos is None) is ("test" not in kept)
    if oos is not None:
        assert set(oos) == {"auroc", "fpr95", "in_scope_accuracy", "recall", "overall", "balanced"}
        assert {name for name, value in oos.items() if value is None} == (
            set(oos) - {"auroc", "fpr95"} if why else set()
        )


def test_accuracy_apart_is_null_where_every_row_nearly_repeats_one_learnt(file: Path) -> None:
    found = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)
    assert (found["accuracy_apart"], found["near_duplicates"]) == (found["accuracy"], 0)
    taught = [row for row in map(json.loads, file.read_text().splitlines()) if row["split"] == "train"]
    near = [row | {"input": row["input"] + "?", "split": "test"} for row in taught]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*taught, *near]))
    found = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)
    assert found["test"] == found["near_duplicates"] == len(near) and found["accuracy_apart"] is None


def test_what_failed_is_listed(file: Path) -> None:
    done = CliRunner().invoke(app, ["labels", str(file), "--failures"])
    assert done.exit_code == 0, done.output
    assert "weather -> cooking" in done.stdout
    assert "'How do I bake a cake from scratch?'" in done.stdout


def test_a_label_that_nobody_could_learn_is_told(file: Path) -> None:
    with file.open("a") as rows:
        rows.write(json.dumps({"input": "Book me a train", "label": "travle", "split": "test"}) + "\n")
    done = CliRunner().invoke(app, ["labels", str(file)])
    assert "l.jsonl: 1 test rows have a label that no train row has: counted as wrong" in done.stdout
    found = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)
    assert (found["unlearnt"], found["accuracy"]) == (1, pytest.approx(6 / 8))


def test_a_row_of_train_that_belongs_to_no_label_is_told(file: Path) -> None:
    with file.open("a") as rows:
        rows.write(json.dumps({"input": "xkcd qwop", "label": None, "split": "train"}) + "\n")
    done = CliRunner().invoke(app, ["labels", str(file)])
    assert "l.jsonl: 1 train rows have the label null: neither taught nor asked about" in done.stdout
    found = json.loads(CliRunner().invoke(app, ["labels", str(file), "--json"]).stdout)
    assert (found["train_null"], found["train"]) == (1, 8)


def test_a_seed_changes_nothing_where_nothing_is_drawn(file: Path) -> None:
    first, second = (
        json.loads(CliRunner().invoke(app, ["labels", str(file), "--seed", seed, "--json"]).stdout) for seed in "01"
    )
    timing = {"seed", "encode_us", "judge_us", "fit_s", "intervals"}
    assert {k: v for k, v in first.items() if k not in timing} == {k: v for k, v in second.items() if k not in timing}


def test_what_is_left_over_is_judged_without_a_test_row(file: Path, tmp_path: Path) -> None:
    encoder = Encoder.of(load_registry(ROOT / "registry.yaml", {}).registry.encoder)
    found = cut(file, encoder, tmp_path / "vectors", Teaching((2,), left=True), 0, lambda *_: None)
    assert len(found.train) == 4 and found.vectors["validation"].shape == (0, encoder.dimensions)
    assert "test" not in {row.split for row in found.test}
    assert np.array_equal(found.vectors["test"], encoder.encode_all([row.input for row in found.test]))
    report, sure = evaluate(found, 0)
    assert report["test"] == len(found.test) and set(sure) == {"accuracy", "auroc", "fpr95", "ece"}


def test_every_part_is_left_out_in_turn(file: Path, tmp_path: Path) -> None:
    encoder = Encoder.of(load_registry(ROOT / "registry.yaml", {}).registry.encoder)
    found = without_parts(cut(file, encoder, tmp_path / "vectors", Teaching((1,)), 0, lambda *_: None), PARTS, 0)
    assert list(found) == [
        "",
        "scores",
        "centroid",
        "neighbours",
        "shrinkage",
        "out_of_domain",
        "names",
        "rivals",
        "temperature",
    ]
    assert found["out_of_domain"]["recall"].value == 0, "nobody is sent away"
    assert found["out_of_domain"]["in_scope_accuracy"].value == found[""]["accuracy"].value
    assert all(each["auroc"].value <= 1 for each in found.values()), "also where a class has but one example"


def test_an_encoder_is_tuned_on_the_rows_that_are_kept_and_on_no_other(file: Path, tmp_path: Path) -> None:
    encoder, other = (
        Encoder.of(load_registry(ROOT / "registry.yaml", {}).registry.encoder.model_copy(update={"max_tokens": most}))
        for most in (256, 8)
    )
    given: list[Labelled] = []

    def tuner(rows: Sequence[Labelled]) -> Encoder:
        given.extend(rows)
        return other

    plain, tuned = (
        cut(file, encoder, tmp_path / "v", Teaching((2,)), 0, lambda *_: None, each) for each in (None, tuner)
    )
    assert given == tuned.train == plain.train and len(given) == 4
    assert {row.split for row in given} == {"train"}
    assert plain.encoder is encoder and tuned.encoder is other
    assert not np.array_equal(plain.vectors["test"], tuned.vectors["test"]), "what is tested is read by it too"


@pytest.mark.skipif(TORCH, reason="torch is installed, so nothing is missing")
def test_tuning_without_torch_says_what_to_install(file: Path) -> None:
    done = CliRunner().invoke(app, ["labels", str(file), "--tune"])
    assert isinstance(done.exception, TrainingUnavailable) and install("train") in str(done.exception)


@pytest.mark.skipif(TORCH, reason="torch is installed, so nothing is left out")
def test_a_plan_leaves_out_what_cannot_be_tuned_and_says_so(file: Path, tmp_path: Path) -> None:
    figures = "figures: {accuracy: {title: accuracy, better: more}}"
    runs = (f"  - {{id: {name}, title: A, kind: labels, file: l.jsonl, {more} {figures}}}" for name, more in (
        ("plain", ""), ("own", "tune: true,")))  # fmt: skip
    (tmp_path / "plan.yaml").write_text("\n".join(["seeds: [0]", "runs:", *runs]))
    out = tmp_path / "out"
    asked = ["run", "--plan", str(tmp_path / "plan.yaml"), "--data", str(tmp_path), "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert (
        "own: not measured again; training needs torch, sentence_transformers and onnx, which serving does not."
        f" Remedy: {install('train')}" in (done.stderr.replace("\n", " "))
    )
    assert [path.name for path in out.iterdir()] == ["plain.json"]
    named = CliRunner().invoke(app, [*asked, "--only", "own"])
    assert isinstance(named.exception, TrainingUnavailable)
