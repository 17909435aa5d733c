"""A file of outcomes that can teach nothing is told as what it is, and what is left out of another is told too."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from experts.registry import load_registry
from router.encode import Encoder
from router.learn.heldout import Comparison, Figures
from router.learn.study import NothingToLearn, Study
from router.learn.surface import surface
from router.learn.trace import trace
from router.learn.trial import Trial
from router.meter.ledger import Ledger
from router.meter.record import Feedback
from router.settings import Settings
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome
from tests.service.server import write_registry

NOTHING_AGAINST = Trial(Comparison("requests", 60, 60, Figures(0.1, 0.1), Figures(0.1, 0.1)), 0, Counter())


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


def file_of(folder: Path, name: str, scores: dict[str, dict[str, float]]) -> Path:
    rows = [
        {"input": text, "outcomes": {expert: {"score": score} for expert, score in own.items()}}
        for text, own in scores.items()
    ]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / name


async def score(settings: Settings, text: str, expert: str, score: float) -> None:
    """One request in the ledger, answered and scored."""
    encoder, ledger = Encoder.of(load_registry(settings.registry).registry.encoder), Ledger.open(settings.ledger_path)
    begun = make_intent(trace=trace(encoder.fingerprint, encoder.encode(text), surface(text), None), policy="balanced")
    await ledger.begin(begun)
    attempt = make_attempt(expert=expert)
    await ledger.finish(make_outcome(begun.request_id, attempts=[attempt], answered_by=expert))
    await ledger.hear(Feedback(begun.request_id, begun.ts_us, round(score * 1_000_000)))
    await ledger.aclose()


def told(study: Study) -> list[dict[str, float]]:
    """The scores to learn from, request by request, those aside that nobody scored."""
    found = study.outcomes[0]
    rows = ({name: float(each) for name, each in zip(found.experts, row, strict=True)} for row in found.scores)
    return [own for row in rows if (own := {name: each for name, each in row.items() if not np.isnan(each)})]


async def test_what_an_edition_learnt_from_a_file_stays_until_it_is_left_out(tmp_path: Path) -> None:
    """The next edition, made of 45 scores from use, had forgotten 500 of a file, and nothing was said."""
    settings = Settings(registry=write_registry(tmp_path), data_dir=tmp_path / "data")
    ours = {"a haiku about snow": {"poet": 1.0, "cook": 0.0}, "how do I fry an egg": {"cook": 1.0}}
    first = Study.open(settings, [file_of(tmp_path, "a.jsonl", ours)])
    assert first.apply(NOTHING_AGAINST, force=False) == (1, True)
    await score(settings, "how do I boil rice", "cook", 1)
    await score(settings, "a haiku about snow", "cook", 0.25)
    then = Study.open(settings)
    assert (then.from_files, then.summary()["from_files"]) == (2, 2)
    assert told(then) == [{"cook": 0.25}, {"cook": 1}, {"poet": 1}, {"cook": 1}], "the newest score counts, once"
    assert then.apply(NOTHING_AGAINST, force=False) == (2, True)
    assert (then.outcomes[1] == 0).tolist() == [False, False, True, True], "what is of a file is never too old"
    assert Study.open(settings).learnt_already() == 2
    more = Study.open(settings, [file_of(tmp_path, "b.jsonl", {"how do I fry an egg": {"cook": 0.5}})])
    assert told(more) == [{"cook": 0.25}, {"cook": 1}, {"cook": 0.5}, {"poet": 1}]
    without = Study.open(settings, forget_files=True)
    assert (without.from_files, told(without)) == (0, [{"cook": 0.25}, {"cook": 1}])
    assert without.learnt_already() is None


async def test_scores_of_experts_that_the_registry_has_not_are_told_with_what_makes_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a shell without the server's variables its fallback's scores were dropped without a word."""
    settings = Settings(registry=write_registry(tmp_path), data_dir=tmp_path / "data")
    for expert in ("cook", "fallback", "fallback", "sage"):
        await score(settings, f"how do I boil rice, {expert}", expert, 1)
    study = Study.open(settings)
    (said,) = study.summary()["warnings"]
    assert said == (
        "the ledger has scores that nothing is learnt from, 2 of fallback, 1 of sage, and the registry has no such "
        "expert: they are left out. Remedy: the expert fallback is made by SHOAL_FALLBACK_URL, SHOAL_FALLBACK_MODEL "
        "and the like: set them here as for the server; if it was renamed, give it its old id"
    )
    assert caplog.text == ""
    assert told(study) == [{"cook": 1}]
    assert caplog.text.count(said) == 1
    (tmp_path / "other").mkdir()
    of_sage = Settings(registry=settings.registry, data_dir=tmp_path / "other")
    await score(of_sage, "how do I boil rice", "sage", 1)
    assert Study.open(of_sage).lost[0].endswith("left out. Remedy: if it was renamed, give it its old id")
