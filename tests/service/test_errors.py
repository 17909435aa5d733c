"""Every error in OpenAI's shape, whatever was done wrong."""

from __future__ import annotations

import json

import pytest

from tests.service.server import Server

OK = {"model": "poet", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"temperature": 200}, "temperature", "decimal_above_max_value"),
        ({"temperature": -1}, "temperature", "decimal_below_min_value"),
        ({"max_tokens": -1}, "max_tokens", "integer_below_min_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
        ({"top_logprobs": 3}, "top_logprobs", None),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        ({"model": 7}, "model", "invalid_type"),
        ({"seed": 1.5}, "seed", "invalid_type"),
    ],
)
def test_a_wrong_parameter(shared, change: dict, param: str, code: str | None) -> None:
    status, body, headers = shared.post(CHAT, OK | change)
    assert status == 400
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (body["error"]["param"], body["error"]["code"]) == (param, code)
    assert body["error"]["type"] == "invalid_request_error"
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (CHAT, OK, 200),
        (CHAT, OK | {"stream": True}, 200),
        (CHAT, {}, 400),
        ("/v1/embeddings", {}, 400),
        ("/no", {}, 404),
    ],
)
def test_every_answer_has_openais_headers(shared: Server, path: str, body: dict[str, object], status: int) -> None:
    data = json.dumps(body).encode()
    given = {"content-type": "application/json", "x-client-request-id": "mine-1"}
    found, _, headers = shared.send("POST", path, data, given)
    assert found == status
    assert headers["openai-version"] == "2020-10-01"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["access-control-expose-headers"] == "X-Request-ID"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-client-request-id"] == "mine-1"
    assert len(headers["x-request-id"]) == 26


@pytest.mark.parametrize("mine", ["x" * 513, "h\u00e4", "\x7f"])
def test_a_clients_own_id_that_is_none_is_not_echoed(shared: Server, mine: str) -> None:
    data = json.dumps(OK).encode()
    given = {"content-type": "application/json", "x-client-request-id": mine}
    assert "x-client-request-id" not in shared.send("POST", CHAT, data, given)[2]


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_a_missing_parameter(shared, missing: str) -> None:
    status, body, _ = shared.post(CHAT, {k: v for k, v in OK.items() if k != missing})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, missing, "missing_required_parameter")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b'{"a": NaN}', b"\xff\xfe{}", b'{"model":"poet","messages":']
)
def test_a_body_that_is_no_json_object(shared, body: bytes) -> None:
    status, answer, _ = shared.post(CHAT, body)
    assert status == 400
    assert answer["error"]["message"].startswith("We could not parse the JSON body of your request.")


def test_unknown_paths_and_methods(shared) -> None:
    status, body = shared.get("/v1/nothing")
    assert (status, json.loads(body)["error"]["code"]) == (404, "unknown_url")
    status, body = shared.get(CHAT)
    assert (status, json.loads(body)["error"]["code"]) == (405, "method_not_supported")
    status, answer, _ = shared.post("/v1/responses/compact", OK)
    assert (status, answer["error"]["code"]) == (405, "method_not_supported")
    assert "/openapi.json" in answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/responses/resp_1", "DELETE, GET, HEAD"),
        ("PATCH", "/v1/responses/input_tokens", "DELETE, GET, HEAD, POST"),
        ("DELETE", CHAT, "POST"),
    ],
)
def test_a_wrong_method_is_told_every_right_one(shared, method: str, path: str, allowed: str) -> None:
    status, _, headers = shared.send(method, path, None, None)
    assert (status, headers["allow"]) == (405, allowed)


def test_a_wrong_content_type(shared) -> None:
    status, answer, _ = shared.post(CHAT, OK, {"content-type": "text/plain"})
    assert (status, answer["error"]["code"]) == (415, "unsupported_content_type")
    status, answer, _ = shared.post(CHAT, OK, {"content-encoding": "gzip"})
    assert status == 415


def test_a_body_beyond_the_limit(shared) -> None:
    status, answer, _ = shared.post(CHAT, b'{"model": "' + b"x" * 10_000_001 + b'"}')
    assert (status, answer["error"]["code"]) == (413, "request_too_large")


def test_a_foreign_host_is_not_served(shared) -> None:
    status, body, _ = shared.send("GET", "/v1/models", None, {"host": "evil.example"})
    assert (status, json.loads(body)["error"]["code"]) == (421, "bad_host")


def test_keys_open_everything_but_health(start, tmp_path) -> None:
    from tests.service.server import write_registry

    server = start(write_registry(tmp_path), SHOAL_API_KEYS="first-key-of-ours, second-key-of-ours")
    assert server.get("/healthz")[0] == 200
    for path in ("/v1/models", "/metrics", "/v1/nothing"):
        status, body = server.get(path)
        assert (status, json.loads(body)["error"]["code"]) == (401, None)
    status, body = server.get("/v1/models", {"authorization": "Bearer first-key-of-our"})
    assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
    assert b"first-key" not in body
    assert server.get("/v1/models", {"authorization": "Bearer second-key-of-ours"})[0] == 200
    assert json.loads(server.get("/readyz")[1]) == {"ready": True}
    assert server.get("/admin/ledger", {"authorization": "Bearer first-key-of-ours"})[0] == 401
