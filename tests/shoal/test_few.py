"""Where there is too little to tell, a command says so: one question, a single edition that is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.service.server import write_registry
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
    assert ("Too few to tell ways to choose apart. Remedy: 10 questions or more" in done.stdout) is few
    assert ("does not beat" not in done.stdout) is few
    assert ("% to " not in done.stdout) is few


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
