"""Where there is too little to tell, a command says so: one question, a figure that is none, a damaged edition."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.service.server import rows, write_registry
from tests.shoal.test_route import shoal

FIRST = {"input": "write a poem about rain", "target": "rain", "scorer": "includes"}


@pytest.mark.parametrize(("questions", "few"), [(1, True), (10, False)])
def test_of_few_questions_no_interval_is_told_and_nothing_said_to_beat_another(
    tmp_path: Path, questions: int, few: bool
) -> None:
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(json.dumps(FIRST | {"input": f"poem number {at}"}) + "\n" for at in range(questions)))
    done = shoal(write_registry(tmp_path), "eval", "answers", str(file), data=tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert ("Too few to tell ways to choose apart. Remedy: 10 scored questions or more" in done.stdout) is few
    assert ("does not beat" not in done.stdout) is few
    assert ("% to " not in done.stdout) is few


def test_answers_that_an_earlier_run_kept_are_told_and_asked_anew(tmp_path: Path) -> None:
    file, registry = tmp_path / "asked.jsonl", write_registry(tmp_path)
    rows(file, [FIRST])

    def said(*more: str) -> str:
        done = shoal(registry, "eval", "answers", str(file), *more, data=tmp_path / "data")
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "kept" not in said()
    told = re.search(r"(\d+) of (\d+) answers are kept from \d{4}-\d\d-\d\d \(--anew asks again\)", said())
    assert told is not None
    assert told[1] == told[2]
    assert "kept" not in said("--anew")


TOPICS = ("the sum of {} and seven", "a poem on {} ships", "translate {} to French", "sql for {} rows")


def said_of(tmp_path: Path, outcomes: list[dict[str, dict[str, float]]]) -> str:
    """What `shoal eval outcomes` says of models that answered so, its white space as one blank each."""
    file = tmp_path / "outcomes.jsonl"
    rows(file, [{"input": TOPICS[at % 4].format(at), "outcomes": each} for at, each in enumerate(outcomes)])
    done = shoal(
        write_registry(tmp_path), "eval", "outcomes", str(file), "--fallback", "big", "--objective", "usd",
        data=tmp_path / "data",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("count", "small", "big", "told"),
    [
        (60, 0.9, 0.4, ["APGR, CPT50, CPT80: - (the dearer model scores no better"]),
        (5, 1.0, 1.0, ["CPT80: - (the dearer", "AUROC - (every score", "100.0% refused, for too few rows"]),
        (40, 0.0, 0.0, ["CPT80: - (the dearer", "AUROC - (every score is 0.5 or above, or"]),
    ],
)
def test_of_outcomes_what_does_not_exist_is_a_dash_and_why(
    tmp_path: Path, count: int, small: float, big: float, told: list[str]
) -> None:
    def outcomes(at: int) -> dict[str, dict[str, float]]:
        right = {"small": at % 10 < 10 * small, "big": at % 5 < 5 * big}
        return {name: {"score": int(right[name]), "usd": usd} for name, usd in (("small", 0.1), ("big", 1.0))}

    said = said_of(tmp_path, [outcomes(at) for at in range(count)])
    assert all(each in said for each in told), said
    assert "does not beat beyond doubt the same decisions shuffled: 0.00 points" in said
    assert not any(odd in said for odd in ("nan", "None", "e-1", "-0.00"))


def test_of_five_rows_no_interval_is_told_and_why(tmp_path: Path) -> None:
    """APGR had one from 5 rows, and CPT80 one that lay above 100 %."""
    rows_of = [{"small": {"score": at % 2, "usd": 0.1}, "big": {"score": 1, "usd": 1 + at / 10}} for at in range(5)]
    said = said_of(tmp_path, rows_of)
    assert re.search(r"APGR -?[\d.]+, CPT50 [\d.]+ %, CPT80", said)
    assert re.search(r"usd at the best single model's quality: [\d.]+ does not beat", said)
    assert not re.search(r"\(-?[\d.]+ to ", said)
    assert said.count("A figure without an interval has too few requests for one: under 10 bear on it") == 1
    more = said_of(tmp_path, [rows_of[at % 5] for at in range(40)])
    assert re.search(r"APGR [\d.]+ \([\d.]+ to [\d.]+\)", more)
    assert "A figure without an interval" not in more


def test_where_the_fallback_is_the_cheapest_it_is_said_why_there_is_no_promise(tmp_path: Path) -> None:
    """The line was missing, without a word."""
    said = said_of(
        tmp_path, [{"small": {"score": at % 2, "usd": 2}, "big": {"score": 1, "usd": 1}} for at in range(20)]
    )
    assert "points lost, sure to" not in said
    assert "no promise is tried: no model is cheaper than the fallback big" in said


def test_requests_that_not_every_model_answered_are_told_as_not_scored(tmp_path: Path) -> None:
    right = {"score": 1.0, "usd": 1.0}
    said = said_of(tmp_path, [{"big": right} | ({} if at % 3 else {"small": right}) for at in range(60)])
    assert "judge, for quality alone" in said
    assert "The judge's row is its choice for quality alone, whatever that costs" in said
    assert "scored on 20; 40 not scored, for not every model answered them" in said


def test_a_list_of_nothing_but_a_damaged_edition_names_it_and_has_no_empty_table(tmp_path: Path) -> None:
    learned = tmp_path / "data/learned"
    learned.mkdir(parents=True)
    (learned / "0001.safetensors").write_bytes(b"damaged")
    done = shoal(write_registry(tmp_path), "learn", "list", data=tmp_path / "data")
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert "0001.safetensors: no edition, or a damaged one" in line


def test_a_confidence_that_nothing_can_be_kept_with_is_refused_in_a_sentence(tmp_path: Path) -> None:
    done = shoal(write_registry(tmp_path), "eval", "certify", "--max-risk", "0.1", "--confidence", "2")
    assert done.returncode == 2
    said = " ".join(done.stderr.replace("│", " ").split())
    assert "--confidence: 2 is none that can be kept. Remedy: from 0.5 to 0.999" in said
