"""What is done wrong, and what it is answered: one row a case in golden_errors.jsonl, each over a real socket.

A row: path, method (POST), headers, body (or `raw` text), and status, type, param, code and a pattern for the message.
{"$text": [x, n]} stands for a text of n times x, {"$items": [x, n]} for an array, {"$keys": n} for an object.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server

ROWS = [json.loads(line) for line in (Path(__file__).parent / "golden_errors.jsonl").read_text().splitlines()]
NAMES = [f"{at}:{row['path']}:{row['param']}:{row['code']}" for at, row in enumerate(ROWS)]


def whole(value: Any) -> Any:
    if isinstance(value, list):
        return [whole(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "$text" in value:
        return value["$text"][0] * value["$text"][1]
    if "$items" in value:
        return [value["$items"][0]] * value["$items"][1]
    if "$keys" in value:
        return {str(at): 0 for at in range(value["$keys"])}
    return {key: whole(one) for key, one in value.items()}


def test_there_are_many_and_no_two_alike() -> None:
    assert len(ROWS) >= 150
    assert len({json.dumps(row) for row in ROWS}) == len(ROWS)
    assert {row["path"].split("?")[0] for row in ROWS} >= {
        "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/route",
    }  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_it_is_answered_as_openai_answers_it(shared: Server, row: dict[str, Any]) -> None:
    data = row["raw"].encode() if "raw" in row else json.dumps(whole(row["body"])).encode() if "body" in row else None
    given = {"content-type": "application/json", **row.get("headers", {})}
    status, answer, headers = shared.send(row.get("method", "POST"), row["path"], data, given)
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"]
    error = json.loads(answer)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (status, error["type"], error["param"], error["code"]) == (
        row["status"], row["type"], row["param"], row["code"],
    ), error["message"]  # fmt: skip
    assert re.search(row["message"], error["message"]), error["message"]
