"""Twenty examples as an owner would choose them are one of each kind; a newcomer's figures are of its own requests."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.added import Added, judges, told
from eval.answered import left_out_sent
from eval.newcomers import (
    ADDED,
    CHAT,
    PUBLIC,
    STRANGE,
    Newcomer,
    covering,
    each_the_last,
    joined,
    strangers_added,
    there,
    together,
)
from experts.registry import load_registry
from experts.rows import read_rows
from experts.spec import LabelsSpec
from router.encode import Encoder
from router.learn.coverage import coverage
from router.learn.fit import outside_of
from router.rule import Rule
from tests.conftest import ROOT
from tests.service.server import CACHE


@pytest.fixture(scope="module")
def tickets() -> Iterator[tuple[Newcomer, dict[str, str], Encoder]]:
    """The ticket expert as a newcomer, and the queue of each of its examples."""
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    spec = registry.expert("triage")
    assert isinstance(spec, LabelsSpec)
    queues = {row["input"]: row["label"] for row in read_rows(spec.labels, {"input": str, "label": str})}
    yield Newcomer("triage", spec.label, list(queues), {}), queues, Encoder.of(registry.encoder)


def test_chosen_examples_cover_more_kinds_than_drawn_ones(
    tickets: tuple[Newcomer, dict[str, str], Encoder],
) -> None:
    newcomer, queues, encoder = tickets
    draw = covering(encoder, CACHE / "vectors")
    chosen = [draw(newcomer, seed) for seed in range(5)]
    assert all(15 <= len(set(each)) == len(each) <= ADDED for each in chosen)
    assert draw(newcomer, 0) == chosen[0]
    covered, drawn = (
        np.mean([len({queues[text] for text in each}) for each in several])
        for several in (chosen, [newcomer.few(seed) for seed in range(5)])
    )
    assert covered > drawn


def test_what_is_taken_is_of_its_own_requests_and_what_it_costs_of_the_others() -> None:
    own, theirs = np.array([[True, True, False, False]]), np.array([[False, False, True, True]])
    before = np.array([[[0, 0, 1, 1], [0, 0, 1, 1]]], float)
    at_once = np.array([[[1, 0, 1, 0.5], [1, 1, 1, 1]]])
    found = Added(own, theirs, before, at_once, before + 0, np.zeros(1)).figures()
    values = {name: each["value"] for name, each in found.items()}
    assert (values["taken"], values["cost"], values["cost_later"]) == (0.5, 0.25, 0)
    assert (values["likeliest_taken"], values["likeliest_cost"]) == (1, 0)


def test_a_request_of_the_others_is_counted_once_however_many_newcomers_there_are() -> None:
    own = np.array([[True, False, False, False], [False, True, False, False]])
    theirs = np.array([[False, True, True, False], [True, False, True, False]])
    nothing = np.zeros((2, 2, 4))
    groups = [(Newcomer(name, name, [], {}),) for name in ("weather", "bank")]
    found = told(Added(own, theirs, nothing, nothing, nothing, np.array([0.4, 0.8])), groups)
    assert found["requests"] == 3, "one that is nobody's is not asked"
    assert list(found["newcomers"]) == ["weather", "bank"]
    assert found["foretold"]["newcomers"] == {"weather": 0.4, "bank": 0.8}


def test_a_forecast_is_off_by_what_it_misses_on_either_side() -> None:
    own, nothing = np.array([[True, True, False, False], [False, False, True, True]]), np.zeros((2, 2, 4))
    taken = nothing.copy()
    taken[0, 0, 0] = taken[1, 0, 2] = taken[1, 0, 3] = 1
    found = Added(own, ~own, nothing, taken, nothing, np.array([0.75, 0.75])).forecast()
    assert (found["share"], found["off"]) == (0.75, 0.25), "half instead of .75, all instead of .75"


def test_what_is_foretold_is_what_an_owner_is_told(tickets: tuple[Newcomer, dict[str, str], Encoder]) -> None:
    newcomer, _, encoder = tickets
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    added = {newcomer.expert: (newcomer.label, newcomer.few(0))}
    judge = judges(outside_of(registry), encoder, CACHE / "vectors")({**there(registry), **added})
    owner = coverage(newcomer.expert, judge, registry, Rule.of("balanced", registry.policies["balanced"]))
    assert 0 < owner.answered < owner.examples == ADDED
    assert left_out_sent(judge, {newcomer.expert: newcomer.label}) == owner.answered / owner.examples


def rows(path: Path, key: str, domains: list[str]) -> None:
    """A file of public data's form: thirty rows to learn from, one to choose by and two to ask of every domain."""
    splits = ["train"] * 30 + ["validation", "test", "test"]
    told = [{"input": f"{name} {at}", key: name, "split": split} for name in domains for at, split in enumerate(splits)]
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in told)


def test_strangers_learn_from_training_rows_are_asked_of_test_rows_and_are_no_business_of_the_registrys(
    tmp_path: Path,
) -> None:
    registry = load_registry(ROOT / "registry.yaml", {}).registry
    rows(tmp_path / "snips_slots.jsonl.gz", "task", ["PlayMusic", "GetWeather"])
    rows(tmp_path / "clinc150.jsonl.gz", "label", [*sorted(CHAT), *(f"intent_{at}" for at in range(STRANGE + 5))])
    rows(tmp_path / "banking77.jsonl.gz", "label", ["card_arrival", "top_up"])
    found, asked, before = strangers_added(registry, tmp_path)
    assert {"play-music", "get-weather", "bank"} < {each.label for each in found}
    assert len(found) == STRANGE + 3
    assert not {each.label.replace("-", "_") for each in found} & CHAT
    assert all(each.others == there(registry) for each in found)
    assert not {text for text, _ in asked} & {text for each in found for text in each.examples}
    assert {label for _, label in asked} == {each.label for each in found}
    assert sorted(text for text, label in asked if label == "bank")[:2] == ["card_arrival 31", "card_arrival 32"]
    known = {text for text, _ in asked} | {text for each in found for text in each.examples}
    assert len(before) == len(found) + 1 and not known & set(before), "a row of each, and of the bank's two"
    grown = joined(registry, found)
    assert [spec.label for spec in grown.experts[len(registry.experts) :]] == [each.label for each in found]


def test_newcomers_added_together_are_each_in_one_group() -> None:
    newcomers = [Newcomer(f"n{at}", f"n{at}", [], {}) for at in range(8)]
    groups = together(newcomers, 3)
    assert [len(group) for group in groups] == [3, 3]
    assert len({each.expert for group in groups for each in group}) == 6
    assert together(newcomers, 3) == groups


def test_the_last_newcomer_finds_all_the_rest_there_with_all_their_examples() -> None:
    first = {"chat": ("small talk", ["hi"])}
    newcomers = [Newcomer(name, f"about {name}", [f"{name} {at}" for at in range(30)], first) for name in "abc"]
    found = each_the_last(newcomers)
    assert [(each.expert, each.label, each.examples) for each in found] == [
        (each.expert, each.label, each.examples) for each in newcomers
    ]
    assert [list(each.others) for each in found] == [["chat", "b", "c"], ["chat", "a", "c"], ["chat", "a", "b"]]
    assert found[0].others["c"] == ("about c", newcomers[2].examples)
    assert newcomers[0].others == first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data", "nowhere"), "added: --data: there is no nowhere/snips_slots.jsonl.gz. Remedy: name the folder"),
        (("--out", "nowhere/added.json"), "added: --out: nowhere/added.json cannot be written: No such file or dir"),
        (("--seeds", "0"), "'--seeds': "),
    ],
)
def test_wrong_usage_is_told_before_anything_is_measured(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    for name in PUBLIC:
        (tmp_path / name).touch()
    command = [sys.executable, "-m", "eval.added", "--data", str(tmp_path), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


RECORD = {"encoder": "another", "seeds": 5, "added": 20, "together": 3}


@pytest.mark.parametrize(
    ("name", "record", "said"),
    [
        ("nobody", RECORD, "--only: no group is called 'nobody'. Remedy: one of owners, strangers,"),
        ("owners", None, "Remedy: measure all groups first, without --only"),
        ("owners", RECORD, "was made with another encoder. Remedy: measure all groups, without --only"),
    ],
)
def test_a_group_is_measured_again_only_in_a_record_of_the_same_terms(
    tmp_path: Path, name: str, record: dict[str, Any] | None, said: str
) -> None:
    for each in PUBLIC:
        (tmp_path / each).touch()
    if record is not None:
        (tmp_path / "added.json").write_text(json.dumps(record))
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "added.json"), "--only", name]
    done = subprocess.run([sys.executable, "-m", "eval.added", *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("added: --only: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_data_that_is_damaged_is_one_line(tmp_path: Path) -> None:
    for name in PUBLIC:
        (tmp_path / name).touch()
    command = [sys.executable, "-m", "eval.added", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("added: ")
    assert done.stderr.count("\n") == 1
