"""Conversations held back over a real socket: who answers, what runs beside, and what the ledger has of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from router.meter.audit import audit
from router.meter.export import rows as exported_rows
from router.meter.ledger import read_ledger
from router.meter.record import Arm, Status
from router.meter.rows import SHADOW_N
from router.meter.ulid import ulid_bytes
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, small
from tests.service.server import Server, eventually, write_registry
from tests.service.test_disconnects import ask as in_part
from tests.upstream import Exchange, completion, running

TALKS = 12
JSON = {"content-type": "application/json"}


def with_holdback(folder: Path, share: str) -> Path:
    path = write_registry(folder)
    path.write_text(path.read_text() + f"savings: {{holdback: {share}}}\n")
    return path


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Server]) -> Server:
    """A server that holds back every other conversation."""
    return start(with_holdback(tmp_path_factory.mktemp("registry"), "0.5"))


def poem(number: int) -> dict[str, str]:
    return {"role": "user", "content": f"write a poem about the sea, number {number}"}


def ask(
    server: Server,
    *messages: dict[str, str],
    model: str = "auto",
    headers: dict[str, str] | None = None,
    **more: object,
) -> dict[str, Any]:
    told = {"model": model, "messages": list(messages), **more}
    status, body, _ = server.post("/v1/chat/completions", told, headers)
    assert status == 200, body
    return body


def shadows(server: Server, request_id: str, wanted: int) -> list[tuple[Any, ...]]:
    """Status, tokens and money of what ran beside a request; waited for, as it ends after the answer."""
    query = "SELECT status, input_tokens, cost_nusd FROM attempts WHERE request_id = ? AND n = ?"

    def found() -> list[tuple[Any, ...]]:
        return server.query(query, ulid_bytes(request_id), SHADOW_N)

    eventually(lambda: len(found()) >= wanted)
    return found()


def test_the_fallback_answers_those_held_back_and_the_small_path_runs_beside(half: Server) -> None:
    answers = [ask(half, poem(number)) for number in range(TALKS)]
    held = [answer for answer in answers if answer["shoal"]["held_back"]]
    assert 0 < len(held) < TALKS
    for answer in answers:
        assert answer["shoal"]["decision"]["expert"] == "poet"
        assert answer["model"] == ("big" if answer["shoal"]["held_back"] else "poet")
        assert answer["shoal"]["escalated"] is None
        assert answer["shoal"]["fallback"]["estimated"] is not answer["shoal"]["held_back"]
        finals = {answer["shoal"][name] for name in ("cost_final", "energy_final")}
        assert finals == {not answer["shoal"]["held_back"]}, "its row grows by what ran beside"
        told = "; big answers, held back for the savings figure" if answer["shoal"]["held_back"] else ""
        assert answer["shoal"]["decision"]["reason"] == f"smallest expert above its threshold{told}"
        request_id = answer["shoal"]["request_id"]
        found = shadows(half, request_id, wanted=answer["shoal"]["held_back"])
        if answer["shoal"]["held_back"]:
            ((status, tokens, cost),) = found
            assert (status, tokens > 0, cost > 0) == (1, True, True)
        else:
            assert found == []
    drawn = half.query("SELECT arm, pi_ppm, length(conversation) FROM requests WHERE policy IS NOT NULL")
    assert {(rate, size) for _, rate, size in drawn} == {(500_000, 8)}
    assert sum(arm for arm, _, _ in drawn) == len(held)


def test_all_turns_of_a_conversation_are_drawn_alike(half: Server) -> None:
    for number in range(100, 108):
        first = ask(half, poem(number))
        turns = [poem(number), {"role": "assistant", "content": "..."}, {"role": "user", "content": "a longer poem"}]
        again = ask(half, *turns)
        assert again["shoal"]["held_back"] == first["shoal"]["held_back"]


def arms(server: Server, answers: Iterable[dict[str, Any]]) -> set[tuple[Any, ...]]:
    """Arm and conversation of each request that was drawn."""
    found = [
        server.query(
            "SELECT arm, conversation FROM requests WHERE request_id = ?", ulid_bytes(each["shoal"]["request_id"])
        )
        for each in answers
    ]
    return {row for (row,) in found}


def test_what_a_client_gives_one_name_is_drawn_as_one_conversation(half: Server) -> None:
    named = [
        [ask(half, poem(number), metadata={"conversation_id": f"thread {thread}"}) for number in range(400, 404)]
        for thread in range(6)
    ]
    assert [len(arms(half, turns)) for turns in named] == [1] * 6
    found = set[tuple[Any, ...]]().union(*(arms(half, turns) for turns in named))
    assert len(found) == 6
    assert {arm for arm, _ in found} == {Arm.NORMAL, Arm.HOLDBACK}


def test_a_response_is_of_the_conversation_that_its_client_names(half: Server) -> None:
    told = {"model": "auto", "input": poem(405)["content"], "metadata": {"conversation_id": "thread 0"}}
    status, response, _ = half.post("/v1/responses", told)
    assert status == 200, response
    chat = ask(half, poem(406), metadata={"conversation_id": "thread 0"})
    assert len(arms(half, [response, chat])) == 1


def test_prompts_with_one_cache_key_are_no_conversation(half: Server) -> None:
    answers = [ask(half, poem(number), prompt_cache_key="all of this application") for number in range(410, 418)]
    assert len(arms(half, answers)) == 8


def test_streams_are_held_back_too(half: Server) -> None:
    models = set()
    for number in range(200, 200 + TALKS):
        with half.client() as client:
            chunks = list(client.chat.completions.create(model="auto", messages=[poem(number)], stream=True))
        receipt = chunks[-1].model_extra["shoal"]
        models.add((chunks[0].model, receipt["held_back"]))
        assert receipt["energy_final"] is receipt["cost_final"] is not receipt["held_back"]
        assert len(shadows(half, receipt["request_id"], wanted=receipt["held_back"])) == receipt["held_back"]
    assert models == {("poet", False), ("big", True)}


def test_whoever_is_named_is_never_held_back(half: Server) -> None:
    for number in range(8):
        assert ask(half, poem(number), model="poet")["model"] == "poet"


def test_what_the_fallback_answers_anyway_is_not_drawn(half: Server) -> None:
    answer = ask(half, {"role": "user", "content": "qzx"})
    assert answer["model"] == "big"
    assert answer["shoal"]["held_back"] is False
    assert answer["shoal"]["fallback"]["estimated"] is False
    (found,) = half.query(
        "SELECT arm, pi_ppm FROM requests WHERE request_id = ?", ulid_bytes(answer["shoal"]["request_id"])
    )
    assert found == (0, None)


def test_a_small_path_that_fails_is_noted_as_such(half: Server) -> None:
    for number in range(300, 300 + TALKS):
        answer = ask(half, {"role": "user", "content": f"BREAK write a poem about the sea, number {number}"})
        if answer["shoal"]["held_back"]:
            ((status, *_),) = shadows(half, answer["shoal"]["request_id"], wanted=1)
            assert status == 3
            return
    pytest.fail("nobody was held back")


def test_nought_holds_back_nobody_and_thin_traffic_neither(tmp_path: Path, start: Callable[..., Server]) -> None:
    for share in ("0", "auto"):
        folder = tmp_path / share
        folder.mkdir()
        server = start(with_holdback(folder, share))
        assert not any(ask(server, poem(number))["shoal"]["held_back"] for number in range(TALKS))
        assert server.query("SELECT DISTINCT arm, pi_ppm FROM requests") == [(Arm.OFF, None)]
        talks = server.query("SELECT count(DISTINCT conversation) FROM requests")
        assert talks == [(TALKS,)], "how many there are to draw from is known when a draw is planned"
        assert server.shoal("meter", "audit").returncode == 0


def test_auto_holds_from_the_moment_it_is_written(tmp_path: Path, start: Callable[..., Server]) -> None:
    """The share was planned while it was not asked for: the next plan would be an hour away."""
    server = Server(tmp_path, with_holdback(tmp_path, "0"))
    server.ledger.parent.mkdir()
    book = Book(server.ledger, make_intent, make_outcome)
    for number in range(2000):
        book.add([small()], arm=Arm.OFF, talk=number)
    book.write()
    server.start()
    try:
        assert arm_of(server, ask(server, poem(0)))[0] == Arm.OFF
        registry = tmp_path / "registry.yaml"
        registry.write_text(registry.read_text().replace("holdback: 0", "holdback: auto"))
        eventually(lambda: arm_of(server, ask(server, poem(0)))[1] == 50_000)
    finally:
        server.stop()


def test_while_nobody_is_drawn_the_fallbacks_answers_are_left_out_as_the_small_ones_are(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    """Else a time of the fallback's answers alone, in which nothing is saved, would stand in the figure of another."""
    server = start(with_holdback(tmp_path, "0"))
    before = ask(server, {"role": "user", "content": "qzx"})
    assert before["model"] == "big"
    assert arm_of(server, before) == (Arm.OFF, None, True)
    registry = tmp_path / "registry.yaml"
    registry.write_text(registry.read_text().replace("holdback: 0", "holdback: 0.5"))
    eventually(lambda: arm_of(server, ask(server, {"role": "user", "content": "qzx"})) == (Arm.NORMAL, None, True))
    routed = server.report()["savings"]["routed"]
    off = server.query("SELECT count(*) FROM requests WHERE arm = ?", Arm.OFF)[0][0]
    assert routed["outside"]["why"] == {"off": off, "too_few": 1}
    assert routed["eligible"] == 0, "the fallback was chosen for all"
    with closing(read_ledger(server.ledger)) as connection:
        assert audit(connection).wrong == 0


def arm_of(server: Server, answer: dict[str, Any]) -> tuple[Any, ...]:
    query = "SELECT arm, pi_ppm, conversation IS NULL FROM requests WHERE request_id = ?"
    (found,) = server.query(query, ulid_bytes(answer["shoal"]["request_id"]))
    return found


def test_many_at_once_are_all_drawn_and_each_small_path_has_its_turn(half: Server) -> None:
    talks = [{"role": "user", "content": f"LATE write a poem about the sea, number {number}"} for number in range(48)]
    with ThreadPoolExecutor(len(talks)) as pool:
        answers = list(pool.map(lambda talk: ask(half, talk), talks))
    assert {arm_of(half, answer)[1] for answer in answers} == {500_000}
    held = [answer for answer in answers if answer["shoal"]["held_back"]]
    assert len(held) > 8
    for answer in held:
        assert [row[0] for row in shadows(half, answer["shoal"]["request_id"], wanted=1)] == [1]


def test_what_the_fallback_could_not_answer_is_not_drawn_and_says_why(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    path = with_holdback(tmp_path, "0.5")
    path.write_text(path.read_text().replace("context: 65536", "context: 3000"))
    server = start(path)
    answer = ask(server, poem(1), max_tokens=3500)
    assert answer["model"] == "poet"
    assert arm_of(server, answer) == (Arm.UNABLE, None, True)
    told = answer["shoal"]["fallback"]
    assert (told["could_answer"], told["left_out"]) == (False, "unable")
    assert (told["cost_usd"], told["energy_j"]) == (None, None)
    assert ask(server, poem(2), model="poet")["shoal"]["fallback"]["could_answer"] is True
    guess = server.report()["savings"]["same_token_guess"]
    assert (guess["left_out"], guess["requests"]) == ({"named": 1, "unable": 1, "failed": 0, "interrupted": 0}, 0)
    assert guess["counterfactual"]["energy_j"] == 0
    assert server.shoal("meter", "audit").returncode == 0


def test_keys_are_drawn_where_they_may_use_the_fallback(tmp_path: Path, start: Callable[..., Server]) -> None:
    server = start(with_holdback(tmp_path, "0.5"), SHOAL_API_KEYS="a-key-of-the-environment")
    found = []
    for allowed in (("poet", "big"), ("poet", "cook")):
        options = [word for name in allowed for word in ("--model", name)]
        made = json.loads(server.shoal("keys", "create", "-".join(allowed), *options, "--json").stdout)
        key = {"authorization": f"Bearer {made['key']}"}
        eventually(lambda key=key: server.get("/v1/models", key)[0] == 200)
        found.append(arm_of(server, ask(server, poem(1), headers=key)))
    assert found[0][1:] == (500_000, False)
    assert found[1] == (Arm.RESTRICTED, None, True)


def test_a_grader_grades_both_answers_and_is_charged(tmp_path: Path, start: Callable[..., Server]) -> None:
    path = with_holdback(tmp_path, "0.5, grader: judge")
    judge = {"id": "judge", "kind": "scripted", "description": "Grades", "script": "judge.jsonl", "params_b": 8}
    text = path.read_text().replace("  - id: big\n", f"  - {json.dumps({**judge, 'context': 65536})}\n  - id: big\n")
    path.write_text(text)
    marks = [("Roses are red", 4), ("Let me think", 9)]
    script = [{"match": f"ANSWER\n{words}", "reply": str(mark)} for words, mark in marks]
    (tmp_path / "judge.jsonl").write_text("".join(json.dumps(row) + "\n" for row in script))
    server = start(path)
    held = []
    while not held:
        held = [a for a in (ask(server, poem(number)) for number in range(TALKS)) if a["shoal"]["held_back"]]
    request_id = held[0]["shoal"]["request_id"]
    shadows(server, request_id, wanted=1)
    pairs = server.query("SELECT same, small_ppm, fallback_ppm FROM pairs WHERE request_id = ?", ulid_bytes(request_id))
    assert pairs == [(0, 400_000, 900_000)]
    roles = server.query("SELECT role FROM attempts WHERE request_id = ? AND n > ?", ulid_bytes(request_id), SHADOW_N)
    assert roles == [(4,), (4,)]


async def test_a_grader_that_thinks_is_asked_in_its_words_and_one_that_refuses_all_is_told_of(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    """OpenAI's models that think refuse `max_tokens` and a temperature, as each grade was asked for; nobody said so."""
    refusal = {"message": "Unsupported parameter", "type": "invalid_request_error", "code": "unsupported_parameter"}
    async with running() as upstream:

        @upstream.behave("judge-m")
        async def thinks(exchange: Exchange) -> None:
            if {"max_tokens", "temperature"} & set(exchange.body):
                await exchange.send(json.dumps({"error": refusal}).encode(), 400)
            else:
                await exchange.send(json.dumps(completion("judge-m", "8")).encode())

        path = with_holdback(tmp_path, "0.5, grader: judge")
        judge = {"id": "judge", "kind": "openai", "description": "Grades", "url": upstream.url, "model": "judge-m"}
        entry = json.dumps({**judge, "params_b": 8, "context": 65536})
        path.write_text(path.read_text().replace("  - id: big\n", f"  - {entry}\n  - id: big\n"))
        server = await asyncio.to_thread(start, path)

        def held(first: int) -> dict[str, Any]:
            answers = (ask(server, poem(number)) for number in itertools.count(first))
            return next(each["shoal"] for each in answers if each["shoal"]["held_back"])

        told = await asyncio.to_thread(held, 0)
        await asyncio.to_thread(shadows, server, told["request_id"], 1)
        assert server.query("SELECT small_ppm, fallback_ppm FROM pairs") == [(800_000, 800_000)]

        @upstream.behave("judge-m")
        async def refuses(exchange: Exchange) -> None:
            await exchange.send(json.dumps({"error": refusal}).encode(), 400)

        told = await asyncio.to_thread(held, 1000)
        await asyncio.to_thread(shadows, server, told["request_id"], 1)
        grading = server.report()["savings"]["routed"]["quality"]["grading"]
        assert grading == {"calls": 4, "failed": {"unsupported_parameter": 2}, "grades": 2}
        text = " ".join(server.shoal("meter", "report").stdout.split())
        assert "Of 4 calls of the grader 2 gave no grade: 2 failed (unsupported_parameter). The log names each" in text


def test_a_grader_that_is_not_there_is_named(tmp_path: Path, half: Server) -> None:
    done = half.shoal("registry", "check", "--registry", str(with_holdback(tmp_path, "0.5, grader: nobody")))
    assert done.returncode == 1
    assert "savings.grader" in done.stdout + done.stderr


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused_and_a_new_one_is_its_owners_alone(tmp_path: Path, length: int) -> None:
    server = Server(tmp_path, write_registry(tmp_path))
    (tmp_path / "data").mkdir()
    key = tmp_path / "data" / "holdback.key"
    key.write_bytes(bytes(length))
    with pytest.raises(AssertionError, match="the server ended with 1"):
        server.start()
    told = [line for line in server.log().splitlines() if "holdback.key" in line]
    assert len(told) == 1
    assert f"is {length} bytes long, not 32. Remedy: " in told[0]
    assert "Traceback" not in server.log()
    key.unlink()
    server.start()
    assert len(key.read_bytes()) == 32
    assert key.stat().st_mode & 0o777 == 0o600
    server.stop()


@pytest.mark.parametrize("share", ["1", "0.9", "-0.1", "often", "[0.1]"])
def test_a_share_that_is_none_is_refused_with_the_range(tmp_path: Path, half: Server, share: str) -> None:
    done = half.shoal("registry", "check", "--registry", str(with_holdback(tmp_path, share)))
    assert done.returncode == 1
    (told,) = [line for line in (done.stdout + done.stderr).splitlines() if "holdback" in line]
    assert "savings.holdback: must be auto or a share of conversations from 0 to 0.5, got " in told
    assert told.endswith("Remedy: write auto, 0 for nobody, or a share such as 0.02.")


def test_the_ledger_stays_sound(half: Server) -> None:
    with closing(sqlite3.connect(half.ledger)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_where_the_fallback_was_asked_and_failed_nothing_is_compared(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(with_holdback(tmp_path, "0"))
    never_asked = ask(server, poem(1))
    assert arm_of(server, never_asked) == (Arm.OFF, None, False)
    stood_in = ask(server, {"role": "user", "content": "BREAK write a poem about the sea"})
    assert (never_asked["model"], stood_in["model"]) == ("poet", "big")
    chosen = ask(server, {"role": "user", "content": "BIGFAIL qzx"})
    asked_later = ask(server, {"role": "user", "content": "BREAK BIGFAIL write a poem about the sea"})
    for answer in (chosen, asked_later):
        told = answer["shoal"]["fallback"]
        assert answer["model"] in ("poet", "cook")
        assert arm_of(server, answer) == (Arm.FAILED, None, answer is chosen), "a small expert was chosen for the other"
        assert (told["could_answer"], told["left_out"]) == (False, "failed")
        assert (told["cost_usd"], told["energy_j"], told["co2_g"]) == (None, None, None)
    savings = server.report()["savings"]
    guess = savings["same_token_guess"]
    assert (guess["left_out"], guess["requests"]) == ({"named": 0, "unable": 0, "failed": 2, "interrupted": 0}, 2)
    assert savings["routed"]["whole"]["requests"] == savings["requests"] == 2
    with closing(read_ledger(server.ledger)) as connection:
        exported = {row["x_request_id"]: row for row in exported_rows(connection, None, None, {})}
        assert audit(connection).wrong == 0
    for answer in (chosen, asked_later):
        row = exported[answer["shoal"]["request_id"]]
        assert (row["x_left_out"], row["x_counterfactual_cost_nusd"]) == ("failed", None)
    assert exported[never_asked["shoal"]["request_id"]]["x_left_out"] is None


def test_whoever_stands_in_for_the_fallback_is_compared_with_nothing_whatever_came_of_it(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(with_holdback(tmp_path, "0.5"))
    for word, number in product(("SLOW", "CUT", "BREAK COOKFAIL"), range(6)):
        ask(server, poem(number), model="big")  # answered, so that it does not rest after failures
        text = f"{poem(number)['content']}: BIGFAIL {word}"
        if word == "SLOW":
            with in_part(server, "auto", stream=True, text=text) as connection:
                assert connection.recv(65536), "the client leaves while it hears the first words"
        else:
            told = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": text}]}
            server.send("POST", "/v1/chat/completions", json.dumps(told).encode(), JSON)
    query = (
        "SELECT r.status, r.arm, count(a.n) > 1 AND max(a.n = 0 AND a.expert = r.fallback) FROM requests r "
        "LEFT JOIN attempts a ON a.request_id = r.request_id AND a.n < ? GROUP BY r.request_id"
    )
    eventually(lambda: all(status for status, *_ in server.query(query, SHADOW_N)))
    found = Counter((Status(status), Arm(arm), failed) for status, arm, failed in server.query(query, SHADOW_N))
    stood_in = [(status, arm) for status, arm, failed in found if failed]
    assert {arm for _, arm in stood_in} == {Arm.FAILED}, found
    assert {status for status, _ in stood_in} >= {Status.CANCELLED, Status.PARTIAL, Status.ERROR}, found
    with closing(read_ledger(server.ledger)) as connection:
        assert audit(connection).wrong == 0


def test_one_that_was_held_back_is_not_compared_where_the_fallback_failed(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    server = start(with_holdback(tmp_path, "0.5"))
    stood_in = [
        ask(server, poem(number) | {"content": f"BIGFAIL {poem(number)['content']}"}) for number in range(TALKS)
    ]
    told = [answer["shoal"] for answer in stood_in]
    failed = [each for each in told if each["escalated"]]
    assert 0 < len(failed) < TALKS, "the server's key is fixed, so it draws the same every time"
    for each in failed:
        assert arm_of(server, {"shoal": each})[0] == Arm.FAILED
        assert (each["held_back"], each["cost_final"]) == (False, True), "nothing runs beside: there are no two answers"
        assert each["fallback"]["left_out"] == "failed"
    savings = server.report()["savings"]
    guess = savings["same_token_guess"]
    assert guess["left_out"]["failed"] == len(failed)
    assert guess["requests"] == TALKS - sum(guess["left_out"].values()) > 0, "it rests after some failures: unable then"
    assert savings["routed"]["held_back"]["requests"] == 0
    query = "SELECT count(*) FROM attempts WHERE n >= ?"
    assert server.query(query, SHADOW_N) == [(0,)]
    with closing(read_ledger(server.ledger)) as connection:
        assert audit(connection).wrong == 0


def test_a_ledger_that_came_without_its_key_goes_on_with_another(tmp_path: Path, start: Callable[..., Server]) -> None:
    server = start(with_holdback(tmp_path, "0.5"))
    key = server.folder / "data" / "holdback.key"
    for number in range(TALKS):
        ask(server, poem(number))
    server.stop()
    own = key.read_bytes()
    key.unlink()
    told = server.shoal("meter", "audit")
    assert told.returncode == 0
    assert f"{TALKS} draws of seed version 1 could not be repeated: {key} is not there. Remedy: " in told.stdout
    server.start()
    assert f"has draws of another key than {key}: those from now on are seed version 2" in server.log()
    for number in range(TALKS):
        ask(server, poem(number))
    server.stop()
    told = server.shoal("meter", "audit")
    assert told.returncode == 0
    assert f"{TALKS} draws of seed version 1 could not be repeated: {key} is not their key. Remedy: " in told.stdout
    key.write_bytes(own)
    told = server.shoal("meter", "audit", "--json")
    assert json.loads(told.stdout)["undrawn_by_seed_version"] == {"2": TALKS}
