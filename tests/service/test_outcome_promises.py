"""A promise that rests on outcomes: how experts really did against the fallback, on the same requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server, eventually, rows, write_registry
from tests.service.test_keys import bearer, create
from tests.service.test_promises import ADMIN, POEMS, RECIPES, certificates

USUAL = [*((text, "poet") for text in POEMS), *((text, "cook") for text in RECIPES)]


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("outcomes")
    path: Path = write_registry(folder)
    told: list[dict[str, Any]] = []
    for at, (text, able) in enumerate(USUAL):
        small = {name: {"score": float(name == able)} for name in ("poet", "cook")}
        told.append({"input": text, "outcomes": {**small, "big": {"score": 0.5 if at % 5 == 0 else 1.0}}})
    rows(folder / "outcomes.jsonl", told)
    text = path.read_text().replace("policies: {", "policies: {safe: {max_risk: 0.05}, ")
    path.write_text(text.replace("fallback: big", "fallback: big\noutcomes: outcomes.jsonl"))
    return start(path, SHOAL_ADMIN_KEY="a" * 32)


def route(server: Server, text: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    body = {"model": "auto:safe", "messages": [{"role": "user", "content": text}]}
    status, answer, _ = server.post("/v1/route", body, headers)
    assert status == 200, answer
    found: dict[str, Any] = answer["decision"]
    return found


def test_outcomes_of_the_fallback_are_what_is_certified_on(server: Server) -> None:
    found = certificates(server)["safe"]
    assert (found["state"], found["source"], found["beyond"]) == ("valid", "outcomes", "big")
    assert found["n"] == len(USUAL)
    assert found["loss"] <= found["bound"] <= 0.05
    assert found["kept"] > 0.5
    decision = route(server, "compose a sonnet about the sea please")
    assert decision["expert"] == "poet"
    likely = {each["expert"]: each["probability"] for each in decision["candidates"]}
    assert decision["threshold"] == pytest.approx(max(0, found["threshold"] + likely["big"]), abs=1e-3)


def test_a_restart_reads_the_certificate_back_and_still_watches(server: Server) -> None:
    before = certificates(server)["safe"]
    server.stop()
    server.start()
    after = certificates(server)["safe"]
    assert after == before
    assert after["replaced"] is None
    assert after["drift"]["limit"] > 0


def test_a_key_that_may_not_use_every_expert_gets_no_promise(server: Server) -> None:
    key = create(server, "some of them", "--model", "poet", "--model", "big")
    eventually(lambda: b'"cook"' not in server.get("/v1/models", bearer(key))[1])
    decision = route(server, "compose a sonnet about the sea please", bearer(key))
    assert decision["expert"] == "big"
    assert decision["reason"].endswith("it was made with experts that this key may not use")
    assert json.loads(server.get("/admin/certificates", ADMIN)[1])["data"][0]["state"] == "valid"
