"""Budgets, served: in money by a guess until the ledger tells what requests take; what another mix takes is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import ROOT, Server, rows, write_registry
from tests.service.test_promises import ADMIN, POEMS, RECIPES, STRANGE, ask, certificates, hash_of

BUDGET = 0.05
"""USD for a thousand requests: of the guess's 256 tokens an answer a fortieth, of what they are most."""

TEXTS = sorted(POEMS + RECIPES, key=hash_of)[:120]
"""Enough for the ledger to tell, and too few for a window of drift."""


def test_a_budget_that_a_guess_refuses_is_met_by_what_the_ledger_tells(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    path = write_registry(tmp_path)
    rows(tmp_path / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(tmp_path / "recipes.jsonl", [{"input": text} for text in RECIPES])
    path.write_text(path.read_text().replace("policies: {", f"policies: {{thrifty: {{max_usd_per_kreq: {BUDGET}}}, "))
    server = start(path, options=("--workers", "2"), SHOAL_ADMIN_KEY="a" * 32)
    before = certificates(server)["thrifty"]
    assert before["state"] == "refused"
    assert "are a guess until the ledger tells of 100 routed answers" in before["assumed"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: ask(server, text, "thrifty"), TEXTS))
    status, answer, _ = server.send("POST", "/admin/certificates", None, ADMIN)
    assert status == 200, answer
    with ThreadPoolExecutor(16) as pool:
        told = list(pool.map(lambda _: certificates(server)["thrifty"], range(48)))
    assert len({(each["expected"], each["assumed"]) for each in told}) == 1, "both workers go by the same"
    assert told[0]["state"] == "valid", told[0]["why"]
    assert "as by the routed answers in the ledger, in the 30 days to " in told[0]["assumed"]
    body = {"model": "auto:thrifty"}
    asked = [{**body, "messages": [{"role": "user", "content": text}]} for text in TEXTS]
    spent = [server.post("/v1/chat/completions", each)[1]["shoal"]["cost_usd"] for each in asked]
    assert 0 < sum(spent) / len(spent) * 1000 < BUDGET


def test_what_another_mix_takes_is_told_beside_the_estimate(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    rows(tmp_path / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(tmp_path / "recipes.jsonl", [{"input": text} for text in RECIPES])
    path.write_text(path.read_text().replace("policies: {", "policies: {thrifty: {max_fallback_share: 0.3}, "))
    server = start(path, SHOAL_ADMIN_KEY="a" * 32)
    before = certificates(server)["thrifty"]
    assert (before["state"], before["recent"]) == ("valid", None), "nothing has arrived"
    texts = [*TEXTS[:30], *STRANGE[:70]]
    with ThreadPoolExecutor(8) as pool:
        answered = [who for who, _ in pool.map(lambda text: ask(server, text, "thrifty"), texts)]
    found = certificates(server)["thrifty"]
    recent = found["recent"]
    assert recent["requests"] == 100
    assert recent["expected"] == pytest.approx(answered.count("big") / 100, abs=0.02), "as was decided"
    assert recent["low"] > found["high"]
    assert "requests under it would ask the fallback for 0." in recent["contradicts"]
    assert (found["state"], found["expected"]) == ("valid", before["expected"]), "it says so, and serves"
    assert certified(path, server.folder / "data")["recent"] == recent, "the command tells the same"
    server.ledger.rename(tmp_path / "elsewhere")
    assert certificates(server)["thrifty"]["recent"]["requests"] == 100, "those since the start are in memory"
    assert "what budgets take is told of the requests since the start alone: " in server.log()


def certified(registry: Path, data: Path) -> dict[str, Any]:
    """The entry of `thrifty` as the command tells it."""
    env = {**os.environ, "SHOAL_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "shoal", "eval", "certify", "--json", "--registry", str(registry)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    (found,) = (each for each in json.loads(done.stdout) if each["policy"] == "thrifty")
    return found  # type: ignore[no-any-return]
