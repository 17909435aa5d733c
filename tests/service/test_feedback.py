"""POST /v1/feedback, over a socket: what it takes, what it refuses, and that it is durable when it is answered."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.ledger import Ledger
from router.meter.ulid import ulid_bytes
from tests.router.meter.conftest import make_intent, make_outcome
from tests.service.server import Server, eventually, write_registry

POEM = [{"role": "user", "content": "write a poem about the sea"}]
DAY_MS = 86_400_000


def ask(server: Server, headers: dict[str, str] | None = None) -> str:
    """Ask for a poem; the id under which that can be spoken of."""
    status, body, got = server.post("/v1/chat/completions", {"model": "auto", "messages": POEM}, headers)
    assert status == 200, body
    assert got["x-request-id"] == body["shoal"]["request_id"]
    return got["x-request-id"]


def scores(server: Server, request_id: str) -> list[int]:
    found = server.query("SELECT score_ppm FROM feedback WHERE request_id = ?", ulid_bytes(request_id))
    return [score for (score,) in found]


def id_of(days_ago: float) -> str:
    """A request id as it was made so many days ago."""
    number = (int(time.time() * 1000 - days_ago * DAY_MS) << 80) + 7
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(alphabet[number >> shift & 31] for shift in range(125, -1, -5))


def test_feedback_is_durable_when_it_is_answered_and_the_last_counts(shared: Server) -> None:
    request_id = ask(shared)
    status, body, _ = shared.post("/v1/feedback", {"request_id": request_id, "score": 0.25})
    assert status == 200
    assert body == {
        "object": "shoal.feedback",
        "request_id": request_id,
        "expert": "poet",
        "score": 0.25,
        "learnable": body["learnable"],
        "text_kept": False,
    }
    assert scores(shared, request_id) == [250_000]
    assert shared.post("/v1/feedback", {"request_id": request_id, "score": 1})[0] == 200
    assert scores(shared, request_id) == [1_000_000]


def test_the_official_client_can_send_it_also_about_a_stream(shared: Server) -> None:
    with shared.client() as client:
        asked = client.chat.completions.with_streaming_response.create(model="auto", messages=POEM, stream=True)
        with asked as answer:
            request_id = answer.headers["x-request-id"]
            assert f'"request_id":"{request_id}"' in "".join(answer.iter_text())
        said = client.post("/feedback", cast_to=object, body={"request_id": request_id, "score": 0.5})
    assert (said["expert"], said["score"]) == ("poet", 0.5)
    assert scores(shared, request_id) == [500_000]


def test_words_are_not_kept_unless_the_registry_says_so(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    server = start(path)
    words = {"expected": "Roses are blue.", "comment": "wrong colour"}
    _, body, _ = server.post("/v1/feedback", {"request_id": ask(server), "score": 0, **words})
    assert body["text_kept"] is False
    assert server.query("SELECT * FROM texts") == []
    path.write_text(path.read_text() + "learning: {keep_text: true}\n")
    kept: list[str] = []

    def is_kept() -> bool:
        kept.append(ask(server))
        told = server.post("/v1/feedback", {"request_id": kept[-1], "score": 0, **words})[1]
        return bool(told["text_kept"])

    eventually(is_kept)
    assert is_kept()  # the last of those may have been asked before the registry was read again, and told of after
    request_id = kept[-1]
    query = "SELECT expected, comment FROM texts WHERE request_id = ?"
    assert server.query(query, ulid_bytes(request_id)) == [("Roses are blue.", "wrong colour")]
    exported = server.shoal("learn", "export").stdout
    assert server.shoal("learn", "export", "--out", str(tmp_path / "outcomes.jsonl")).stdout == ""
    assert (tmp_path / "outcomes.jsonl").read_text() == exported
    told = json.loads(exported.splitlines()[-1])
    assert told == {"input": POEM[0]["content"], "outcomes": {"poet": {"score": 0.0}}, **words}
    assert server.post("/v1/feedback", {"request_id": request_id, "score": 1})[1]["text_kept"] is False
    assert server.query(query, ulid_bytes(request_id)) == [(None, None)]


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"score": 1}, "request_id", "missing_required_parameter"),
        ({"request_id": "01K5XZ00000000000000000000"}, "score", "missing_required_parameter"),
        ({"request_id": "01K5XZ00000000000000000000", "score": 1.01}, "score", "decimal_above_max_value"),
        ({"request_id": "01K5XZ00000000000000000000", "score": -0.1}, "score", "decimal_below_min_value"),
        ({"request_id": "01K5XZ00000000000000000000", "score": "good"}, "score", "invalid_type"),
        ({"request_id": "01K5XZ00000000000000000000", "score": True}, "score", "invalid_type"),
        ({"request_id": "01K5XZ00000000000000000000", "score": 1, "comment": 3}, "comment", "invalid_type"),
        ({"request_id": "01K5XZ00000000000000000000", "score": 1, "stars": 5}, "stars", "unknown_parameter"),
        ({"request_id": 7, "score": 1}, "request_id", "invalid_type"),
    ],
)
def test_what_is_wrong_is_refused(shared: Server, body: dict[str, object], param: str, code: str) -> None:
    status, answer, _ = shared.post("/v1/feedback", body)
    assert status == 400, answer
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert (answer["error"]["param"], answer["error"]["code"]) == (param, code)


@pytest.mark.parametrize("request_id", ["01K5XZ00000000000000000000", "no such id", "'; DROP TABLE feedback; --", "é"])
def test_an_unknown_request(shared: Server, request_id: str) -> None:
    status, answer, _ = shared.post("/v1/feedback", {"request_id": request_id, "score": 1})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "request_not_found", "request_id")


def test_another_keys_request_is_as_unknown_as_none(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="mine,theirs")
    mine, theirs = ({"authorization": f"Bearer {key}"} for key in ("mine", "theirs"))
    request_id = ask(server, mine)
    status, answer, _ = server.post("/v1/feedback", {"request_id": request_id, "score": 1}, theirs)
    assert (status, answer["error"]["code"]) == (404, "request_not_found")
    never = id_of(0)
    _, unknown, _ = server.post("/v1/feedback", {"request_id": never, "score": 1}, theirs)
    assert answer["error"]["message"].replace(request_id, never) == unknown["error"]["message"]
    assert scores(server, request_id) == []
    assert server.post("/v1/feedback", {"request_id": request_id, "score": 1}, mine)[0] == 200


def test_a_request_that_nobody_answered_has_nothing_to_score(shared: Server) -> None:
    body = {"model": "poet", "messages": [{"role": "user", "content": "BREAK"}]}
    status, _, got = shared.post("/v1/chat/completions", body)
    assert status == 502
    status, answer, _ = shared.post("/v1/feedback", {"request_id": got["x-request-id"], "score": 0})
    assert (status, answer["error"]["code"]) == (400, "request_not_answered")


def test_what_is_older_than_the_retention_is_forgotten(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    old, recent = id_of(90.01), id_of(89.99)

    async def enter() -> None:
        ledger = Ledger.open(server.ledger)  # beside the server's own
        for request_id in (old, recent):
            await ledger.begin(make_intent(request_id=request_id, key_id=""))
            await ledger.finish(make_outcome(request_id))
        await ledger.aclose()

    asyncio.run(enter())
    status, answer, _ = server.post("/v1/feedback", {"request_id": old, "score": 1})
    assert (status, answer["error"]["code"]) == (404, "request_not_found")
    assert "90 days" in answer["error"]["message"]
    assert server.post("/v1/feedback", {"request_id": recent, "score": 1})[0] == 200


def test_feedback_of_many_at_once_while_requests_run(shared: Server) -> None:
    ids: list[str] = []
    failed: list[object] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            ids.append(ask(shared))

    def speak(each: str, score: float) -> None:
        status, body, _ = shared.post("/v1/feedback", {"request_id": each, "score": score})
        if status != 200:
            failed.append(body)

    known = [ask(shared) for _ in range(40)]
    asker = threading.Thread(target=keep_asking)
    asker.start()
    speakers = [threading.Thread(target=speak, args=(each, turn / 4)) for turn in range(4) for each in known]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join()
    done.set()
    asker.join()
    assert failed == []
    assert all(len(scores(shared, each)) == 1 for each in known)
    with closing(sqlite3.connect(shared.ledger)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
