"""A file of outcomes that can teach nothing is told as what it is, and what is left out of another is told too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.learn.study import NothingToLearn, Study
from router.settings import Settings
from tests.service.server import write_registry


def opened(folder: Path, *models: str) -> Study:
    """A study beside no ledger, of a file that tells of these models."""
    settings = Settings(registry=write_registry(folder), data_dir=folder / "data")
    told = folder / "answers.jsonl"
    row = {"input": "a haiku about snow", "outcomes": {model: {"score": 1} for model in models}}
    told.write_text(json.dumps(row) + "\n")
    return Study.open(settings, [told])


def test_a_file_of_none_of_the_registrys_experts_is_told_with_its_models_and_the_experts(tmp_path: Path) -> None:
    with pytest.raises(NothingToLearn) as found:
        opened(tmp_path, "gpt-small", "gpt-large")
    told, path = str(found.value), tmp_path / "answers.jsonl"
    assert told.startswith(
        f"{path}: tells how well gpt-small, gpt-large answered, and the registry has no such expert."
    )
    assert "Remedy: name the outcomes after its experts (poet, cook, big" in told
    assert "--outcomes" not in told, "it was named"


def test_models_of_a_file_that_the_registry_has_not_are_told_and_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = opened(tmp_path, "poet", "gpt-large")
    assert study.outcomes[0].experts == ("poet",)
    assert "answers.jsonl: outcomes of gpt-large are left out, for the registry has no such expert" in caplog.text
    caplog.clear()
    assert opened(tmp_path, "poet").outcomes[0].experts == ("poet",)
    assert caplog.text == ""
