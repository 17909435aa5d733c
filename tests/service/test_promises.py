"""A policy of risk, served: certified at the start, refused when traffic turns strange, certified again by an edit."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.promises.drift import WINDOW
from tests.service.server import Server, eventually, rows, write_registry
from tests.service.test_admin import INLINE, PLANTS
from tests.service.test_metrics import samples
from tests.service.test_reload import version

ADMIN = {"authorization": "Bearer " + "a" * 32}

POEMS = [
    f"{what} about {of} {how}"
    for what, of, how in itertools.product(
        ["write a poem", "a haiku", "compose a sonnet", "some verses", "a limerick", "an ode"],
        ["the sea", "my cat", "autumn leaves", "the moon", "a baker", "coffee"],
        ["please", "that rhymes", "for my wife", "in four lines"],
    )
]
RECIPES = [
    f"{what} {of} {how}"
    for what, of, how in itertools.product(
        ["how do I cook", "a recipe for", "what goes into", "how long to bake", "how to season", "ingredients of"],
        ["risotto", "banana bread", "potatoes", "a curry", "chocolate cake", "roast chicken"],
        ["quickly", "without butter", "for six people", "in the oven"],
    )
]
STRANGE = [f"Fehlermeldung {at}: der Server antwortet nicht, Protokollzeile {at * 7} prüfen" for at in range(WINDOW)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("safe")
    path = write_registry(folder)
    rows(folder / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(folder / "recipes.jsonl", [{"input": text} for text in RECIPES])
    text = path.read_text()
    more = "safe: {max_risk: 0.05}, sure: {max_risk: 0.001}, thrifty: {max_fallback_share: 0.3}"
    path.write_text(text.replace("policies: {", f"policies: {{{more}, "))
    return path


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], registry: Path) -> Server:
    return start(registry, SHOAL_ADMIN_KEY="a" * 32)


def certificates(server: Server) -> dict[str, dict[str, Any]]:
    status, body = server.get("/admin/certificates", ADMIN)
    assert status == 200, body
    assert json.loads(body)["registry_version"] == version(server)
    return {each["policy"]: each for each in json.loads(body)["data"]}


def ask(server: Server, text: str, policy: str = "safe") -> tuple[str, str]:
    """Who answers, and why."""
    body = {"model": f"auto:{policy}", "messages": [{"role": "user", "content": text}]}
    status, answer, _ = server.post("/v1/chat/completions", body)
    assert status == 200, answer
    return answer["model"], answer["shoal"]["decision"]["reason"]


def arrive(server: Server, texts: Iterator[str]) -> None:
    """One window of requests."""
    for text in itertools.islice(texts, WINDOW):
        ask(server, text)


def test_a_promise_is_certified_listed_and_served(server: Server) -> None:
    found = certificates(server)["safe"]
    assert (found["state"], found["why"], found["kind"], found["source"]) == ("valid", None, "certificate", "examples")
    assert len(POEMS) < found["n"] < len(POEMS) + len(RECIPES), "those that differ in a word count once"
    assert found["loss"] <= found["bound"] <= found["max_risk"] == 0.05
    assert found["kept"] > 0.2
    kept = json.loads((server.folder / "data/certificates/safe.json").read_text())
    assert kept["certificate"]["threshold"] == found["threshold"]
    assert ask(server, "compose a sonnet about the sea please")[0] == "poet"
    assert ask(server, "how do I cook a curry quickly")[0] == "cook"


@pytest.mark.parametrize("policy", ["safe", "sure", "thrifty"])
def test_the_command_line_decides_as_the_server_does(server: Server, policy: str) -> None:
    for text in (POEMS[1], "what is the capital of Peru"):
        told = server.shoal("route", text, "--model", f"auto:{policy}", "--json")
        assert told.returncode == 0, told.stderr
        body = {"model": f"auto:{policy}", "messages": [{"role": "user", "content": text}]}
        served, shown = server.post("/v1/route", body)[1], json.loads(told.stdout)
        assert shown["decision"] == served["decision"]
        assert shown.get("flips") == served.get("flips")


def test_the_list_needs_the_admin_key(server: Server) -> None:
    assert server.get("/admin/certificates")[0] == 401
    assert server.get("/admin/certificates", {"authorization": "Bearer wrong"})[0] == 401


def test_what_cannot_be_promised_goes_to_the_fallback_and_says_so(server: Server) -> None:
    found = certificates(server)["sure"]
    assert found["state"] == "refused"
    assert "takes at least" in found["why"]
    assert "Remedy: " in found["why"]
    model, reason = ask(server, "compose a sonnet about the sea please", "sure")
    assert model == "big"
    assert reason == f"policy sure can promise nothing: {found['why']}"
    ready = json.loads(server.get("/readyz")[1])["promises"]
    assert ready["sure"] == {"state": "refused", "why": found["why"]}
    assert found["why"] in server.log()


def test_they_are_made_again_on_demand(server: Server) -> None:
    path, before = server.folder / "data/certificates/safe.json", certificates(server)
    good = path.read_text()
    path.write_text("{")
    status, answer, _ = server.send("POST", "/admin/certificates", None, ADMIN)
    assert status == 200, answer
    assert {each["policy"]: each for each in json.loads(answer)["data"]} == before == certificates(server)
    assert path.read_text() == good
    assert server.send("POST", "/admin/certificates", None, None)[0] == 401


def test_metrics_say_which_policies_keep_their_word(server: Server) -> None:
    found = {key[1]: value for key, value in samples(server).items() if key[0] == "shoal_promise_kept"}
    assert found == {"safe": 1, "sure": 0, "thrifty": 1}


def test_strange_traffic_voids_the_certificate_until_it_is_like_the_examples_again(
    server: Server, registry: Path
) -> None:
    usual = iter(sorted(POEMS + RECIPES, key=hash_of) * 3)
    arrive(server, iter(STRANGE))
    eventually(lambda: certificates(server)["safe"]["drift"]["looks"] > 0)
    arrive(server, iter(STRANGE))  # whatever else was in the first window
    found = certificates(server)["safe"]
    assert found["state"] == "refused"
    assert json.loads(server.send("POST", "/admin/certificates", None, ADMIN)[1])["data"][0]["state"] == "refused"
    assert found["drift"]["statistic"] > found["drift"]["limit"]
    assert "recent traffic is not like" in found["why"]
    another_expert_lifts_nothing(server, registry)
    a_restart_lifts_nothing(server)
    model, reason = ask(server, POEMS[0])
    assert model == "big"
    assert "recent traffic is not like" in reason
    assert ask(server, POEMS[0], "balanced")[0] == "poet"  # a plain threshold promises nothing that could be broken
    arrive(server, usual)
    arrive(server, usual)
    assert certificates(server)["safe"]["state"] == "valid"
    assert ask(server, POEMS[0])[0] == "poet"


def another_expert_lifts_nothing(server: Server, registry: Path) -> None:
    """Added, looked at beforehand and removed: the requests that were strange still are.

    No request of a budget came before: its threshold may well move.
    """
    rows(registry.parent / "gardener.jsonl", [{"match": ".", "reply": "Water it."}])
    as_json = ADMIN | {"content-type": "application/json"}
    body, was = json.dumps({"expert": INLINE, "examples": PLANTS}).encode(), version(server)
    status, seen, _ = server.send("POST", "/admin/experts/preview", body, as_json)
    assert status == 200, seen
    told = json.loads(seen)
    assert {each["policy"]: each["state"] for each in told["promises"]}["safe"] == "refused"
    assert told["recent"]["moved"] == []
    for method, path, sent in (("POST", "/admin/experts", body), ("DELETE", "/admin/experts/gardener", None)):
        status, answer, _ = server.send(method, path, sent, as_json)
        assert status in (200, 201), answer
        assert version(server) != was
        assert certificates(server)["safe"]["state"] == "refused"
        assert certificates(server)["safe"]["drift"]["looks"] > 0
        was = version(server)


def a_restart_lifts_nothing(server: Server) -> None:
    server.stop()
    server.start()
    found = certificates(server)["safe"]
    assert found["state"] == "refused"
    assert found["drift"]["statistic"] > found["drift"]["limit"]
    every_command_says_so(server)


def every_command_says_so(server: Server) -> None:
    """What a server saw arrive is on file, and counts for what is looked at beside it."""
    ready = json.loads(server.get("/readyz")[1])["promises"]
    done = server.shoal("eval", "certify", "--json")
    assert done.returncode == 1, done.stderr
    assert {each["policy"]: {"state": each["state"], "why": each["why"]} for each in json.loads(done.stdout)} == ready
    outcomes = server.folder / "outcomes.jsonl"
    rows(outcomes, [{"input": text, "outcomes": {"poet": {"score": 1}}} for text in POEMS[:40]])
    done = server.shoal("learn", "try", "--outcomes", str(outcomes), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["promises"]
    assert told["before"] == ready
    assert told["after"]["safe"]["state"] == "refused", "the same requests as arrived, held against the new evidence"


def hash_of(text: str) -> str:
    """An order that has nothing to do with how the texts were made."""
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_budget_is_an_estimate(server: Server) -> None:
    found = certificates(server)["thrifty"]
    assert (found["kind"], found["aim"], found["budget"]) == ("estimate", "max_fallback_share", 0.3)
    assert found["state"] == "valid"
    assert found["expected"] <= 0.3
    models = [ask(server, text, "thrifty")[0] for text in POEMS + RECIPES]
    assert {"poet", "cook", "big"} == set(models)
    assert models.count("big") / len(models) <= 0.35  # the estimate is made with each of them left out


def test_an_edit_certifies_again_at_once(server: Server, registry: Path) -> None:
    before, was = certificates(server)["safe"], version(server)
    registry.write_text(registry.read_text().replace("max_risk: 0.05", "max_risk: 0.1"))
    eventually(lambda: version(server) != was)
    after = certificates(server)["safe"]
    assert (after["state"], after["max_risk"]) == ("valid", 0.1)
    assert after["registry"] != before["registry"]
    assert "the registry has changed" in after["replaced"]
    assert after["kept"] >= before["kept"]
    was = version(server)
    registry.write_text(registry.read_text().replace("max_fallback_share: 0.3", "max_fallback_share: 0.4"))
    eventually(lambda: version(server) != was)
    assert certificates(server)["safe"] == after, "read from its file, and still the one that was made anew"


def test_a_damaged_file_is_refused_told_and_made_again(
    start: Callable[..., Server], server: Server, registry: Path
) -> None:
    path = server.folder / "data/certificates/safe.json"
    good = path.read_text()
    server.stop()
    path.write_text(good.replace('"threshold": ', '"threshold": 0'))
    server.start()
    found = certificates(server)["safe"]
    assert found["state"] == "valid"
    assert "is damaged" in found["replaced"]
    assert path.read_text() == good
    assert "is damaged" in server.log()
