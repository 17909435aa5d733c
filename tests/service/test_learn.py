"""Learning from use, end to end: ask, say how good it was, learn, see the choice change, take it back."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shoal.learn import app
from tests.service.server import POEMS, RECIPES, ROOT, Server, eventually, write_registry
from tests.service.test_metrics import samples

DISHES = (
    "lentils",
    "pancakes",
    "goulash",
    "tofu",
    "a pumpkin soup",
    "sushi",
    "waffles",
    "a potato salad",
    "tacos",
    "plum jam",
)
WAYS = (
    "how do I cook {}",
    "recipe for {}",
    "what goes into {}",
    "how long does it take to make {}",
    "bake {} for six people",
)
NEW_DISHES = ("ratatouille", "gnocchi", "an omelette", "a cheesecake", "dumplings")
NEW_POEMS = (
    "a poem about the moon",
    "write verses on spring",
    "a haiku about snow please",
    "rhyme something for my dad",
)


def ask(server: Server, text: str) -> tuple[str, str]:
    """Who answers, and the id under which that can be spoken of."""
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    status, answer, headers = server.post("/v1/chat/completions", body)
    assert status == 200, answer
    return answer["model"], headers["x-request-id"]


def use(server: Server, texts: list[str], score_of: dict[str, float]) -> None:
    """Ask, and score every answer by who gave it."""
    for text in texts:
        expert, request_id = ask(server, text)
        status, body, _ = server.post("/v1/feedback", {"request_id": request_id, "score": score_of[expert]})
        assert (status, body["learnable"]) == (200, True)


def learn(server: Server, *arguments: str, code: int = 0) -> Any:
    done = server.shoal("learn", *arguments, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


def wait_for_edition(server: Server, number: int) -> None:
    eventually(lambda: json.loads(server.get("/readyz")[1])["registry"]["edition"] == number, server.log)


def cooks(server: Server) -> int:
    """How many recipes that nobody asked for yet go to the cook."""
    return sum(ask(server, way.format(dish))[0] == "cook" for way in WAYS[:2] for dish in NEW_DISHES)


def poets(server: Server) -> int:
    return sum(ask(server, text)[0] == "poet" for text in NEW_POEMS)


@pytest.fixture(scope="module")
def served(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    path = write_registry(tmp_path_factory.mktemp("registry"))
    path.write_text(path.read_text().replace("policies: {", "policies: {safe: {max_risk: 0.05}, "))
    return start(path)


def promises(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/readyz")[1])["promises"]
    return found


def test_an_expert_that_keeps_failing_loses_its_traffic_and_gets_it_back(served: Server) -> None:
    nothing = served.shoal("learn", "try")
    assert nothing.returncode == 1
    assert "no outcomes to learn from. Remedy: serve requests that name no expert" in nothing.stderr
    assert "Traceback" not in nothing.stderr
    cooks_before, poets_before = cooks(served), poets(served)
    assert (cooks_before, poets_before) == (len(NEW_DISHES) * 2, len(NEW_POEMS))

    use(served, RECIPES + [way.format(dish) for way in WAYS for dish in DISHES], {"cook": 0, "big": 1, "poet": 1})
    use(served, POEMS, {"cook": 0, "big": 1, "poet": 1})
    body = {"model": "poet", "messages": [{"role": "user", "content": POEMS[0]}]}
    named = served.post("/v1/chat/completions", body)[2]["x-request-id"]
    status, told, _ = served.post("/v1/feedback", {"request_id": named, "score": 0})
    assert (status, told["learnable"]) == (200, False)
    shown = " ".join(served.shoal("learn", "show").stdout.split())
    assert "scores that teach nothing: 1. Their requests named an expert, so there was nothing to choose" in shown
    assert "had no text, or came while the registry kept no vectors" in shown
    shown = learn(served, "show")
    assert shown["scores_without_a_vector"] == 1
    assert shown["experts"]["cook"]["mean"] == 0
    assert shown["experts"]["poet"]["mean"] == 1
    assert shown["sources"] == {"feedback": 70, "failed": 0, "escalated": 0}
    assert shown["edition"] == 0

    tried = learn(served, "try")
    assert "more than half of an expert's own examples would go to others: cook loses " in tried["refusal"]
    assert tried["after"]["brier"] < tried["before"]["brier"]
    assert {(row["from"], row["to"]) for row in tried["moved"]} == {("cook", "big")}
    assert tried["promises"]["before"] == promises(served)
    assert cooks(served) == cooks_before, "trying changes nothing"

    refused = learn(served, "apply", code=1)
    assert f"not applied: {tried['refusal']}. Remedy: look at shoal learn try, then gather more" in refused
    assert learn(served, "list")["current"] == 0
    applied = learn(served, "apply", "--force")
    assert applied["edition"] == 1
    wait_for_edition(served, 1)
    assert applied["promises"]["after"] == promises(served)
    assert cooks(served) <= 1
    assert poets(served) == poets_before, "what is learnt of one expert costs no other its traffic"
    routed = json.loads(served.shoal("route", "recipe for gnocchi", "--json").stdout)
    assert routed["decision"]["expert"] == "big", "the command knows what the server knows"

    assert learn(served, "rollback") == {"edition": 0}
    wait_for_edition(served, 0)
    assert cooks(served) == cooks_before

    assert learn(served, "rollback", "1") == {"edition": 1}
    wait_for_edition(served, 1)
    assert cooks(served) <= 1
    listed = learn(served, "list")
    assert listed["current"] == 1
    assert [each["requests"] for each in listed["editions"]] == [70]
    assert "Traceback" not in served.log()


def test_requests_that_nobody_scored_are_learnt_from_too(
    start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> None:
    server = start(write_registry(tmp_path_factory.mktemp("unscored")))
    asked = [way.format(dish) for way in WAYS[:2] for dish in DISHES[:5]] + [f"write a {text}" for text in NEW_POEMS]
    for text in [*asked, *asked[:5]]:
        ask(server, text)
    shown = learn(server, "show")
    assert (shown["with_scores"], shown["requests"]) == (0, len(asked) + 5)
    assert len(asked) / 2 < shown["unscored"] <= len(asked), "what is asked twice is one request"
    assert f"{shown['unscored']} different requests without a score" in server.shoal("learn", "show").stdout
    tried = learn(server, "try")
    assert (tried["told_by"], tried["scores"]) == ("examples", len(RECIPES) + len(POEMS))
    assert "different examples" in server.shoal("learn", "try").stdout
    learn(server, "apply", "--force")
    wait_for_edition(server, 1)
    (edition,) = learn(server, "list")["editions"]
    assert (edition["requests"], edition["unscored"], edition["experts"]) == (0, shown["unscored"], [])
    assert learn(server, "apply") == {"edition": 1, "new": False}
    _, request_id = ask(server, "recipe for gnocchi")
    server.post("/v1/feedback", {"request_id": request_id, "score": 1})
    few = "only 1 request has a score, 20 are needed"
    tried = learn(server, "try")
    assert (tried["refusal"], tried["told_by"]) == (None, "examples"), "one score stands in the way of nothing"
    assert tried["left_out"]["scores"].startswith(few)
    assert f"scores are left out, because with them: {few}" in " ".join(server.shoal("learn", "try").stdout.split())
    applied = learn(server, "apply")
    assert applied["left_out"] == tried["left_out"]
    wait_for_edition(server, applied["edition"])
    assert ask(server, "recipe for gnocchi")[0] == "cook"
    assert "Traceback" not in server.log()


def test_everything_works_without_a_server_too(served: Server) -> None:
    served.stop()
    assert learn(served, "rollback", "0") == {"edition": 0}
    assert learn(served, "show")["with_scores"] == 70
    exported = served.shoal("learn", "export")
    assert (exported.returncode, exported.stdout) == (0, "")
    assert "no texts with feedback are kept. Remedy: set `learning: {keep_text: true}`" in exported.stderr
    (last := served.folder / "last-month.jsonl").write_text("what was kept then\n")
    refused = served.shoal("learn", "export", "--out", str(last))
    assert (refused.returncode, last.read_text()) == (1, "what was kept then\n")
    assert f"no texts with feedback are kept, and {last} is not written. Remedy: " in refused.stderr
    assert learn(served, "apply", "--force")["edition"] == 2
    assert learn(served, "apply") == {"edition": 2, "new": False}
    tried = served.shoal("learn", "try")
    assert "promise is refused" not in tried.stderr, "what is only tried is not logged as if it served"
    (row,) = [line for line in served.shoal("learn", "list").stdout.splitlines() if line.lstrip().startswith("2 ")]
    assert re.search(r"2 \(serves\) +20\d\d-\d\d-\d\d \d\d:\d\d +70 +", row), row
    for command in (("show",), ("try",), ("list",)):
        done = served.shoal("learn", *command)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    served.start()
    wait_for_edition(served, 2)
    assert cooks(served) <= 1


def test_wrong_usage(served: Server) -> None:
    assert "there is no edition 9. Remedy: one of 0, 1, 2" in learn(served, "rollback", "9", code=2)
    missing = served.shoal("learn", "try", "--outcomes", "nowhere.jsonl")
    assert missing.returncode == 2
    assert "nowhere.jsonl" in missing.stderr
    run = CliRunner().invoke
    assert run(app, ["rollback", "--", "-1"]).exit_code == 2
    assert run(app, ["apply", "--outcomes"]).exit_code == 2
    for command in ("show", "try", "apply", "rollback", "list", "export"):
        told = run(app, [command, "--help"])
        assert told.exit_code == 0
        assert "Example: shoal learn" in told.stdout


def test_a_file_of_outcomes_is_learnt_from_too(served: Server, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    rows = [
        {
            "input": f"{way.format(dish)} today",
            "outcomes": {"cook": {"score": 1.0, "energy_j": 2}, "other": {"score": 0}},
        }
        for way in WAYS
        for dish in (*DISHES, *NEW_DISHES)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tried = learn(served, "try", "--outcomes", str(path))
    assert tried["scores"] == 70 + len(rows)
    applied = learn(served, "apply", "--outcomes", str(path), "--force")
    listed = learn(served, "list")
    assert listed["current"] == applied["edition"]
    assert listed["editions"][-1]["from_files"] == len(rows)
    assert "cook" in listed["editions"][-1]["experts"]
    assert "other" not in listed["editions"][-1]["experts"]


def test_what_got_worse_is_not_applied(served: Server, tmp_path: Path) -> None:
    learn(served, "rollback", "0")
    served.stop()
    served.ledger.unlink()
    served.start()
    # Answers that are good and bad by chance: nothing can be learnt, and the judge was right on average.
    for turn, text in enumerate(RECIPES):
        _, request_id = ask(served, text)
        served.post("/v1/feedback", {"request_id": request_id, "score": turn % 2})
    told = learn(served, "apply", code=1)
    assert "only 10 different requests have a score" in told
    assert "--force" in told
    assert learn(served, "list")["current"] == 0
    assert learn(served, "apply", "--force")["edition"] == 4


def registry_of(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/readyz")[1])["registry"]
    return found


def board_of(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/v1/dashboard")[1])["learnt"]
    return found


def serves_without_what_was_learnt(server: Server) -> None:
    """It starts with the registry's own judge, says so everywhere, and takes up an edit of the registry."""
    logged = len(server.log())
    server.start()
    said = registry_of(server)
    assert (said["edition"], said["refused_edit"]) == (0, None)
    assert "0001.safetensors: its vectors were made by" in said["refused_edition"]
    assert "Remedy: shoal learn apply, to learn anew" in said["refused_edition"]
    assert "nothing learnt is in use: " in server.log()[logged:]
    assert board_of(server) == {"edition": 0, "left_out": True}
    assert samples(server)["shoal_edition_left_out",] == 1
    overview = server.shoal("meter", "overview", "--server", server.base)
    assert "What was learnt from use is left out: shoal learn list says why" in " ".join(overview.stdout.split())
    assert "nothing learnt is in use: " in server.shoal("route", "recipe for gnocchi").stderr
    server.registry.write_text(server.registry.read_text().replace("max_risk: 0.05", "max_risk: 0.06"))
    eventually(lambda: registry_of(server)["version"] != said["version"], server.log)
    assert registry_of(server)["refused_edition"] == said["refused_edition"]
    assert cooks(server) == len(NEW_DISHES) * 2


def test_what_another_encoder_made_is_refused_everywhere_and_learnt_anew(served: Server, tmp_path: Path) -> None:
    learn(served, "rollback", "1")
    served.stop()
    model = bytearray((ROOT / "router/encoder/model.onnx").read_bytes())
    model[len(model) // 2] ^= 1  # amid the weights
    other = shutil.copytree(ROOT / "router/encoder", tmp_path / "encoder")
    (other / "model.onnx").write_bytes(model)
    text = served.registry.read_text().replace(str(ROOT / "router/encoder"), str(other))
    served.registry.write_text(re.sub(r"[0-9a-f]{64}", hashlib.sha256(model).hexdigest(), text, count=1))

    for said in (
        learn(served, "show")["refused"],
        learn(served, "list")["refused"],
        learn(served, "rollback", "1", code=1),
    ):
        assert "0001.safetensors: its vectors were made by" in said
        assert "Remedy: shoal learn apply, to learn anew, with --outcomes FILE" in said
    for command in ("show", "list"):
        told = served.shoal("learn", command)
        assert "with this registry and its encoder nothing learnt serves: " in told.stdout + told.stderr
        assert "(serves)" not in told.stdout
    kept = learn(served, "show")["of_another_encoder"]
    told = learn(served, "apply", "--force", code=1)
    assert f"no outcomes of this encoder to learn from; {kept:,} requests kept there are another encoder's" in told
    assert "Remedy: serve requests that name no expert" in told and "or restore that encoder" in told
    assert kept > 0
    serves_without_what_was_learnt(served)
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps({"input": text, "outcomes": {"cook": {"score": 1}}}) + "\n" for text in RECIPES))
    done = served.shoal("learn", "apply", "--outcomes", str(path), "--force", "--json")
    assert done.returncode == 0, done.stderr
    assert "compared with nothing learnt: " in done.stderr
    number = json.loads(done.stdout)["edition"]
    listed = learn(served, "list")
    assert (listed["current"], listed["refused"]) == (number, None)
    wait_for_edition(served, number)
    assert registry_of(served)["refused_edition"] is None
    assert board_of(served) == {"edition": number, "left_out": False}
    assert samples(served)["shoal_edition_left_out",] == 0
    assert learn(served, "rollback") == {"edition": 0}, "what could not be used is not what was replaced"
