"""What a valid registry is warned of, held against what its judge does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from experts.registry import load_registry
from experts.spec import LabelsSpec, Registry
from router.encode import Encoder
from router.learn.cautions import cautions, examples_by_id, foretold, shared, unheard
from router.learn.editions import Editions
from router.learn.evidence import Outcomes
from router.learn.fit import fit_judge
from router.learn.newcomer import warnings_about
from router.learn.surface import surface

ROOT = Path(__file__).resolve().parents[3]
THINGS = ("rice", "an egg", "beans", "a fish", "corn", "soup", "pasta", "lentils", "a crab", "plums")
DISHES: Final = [f"{way} {thing}?" for way in ("How long do I cook", "Which oil goes with") for thing in THINGS]
TABLES: Final = [f"Which {column} has the {table}?" for column in ("name", "key") for table in ("user", "cat", "town")]
REGISTRY = """
version: 1
encoder: {{path: {encoder}, sha256: "{sha256}"}}
fallback: big
default_policy: plain
policies: {{plain: {{threshold: 0.7}}}}
power: {{dynamic_w_per_core: 2, source: s, as_of: 2026-11-01}}
{more}
experts:
  - {{id: cook, kind: scripted, description: c, script: say.jsonl, examples: cook.jsonl, params_b: 1, context: 4096}}
  - {{id: chef, kind: scripted, description: c, script: say.jsonl, examples: chef.jsonl, params_b: 1, context: 9{and_}}}
  - {{id: big, kind: scripted, description: b, script: say.jsonl, params_b: 8, context: 4096}}
"""


def registry_of(folder: Path, cook: list[str], chef: list[str], more: str = "", and_: str = "") -> Registry:
    encoder = load_registry(ROOT / "registry.yaml", {}).registry.encoder
    text = REGISTRY.format(encoder=encoder.path, sha256=encoder.sha256, more=more, and_=and_)
    (folder / "registry.yaml").write_text(text)
    (folder / "say.jsonl").write_text('{"match": ".", "reply": "Yes."}\n')
    for name, texts in (("cook", cook), ("chef", chef)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"input": text}) + "\n" for text in texts))
    return load_registry(folder / "registry.yaml", {}).registry


def test_examples_of_two_experts_are_told_with_both_and_one_of_them(tmp_path: Path) -> None:
    """Each of the two had half of the probability, and neither was asked."""
    registry = registry_of(tmp_path, DISHES, [text.upper() + " " for text in DISHES[:3]] + TABLES)
    encoder = Encoder.of(registry.encoder)
    judge = fit_judge(registry, encoder, tmp_path / "vectors").judge
    asked = judge.judge(encoder.encode(DISHES[0]), surface(DISHES[0]))
    assert max(asked.probability.values()) < registry.policies["plain"].threshold, "what is warned of is so"
    (said,) = cautions(registry)
    assert said.startswith(
        "cook and chef have 3 examples in common (such as 'How long do I cook rice?'), so of requests"
    )
    assert "Remedy: leave them out of one of the two, or give both the same `domain`" in said
    texts = examples_by_id(registry)
    assert list(shared(registry, texts, "cook")) == list(shared(registry, texts, "chef")) == [said]
    assert list(shared(registry, texts, "big")) == []


def test_experts_of_one_domain_may_have_the_same_examples(tmp_path: Path) -> None:
    assert cautions(registry_of(tmp_path, DISHES, DISHES, and_=", domain: cook")) == []


def test_an_example_that_nobody_should_answer_is_told(tmp_path: Path) -> None:
    (tmp_path / "outside.jsonl").write_text(json.dumps({"input": f"{'very ' * 20}strange"}) + "\n")
    told = [*TABLES, f"{'very ' * 20}strange"]
    (said,) = cautions(registry_of(tmp_path, DISHES, told, "outside: outside.jsonl"))
    assert said.startswith(
        f"chef and `outside` have 1 example in common ('{('very ' * 20)[:59]}…'), so chef is hardly sent"
    )


def test_of_many_pairs_the_worst_are_named(tmp_path: Path) -> None:
    registry = registry_of(tmp_path, DISHES, TABLES)
    (cook, chef, big), more = registry.experts, []
    for at in range(4):
        path = tmp_path / f"{at}.jsonl"
        path.write_text("".join(json.dumps({"input": text}) + "\n" for text in [*DISHES[: at + 1], f"only of {at}"]))
        more.append(chef.model_copy(update={"id": f"chef{at}", "examples": path}))
    found = cautions(registry.model_copy(update={"experts": (cook, chef, big, *more)}))[3:]
    assert [said.split(" have ")[0] for said in found[:3]] == ["cook and chef3", "cook and chef2", "chef2 and chef3"]
    assert found[3:] == ["7 more pairs of experts have examples in common. Remedy: as above"]


@pytest.mark.parametrize("outside", [False, True])
def test_few_examples_are_told_whoever_wrote_them(tmp_path: Path, outside: bool) -> None:
    (tmp_path / "outside.jsonl").write_text('{"input": "Who won the war?"}\n')
    more = "outside: outside.jsonl" if outside else ""
    few, *rest = cautions(registry_of(tmp_path, DISHES[:9], TABLES[:4], more))
    assert few.startswith("chef: 4 examples are too few to tell its requests from others")
    assert [said[:31] for said in rest] == ([] if outside else ["13 examples in all are too few "])


def with_outcomes(folder: Path, cook: list[str], chef: list[str], scores: dict[str, list[float]]) -> Registry:
    """Every score is of another request."""
    rows = [
        {"input": f"{expert} {at}: {TABLES[at % len(TABLES)]}", "outcomes": {expert: {"score": score}}}
        for expert, every in scores.items()
        for at, score in enumerate(every)
    ]
    (folder / "outcomes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return registry_of(folder, cook, chef, "outcomes: outcomes.jsonl")


def test_outcomes_of_nobody_here_are_told_and_hide_nothing(tmp_path: Path) -> None:
    """With one line of outcomes, of whomever, nothing was said of too few examples any more."""
    registry = with_outcomes(tmp_path, DISHES[:2], TABLES[:2], {"sage": [1]})
    cook, chef, blind, left = cautions(registry)
    assert cook.startswith("cook: 2 examples are too few to tell its requests from others")
    assert chef.startswith("chef: 2 examples are too few")
    assert blind.startswith("4 examples in all are too few to tell a request that is like none of them")
    assert left == f"{registry.outcomes}: outcomes of sage are left out, for the registry has no such expert"


@pytest.mark.parametrize(("scores", "warned"), [(19, True), (20, False)])
def test_few_examples_are_enough_beside_as_many_scores_as_outweigh_them(
    tmp_path: Path, scores: int, warned: bool
) -> None:
    registry = with_outcomes(tmp_path, DISHES, TABLES[:4], {"chef": [1.0] * scores})
    encoder = Encoder.of(registry.encoder)
    said = cautions(registry) + warnings_about("chef", registry, encoder, tmp_path / "vectors")
    assert len([each for each in said if "4 examples are too few" in each]) == (2 if warned else 0)
    assert foretold(registry, "chef") is warned
    assert foretold(registry, "cook")
    assert not foretold(registry, "big")


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (
            [1.0] * 2,
            "no examples and 2 scores: with fewer than 20 it is believed at most half of what they say. Remedy: ",
        ),
        ([1.0] * 20, "no examples and 20 scores, none below 0.5: nothing tells which requests it cannot answer, so "),
        ([1.0] * 19 + [0.0], None),
    ],
)
def test_what_outcomes_alone_tell_too_little_of_is_said(tmp_path: Path, scores: list[float], told: str | None) -> None:
    registry = with_outcomes(tmp_path, DISHES, [], {"chef": scores, "big": [1.0]})
    cook, chef, big = registry.experts
    bare = registry.model_copy(update={"experts": (cook, chef.model_copy(update={"examples": None}), big)})
    (said,) = cautions(bare) or [""]
    assert said.startswith(f"chef: {told}") if told else not said
    judge, asked = fit_judge(bare, Encoder.of(bare.encoder), tmp_path / "vectors").judge, surface(TABLES[0])
    sure = judge.judge(Encoder.of(bare.encoder).encode(TABLES[0]), asked).probability["chef"]
    assert len(scores) >= 20 or sure <= 0.5, "what is warned of is so"


def test_what_all_outcomes_or_examples_begin_with_is_told(tmp_path: Path) -> None:
    """It swamped the vectors, and nobody was told."""
    long = "Answer briefly and kindly, in the customer's language. " * 5
    path = tmp_path / "outcomes.jsonl"
    rows = [{"input": long + text, "outcomes": {"cook": {"score": 1}}} for text in DISHES]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dishes = [long + text for text in DISHES]
    said = cautions(registry_of(tmp_path, dishes, TABLES, "outcomes: outcomes.jsonl"))
    assert [each.partition(" characters")[0] for each in said] == [
        "cook: its examples: all 20 texts begin with the same 275",
        f"{path}: all 20 texts begin with the same 275",
    ]
    assert not any("begin with" in each for each in cautions(registry_of(tmp_path, dishes + DISHES, TABLES)))


def test_scores_of_experts_that_there_are_no_more_are_told(tmp_path: Path) -> None:
    """An edition whose experts were renamed served, its scores were ignored, and nobody was told."""
    editions = Editions(tmp_path)
    assert unheard(editions, 0, ["cook"]) is None
    two = Outcomes(("cook", "sage"), np.eye(1, 384, dtype=np.float32), np.zeros((1, 8), np.float32), np.ones((1, 2)))
    number = editions.add(two, np.zeros(1, np.int32), {"maker": "m"})
    assert unheard(editions, number, ["cook", "sage"]) is None
    said = unheard(editions, number, ["cook"]) or ""
    assert said.startswith("edition 1, learnt from use, has scores of sage, and the registry has no such expert")
    assert "Remedy: if it was renamed, give it its old id; else shoal learn apply" in said


def test_an_input_with_two_labels_is_told(tmp_path: Path) -> None:
    """Either was answered, and nothing said so."""
    registry = registry_of(tmp_path, DISHES, TABLES)
    told = [(DISHES[0], "food"), (DISHES[0], "drink"), (DISHES[1], "food"), (DISHES[1], "food")]
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps({"input": text, "label": label}) + "\n" for text, label in told))
    spec = LabelsSpec(kind="labels", id="queue", description="q", labels=path, params_b=0, context=256, domain="cook")
    said = cautions(registry.model_copy(update={"experts": (*registry.experts, spec)}))
    assert said == [
        f"queue: labels.jsonl gives 1 input more than one label, such as {DISHES[0]!r} (food, drink), and either may "
        "be answered. Remedy: leave the right one"
    ]
