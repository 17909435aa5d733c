"""What ends up in the ledger, seen from outside."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from openai import OpenAI

from tests.service.server import Server, eventually, write_registry
from tests.service.test_disconnects import ask, at_work
from tests.shoal.test_damaged_ledger import ledger

SLOW = [{"role": "user", "content": "SLOW"}]


def test_every_request_is_one_entry_and_they_add_up(start: Callable, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    client = server.client()
    texts = [
        "write a poem about the sea",
        "recipe for banana bread",
        "explain the halting problem",
        "poem on rain BREAK",
    ]
    answers = [
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": text}]) for text in texts
    ]
    receipts = [answer.model_extra["shoal"] for answer in answers]
    report = server.report()
    assert report["requests"] == len(texts)
    assert report["attempts"] == len(texts) + 1  # the poem that broke was tried twice, and both are charged
    assert sum(row["requests"] for row in report["by_expert"].values()) == len(texts)
    for unit in ("cost_usd", "energy_j", "co2_g"):
        assert (report[unit] or 0) == pytest.approx(sum(receipt[unit] or 0 for receipt in receipts), abs=1e-9)
    assert report["counterfactual"]["cost_usd"] == pytest.approx(sum(r["fallback"]["cost_usd"] for r in receipts))
    assert "estimate" in report["counterfactual"]["method"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_is_recorded_as_such(start: Callable, tmp_path: Path, stream: bool) -> None:
    server = start(write_registry(tmp_path))
    with ask(server, "poet", stream, "SLOW" if stream else "NEVER") as connection:
        eventually(lambda: at_work(server, "poet") == (1, 0))
        assert not stream or connection.recv(65536), "he leaves while he hears the first words"
    eventually(lambda: server.totals()["by_status"].get("cancelled") == 1)
    assert server.report()["requests"] == 1


def test_a_cut_stream_is_partial(start: Callable, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    with pytest.raises(Exception, match="broke off"):
        list(
            server.client().chat.completions.create(
                model="poet", messages=[{"role": "user", "content": "CUT"}], stream=True
            )
        )
    assert server.report()["by_status"] == {"partial": 1}


def test_kill_in_the_middle_of_a_stream_loses_nothing(start: Callable, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    client: OpenAI = server.client()
    for _ in range(5):
        client.chat.completions.create(model="poet", messages=[{"role": "user", "content": "a poem"}])
    stream = iter(client.chat.completions.create(model="poet", messages=SLOW, stream=True))
    next(stream)
    server.stop(signal.SIGKILL)
    server.start()
    assert server.report()["by_status"] == {"ok": 5, "interrupted": 1}
    server.client().chat.completions.create(model="poet", messages=[{"role": "user", "content": "a poem"}])
    assert server.report()["requests"] == 7
    assert server.report()["unmetered"] == {"requests": 1}
    assert "shoal_interrupted_requests 1.0\n" in server.get("/metrics")[1].decode()
    curves = json.loads(server.get("/v1/dashboard")[1])["series"]
    assert (sum(curves["unmetered"]), sum(curves["requests"])) == (1, 7)
    told = [json.loads(line) for line in server.shoal("meter", "export", "--format", "jsonl").stdout.splitlines()]
    lost = [row for row in told if row["x_status"] == "interrupted"]
    assert [(row["SkuId"], row["x_energy_uj"]) for row in lost] == [("router", None), ("poet", None)]
    assert lost[1]["EffectiveCost"] is None, "the expert was asked, and nobody knows what it took"


def test_a_rejected_request_is_no_entry(start: Callable, tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    assert server.post("/v1/chat/completions", {"model": "nobody", "messages": SLOW})[0] == 404
    assert server.report()["requests"] == 0


def test_a_server_that_cannot_write_its_ledger_is_not_ready(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    ledger = server.ledger
    away = ledger.with_name("away")
    ledger.rename(away)
    body = {"model": "auto", "messages": [{"role": "user", "content": "recipe for soup"}]}
    status, answer, _ = server.post("/v1/chat/completions", body)
    assert (status, answer["error"]["code"]) == (503, "meter_unavailable")
    status, told = server.get("/readyz")
    assert status == 503
    assert json.loads(told)["ready"] is False
    assert "deleted or moved while in use" in json.loads(told)["reason"]
    away.rename(ledger)
    server.wait_for("/readyz")
    assert server.post("/v1/chat/completions", body)[0] == 200


def test_damage_that_shows_while_it_is_read_is_503_with_its_remedy(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = Server(tmp_path, write_registry(tmp_path))
    path = ledger(server, 300, 1000)
    server = start(server.registry, SHOAL_DATA_DIR=str(path.parent))
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(whole // 2)
        file.write(b"\xff" * (whole - whole // 2))
    for place in ("/v1/meter?group_by=key", "/v1/dashboard?period=2026"):
        status, told = server.get(place)
        error = json.loads(told)["error"]
        assert (status, error["code"]) == (503, "meter_unavailable"), (place, error)
        assert error["message"].startswith("The ledger cannot be read or written now"), place
    assert "Remedy: stop Shoal, keep a copy of the file" in server.log()
