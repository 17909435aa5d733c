"""What is certified is what serves: an edition that praises an expert beyond its domain cannot keep a promise by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server, rows, write_registry
from tests.service.test_learn import learn, wait_for_edition
from tests.service.test_promises import ADMIN, POEMS, RECIPES, certificates

THEMES = (
    "the rain",
    "a lighthouse",
    "my grandmother",
    "old trains",
    "a snowman",
    "bees",
    "the harvest",
    "a sleepy dog",
)
WAYS = ("write verses on {} {}", "a short poem about {} {}", "an ode to {} {}", "rhyme something about {} {}")
HOW = ("for a card", "in three stanzas", "without clichés", "to read aloud")


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("learnt")
    path: Path = write_registry(folder)
    rows(folder / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(folder / "recipes.jsonl", [{"input": text} for text in RECIPES])
    path.write_text(path.read_text().replace("policies: {", "policies: {safe: {max_risk: 0.05}, "))
    return start(path, SHOAL_ADMIN_KEY="a" * 32)


def chosen(server: Server, text: str, policy: str) -> str:
    body = {"model": f"auto:{policy}", "messages": [{"role": "user", "content": text}]}
    status, answer, _ = server.post("/v1/route", body, ADMIN)
    assert status == 200, answer
    expert: str = answer["decision"]["expert"]
    return expert


def lost(server: Server, policy: str) -> float:
    """Share of the labelled requests that an expert of another domain would answer."""
    labelled = [*((text, "poet") for text in POEMS[::3]), *((text, "cook") for text in RECIPES[::3])]
    wrong = [chosen(server, text, policy) not in (able, "big") for text, able in labelled]
    return sum(wrong) / len(wrong)


@pytest.mark.parametrize(
    ("repeats", "state"),
    [(0, "valid"), (72, "valid"), (len(POEMS), "refused")],
    ids=["others", "half the examples too", "all the examples too"],
)
def test_praise_of_a_bad_expert_costs_the_promise_not_the_users(
    server: Server, tmp_path: Path, repeats: int, state: str
) -> None:
    learn(server, "rollback", "0")
    wait_for_edition(server, 0)
    before = certificates(server)["safe"]
    assert (before["state"], before["source"]) == ("valid", "examples")
    assert before["kept"] > 0.5
    assert chosen(server, POEMS[0], "safe") == "poet"

    # Nobody says how well the fallback did, so the labelled examples go on telling what is lost.
    texts = [*(way.format(theme, how) for way in WAYS for theme in THEMES for how in HOW), *POEMS[:repeats]]
    path = tmp_path / "praise.jsonl"
    rows(path, [{"input": text, "outcomes": {"cook": {"score": 1.0}}} for text in texts])
    edition = learn(server, "apply", "--force", "--outcomes", str(path))["edition"]
    wait_for_edition(server, edition)

    assert chosen(server, POEMS[0], "balanced") == "cook", "a plain threshold believes what it is told"
    assert lost(server, "balanced") > 0.05
    assert lost(server, "safe") <= 0.05
    after = certificates(server)["safe"]
    assert after["state"] == state
    assert after.get("threshold", 1) > before["threshold"]


def test_a_restart_promises_the_same(server: Server) -> None:
    """The judge is read back from its file, with what it says of requests left out."""
    before: dict[str, Any] = certificates(server)
    server.stop()
    server.start()
    after = certificates(server)
    for policy, said in before.items():
        assert (after[policy]["state"], after[policy].get("threshold")) == (said["state"], said.get("threshold"))
    assert json.loads(server.get("/readyz")[1])["promises"].keys() == before.keys()
