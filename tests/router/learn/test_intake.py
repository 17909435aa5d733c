"""What is handed to a judge is looked at first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from router.judge import Judge
from router.learn.evidence import Floats, Outcomes
from router.learn.surface import NAMES

TEXTS, LABELS = [str(at) for at in range(16)], ["a"] * 8 + ["b"] * 8
VECTORS = np.eye(2, 4, dtype=np.float32).repeat(8, axis=0)
TOLD = Outcomes(("a",), VECTORS, np.zeros((16, len(NAMES)), np.float32), np.ones((16, 1), np.float32))


def spoilt(values: Floats, row: int, number: float) -> Floats:
    found = values.copy()
    found[row, 1] = number
    return found


def scored(row: int, score: float) -> Outcomes:
    scores = TOLD.scores.copy()
    scores[row] = score
    return replace(TOLD, scores=scores)


REFUSED: dict[str, dict[str, Any]] = {
    r"vectors: row 3 has a number that is NaN or infinite, as have 1 rows .* Remedy: leave such rows out": (
        {"vectors": spoilt(VECTORS, 3, np.nan)}
    ),
    r"vectors: row 5 has a number that is NaN or infinite": {"vectors": spoilt(VECTORS, 5, -np.inf)},
    r"16 vectors, 11 labels: row 11 has not both\. Remedy: one of each": {"labels": LABELS[:11]},
    r"16 vectors, 17 texts: row 16 has not both": {"texts": [*TEXTS, "more"]},
    r"vectors: float32 of shape \(4,\) is no table of numbers\. Remedy: an array \(n, d\)": {"vectors": VECTORS[0]},
    r"vectors: int64 of shape \(16, 4\)": {"vectors": VECTORS.astype(np.int64)},
    r"vectors: list is no table": {"vectors": VECTORS.tolist()},
    r"vectors of outcomes: row 2 has a number that is NaN": {
        "outcomes": replace(TOLD, vectors=spoilt(VECTORS, 2, np.nan))
    },
    r"vectors of outcomes: rows of 3 numbers, where examples .* have 4": {
        "outcomes": replace(TOLD, vectors=VECTORS[:, :3])
    },
    r"features of outcomes: row 1 has": {"outcomes": replace(TOLD, features=spoilt(TOLD.features, 1, np.inf))},
    r"16 vectors of outcomes, 9 scores: row 9 has not both": {"outcomes": replace(TOLD, scores=TOLD.scores[:9])},
    r"16 vectors of outcomes, 9 tasks: row 9 has not both": {"outcomes": replace(TOLD, tasks=np.array(["t"] * 9))},
    r"scores of outcomes: 1 columns for 2 experts\. Remedy: one for each": {
        "outcomes": replace(TOLD, experts=("a", "b"))
    },
    r"scores of outcomes: float32 of shape \(16,\)": {"outcomes": replace(TOLD, scores=TOLD.scores[:, 0])},
    r"scores of outcomes: row 4 says 1\.5 of 'a'\. Remedy: a number from 0 to 1": {"outcomes": scored(4, 1.5)},
    r"scores of outcomes: row 4 says -1 of 'a'": {"outcomes": scored(4, -1)},
    r"scores of outcomes: row 4 says inf of 'a'": {"outcomes": scored(4, np.inf)},
    r"labels: row 8 is None, no text\. Remedy: the name of a domain, or \"\" for": {
        "labels": [*LABELS[:8], *[None] * 8]
    },
    r"labels: row 0 is 0, no text": {"labels": [0] * 16},
    r"labels: all are \"\"\. Remedy: examples of a domain too": {"labels": [""] * 16},
    r"vector of the name 'a': rows of 2 numbers": {"names": {"a": VECTORS[0, :2]}},
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_learnt_from_is_refused_and_what_was_learnt_stays(said: str) -> None:
    given: dict[str, Any] = {"texts": TEXTS, "vectors": VECTORS, "labels": LABELS, "outcomes": TOLD, "names": None}
    judge = Judge({"a": "a", "b": "b"}).fit(**given)
    before = judge.predict_proba(VECTORS, TOLD.features)
    with pytest.raises(ValueError, match=said):
        judge.fit(**(given | REFUSED[said]))
    assert (judge.predict_proba(VECTORS, TOLD.features) == before).all()


@pytest.mark.parametrize(
    ("vectors", "features", "said"),
    [
        (
            VECTORS[:, :3],
            TOLD.features,
            r"vectors: rows of 3 numbers, where .* fitted have 4\. Remedy: .* same encoder",
        ),
        (VECTORS[0], TOLD.features, r"vectors: float32 of shape \(4,\)"),
        (VECTORS, TOLD.features[:7], r"16 vectors, 7 features: row 7 has not both"),
        (VECTORS.astype(str), TOLD.features, r"vectors: <U\d+ of shape"),
        (spoilt(VECTORS, 3, np.nan), TOLD.features, r"vectors: row 3 has a number that is NaN or infinite"),
        (VECTORS, spoilt(TOLD.features, 2, np.inf), r"features: row 2 has a number that is NaN or infinite"),
    ],
)
@pytest.mark.parametrize("asked", ["predict", "predict_proba", "decision_function"])
def test_what_is_no_request_is_refused(asked: str, vectors: Floats, features: Floats, said: str) -> None:
    judge = Judge({"a": "a", "b": "b"}).fit(TEXTS, VECTORS, LABELS)
    with pytest.raises(ValueError, match=said):
        getattr(judge, asked)(vectors, features)


def test_of_experts_that_nothing_is_known_of_none_is_the_likeliest() -> None:
    judge = Judge({"c": "c"}).fit(TEXTS, VECTORS, LABELS)
    assert judge.predict_proba(VECTORS, TOLD.features).shape == (16, 0)
    with pytest.raises(
        ValueError, match=r"nothing is known of any expert\. Remedy: fit on examples or outcomes of one"
    ):
        judge.predict(VECTORS, TOLD.features)


@pytest.mark.parametrize("width", [0, 1, len(NAMES) - 1, len(NAMES) + 1])
@pytest.mark.parametrize("asked", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize("kept", [False, True])
def test_requests_have_as_many_surface_numbers_as_the_outcomes_had(width: int, asked: str, kept: bool) -> None:
    judge = Judge({"a": "a", "b": "b"}).fit(TEXTS, VECTORS, LABELS, TOLD)
    if kept:
        judge = Judge({"a": "a", "b": "b"}).restore(TEXTS, VECTORS, LABELS, judge.state())
    said = rf"features: rows of {width} numbers, where .* fitted have 13\. Remedy: make them by router\.learn\.surface"
    with pytest.raises(ValueError, match=said):
        getattr(judge, asked)(VECTORS, np.zeros((16, width), np.float32))
    assert len(getattr(judge, asked)(VECTORS, TOLD.features)) == 16
