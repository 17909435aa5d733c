"""What `shoal eval outcomes` tells beside its figures: what was timed, of each model, of few rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval import outcomes
from eval.matrix import read_matrix
from eval.outcomes import Encoded, Plan, encode, evaluate, folds_of
from eval.samples import SamplesError
from experts.registry import load_registry
from router.encode import Encoder
from router.judge import Judge
from shoal.outcomes_table import _lines
from tests.service.server import rows

ROOT = Path(__file__).resolve().parents[2]
TOPICS = ("the sum of {} and seven", "a poem on {} ships", "translate {} to French", "sql for {} rows")
COUNT = 40


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    folder = tmp_path_factory.mktemp("outcomes")
    told = [
        {
            "input": TOPICS[at % 4].format(at),
            "outcomes": {
                "small": {"score": int(at % 4 == 0), "usd": 0.1},
                "big": {"score": int(at % 5 > 0), "usd": 1},
            },
        }
        for at in range(COUNT)
    ]
    rows(folder / "o.jsonl", [dict(row) for row in told])
    encoder = Encoder.of(load_registry(ROOT / "registry.yaml", {}).registry.encoder)
    return encode(read_matrix(folder / "o.jsonl", "usd"), encoder, folder, lambda *_: None)


@pytest.fixture(scope="module")
def found(encoded: Encoded) -> dict[str, Any]:
    return evaluate(encoded, Plan("big", "usd", folds=2), Path("o.jsonl"), lambda *_: None)[0]


def test_what_is_timed_was_not_judged_before(encoded: Encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered, timed = [], outcomes._timed_us

    def timing(model: Judge, *requests: Any) -> Any:
        remembered.append(len(model._remembered))
        return timed(model, *requests)

    monkeypatch.setattr(outcomes, "_timed_us", timing)
    evaluate(encoded, Plan("big", "usd", folds=2), Path("o.jsonl"), lambda *_: None)
    assert remembered == [0]


def test_of_each_model_it_is_told_how_far_its_claims_are_off(found: dict[str, Any]) -> None:
    by_model = found["confidence"]["by_model"]
    assert {name: each["n"] for name, each in by_model.items()} == {"small": found["test"], "big": found["test"]}
    name, worst = max(by_model.items(), key=lambda each: float(each[1]["ece"]))
    line = f"of single models {name} has the largest ECE, {worst['ece']:.3f} over {found['test']} claims"
    assert line in list(_lines(found))


@pytest.mark.parametrize(
    ("high", "beats", "verb"),
    [(-0.01, False, "is worse than"), (0.01, False, "does not beat beyond doubt"), (0.09, True, "beats")],
)
def test_a_judge_that_is_surely_worse_is_called_so(found: dict[str, Any], high: float, beats: bool, verb: str) -> None:
    gain = {"value": 0.0, "low": -0.03, "high": high, "beats": beats}
    assert any(line.startswith(f"{verb} the same") for line in _lines(found | {"gain": {"shuffled": gain}}))


@pytest.mark.parametrize("test", [9, 10])
def test_of_few_scored_requests_a_warning_is_told(found: dict[str, Any], test: int) -> None:
    said = " ".join(_lines(found | {"test": test}))
    assert ("Too few to tell ways to choose apart. Remedy: 10 scored requests or more" in said) is (test < 10)


def test_what_all_requests_begin_with_is_told(encoded: Encoded, found: dict[str, Any]) -> None:
    long = tuple("x" * 1600 + text for text in encoded.matrix.inputs)
    again = replace(encoded, matrix=replace(encoded.matrix, inputs=long))
    told, _ = evaluate(again, Plan("big", "usd", folds=2), Path("o.jsonl"), lambda *_: None)
    assert found["preamble"] is None
    assert told["preamble"].startswith("o.jsonl: all 40 texts begin with the same 1,600 characters")
    assert told["preamble"] in list(_lines(told))


def test_a_train_larger_than_the_file_is_named(encoded: Encoded) -> None:
    with pytest.raises(SamplesError, match=r"Remedy: more rows, or a --train below \d+$"):
        folds_of(encoded, Plan("big", "usd", "count", train=10 * COUNT), Path("o.jsonl"))


@pytest.mark.parametrize(("test", "kind"), [(True, "train"), (False, "test")])
def test_a_split_without_one_side_is_named(encoded: Encoded, test: bool, kind: str) -> None:
    """More rows would not help: which side they are on is what lacks."""
    one_sided = replace(encoded, matrix=replace(encoded.matrix, test=np.full(len(encoded.matrix.inputs), test)))
    with pytest.raises(SamplesError, match=rf"no row says '{kind}'.*Remedy: name it in some rows, or use --folds"):
        folds_of(one_sided, Plan("big", "usd", "given"), Path("o.jsonl"))


def test_a_model_that_no_fold_but_one_tells_of_is_named(encoded: Encoded) -> None:
    """It was the best single model and the cheapest, for the mean of nothing is larger and smaller than any."""
    scores = np.hstack([encoded.matrix.scores, np.full((len(encoded.matrix.inputs), 1), np.nan)])
    scores[0, 2] = 1
    matrix = replace(encoded.matrix, models=(*encoded.matrix.models, "rare"), scores=scores, costs=scores)
    with pytest.raises(SamplesError, match=r"no row that is fitted on tells how 'rare' answered.*Remedy: give its"):
        folds_of(replace(encoded, matrix=matrix), Plan("big", "usd", folds=2), Path("o.jsonl"))


def test_an_outcome_that_is_told_again_with_another_score_is_counted(tmp_path: Path, found: dict[str, Any]) -> None:
    def row(text: str, **scores: float) -> dict[str, object]:
        return {"input": text, "outcomes": {name: {"score": score, "usd": 1} for name, score in scores.items()}}

    file = tmp_path / "o.jsonl"
    rows(file, [row("a", small=1), row("a", small=0, big=1), row("a", big=1), row("b", small=0), row("a", small=0.5)])
    matrix = read_matrix(file, "usd")
    assert (matrix.dropped, matrix.rescored) == (3, 2)
    assert matrix.scores[0].tolist() == [1, 1]  # the first counts
    assert found["rescored"] == 0
    assert "another score" not in " ".join(_lines(found))
    again = " ".join(_lines(found | {"dropped": 3, "rescored": 2}))
    assert "3 repeats dropped (2 of them with another score of a model, where the first counts)" in again


@pytest.mark.parametrize("order", [("train", "test"), ("test", "train"), ("train", "validation")])
def test_a_request_that_is_in_train_and_tested_is_tested_and_not_taught(tmp_path: Path, order: tuple[str, str]) -> None:
    """The same file in another order is the same evaluation, and a test split stays whole."""

    def row(split: str, **scores: int) -> dict[str, object]:
        return {"input": "a", "split": split, "outcomes": {name: {"score": s, "usd": 1} for name, s in scores.items()}}

    told = {
        "train": row("train", small=0),
        "test": row("test", big=1, small=1),
        "validation": row("validation", small=1),
    }
    file = tmp_path / "o.jsonl"
    rows(file, [told[split] for split in order])
    matrix = read_matrix(file, "usd")
    assert matrix.test is not None and matrix.test.tolist() == [True]
    assert (matrix.dropped, matrix.rescored) == (1, 1)
    assert matrix.scores[0, matrix.models.index("small")] == 1, "what the row says that is scored"
