"""A slice of `make fuzz`: requests made from our own OpenAPI document, most of them wrong, the same ones every time."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import pytest

from tests.fuzz.asking import Findings, ask
from tests.fuzz.slices import slices
from tests.service.server import Server

EACH = 25
EVERY = 4
SEED = 20261125


@pytest.mark.timeout(600)  # some 20 s of work, and much more where others work too
def test_nothing_is_found_in_a_few_hundred_requests(shared: Server) -> None:
    pieces = slices(json.loads(shared.get("/openapi.json")[1]))
    findings = Findings()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(ask, pieces[::EVERY], repeat(shared.base), repeat(EACH), repeat(SEED)):
            findings.add(found)
    assert findings.wrong == {}
    assert findings.cases > 200
    assert shared.get("/readyz")[0] == 200
    assert "Traceback" not in shared.log()


def test_slices_are_the_whole_document(shared: Server) -> None:
    document = json.loads(shared.get("/openapi.json")[1])
    names = {piece.name for piece in slices(document)}
    for path, operations in document["paths"].items():
        assert {f"{method.upper()} {path}" for method in operations} <= names
    chat = document["components"]["schemas"]["ChatBody"]["properties"]
    assert {f"POST /v1/chat/completions {name}" for name in chat} <= names
