"""Limits that hold while a request is read, and what is odd about a body, over a real socket."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server

CHAT = "/v1/chat/completions"
HI = [{"role": "user", "content": "hi"}]
OK = {"model": "poet", "messages": HI}
JSON = b"content-type: application/json\r\n"


def raw(server: Server, *parts: bytes, read_until: bytes = b"}}") -> bytes:
    """Send bytes as they are; what comes back up to `read_until` or the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while read_until not in answer and (more := connection.recv(65536)):
            answer += more
        return answer


def post(server: Server, body: bytes, *headers: bytes) -> tuple[int, dict[str, Any]]:
    """A POST whose headers are given byte by byte; status and error."""
    length = b"" if any(b"transfer-encoding" in header for header in headers) else b"content-length: %d\r\n" % len(body)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + length + b"".join(headers) + b"\r\n"
    answer = raw(server, head, body)
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    return int(answer.split()[1]), found["error"]


def memory_mb(server: Server) -> float:
    """Resident memory of a server's process, in megabytes of 10^6 bytes."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def test_a_promise_of_too_much_is_refused_before_it_is_sent(shared: Server) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n" + JSON
    for length in (b"10000001", b"9" * 18, b"9" * 19):
        answer = raw(shared, head + b"content-length: " + length + b"\r\n\r\n")
        assert answer.split()[1] == b"413"
        assert b"request_too_large" in answer


def test_a_chunked_flood_is_refused_and_takes_no_memory(shared: Server) -> None:
    shared.post(CHAT, OK)
    before = memory_mb(shared)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n" + JSON + b"\r\n"
    piece = b"%x\r\n%b\r\n" % (1_000_000, b"x" * 1_000_000)
    answer = raw(shared, head, *[piece] * 60)
    assert answer.split()[1] == b"413"
    assert memory_mb(shared) - before < 2 * 10 + 5


def test_a_body_shorter_than_its_promise_is_nothing(shared: Server) -> None:
    before = shared.totals()["requests"]
    body = json.dumps(OK).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n" % (len(body) + 10)
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head + JSON + b"\r\n" + body)
    assert shared.get("/healthz")[0] == 200
    assert shared.totals()["requests"] == before


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (json.dumps(OK).encode("utf-16"), JSON, 400, None),
        (b"\xef\xbb\xbf" + json.dumps(OK).encode(), JSON, 400, None),
        (
            json.dumps(OK).encode(),
            b"content-type: application/json; charset=utf-16\r\n",
            415,
            "unsupported_content_type",
        ),
        (
            json.dumps(OK).encode(),
            b"content-type: application/json; charset=latin-1\r\n",
            415,
            "unsupported_content_type",
        ),
        (json.dumps(OK).encode(), b"content-type: application/jsonp\r\n", 415, "unsupported_content_type"),
        (json.dumps(OK).encode(), b"content-type: multipart/form-data\r\n", 415, "unsupported_content_type"),
        (b"\x1f\x8b\x08\0" + b"\0" * 20, JSON + b"content-encoding: gzip\r\n", 415, "unsupported_content_type"),
        (b'{"model":"poet","model":"big","messages":[]}', JSON, 400, None),
        (b'{"model":"poet","temperature":NaN,"messages":[{"role":"user","content":"hi"}]}', JSON, 400, None),
        (b'{"model":"poet","temperature":1e999,"messages":[{"role":"user","content":"hi"}]}', JSON, 400, None),
        (b'{"model":"\\ud800","messages":[{"role":"user","content":"hi"}]}', JSON, 400, None),
        (b'{"model":"poet","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON, 400, None),
        (b'{"model":"poet","messages":[' + b"[]," * 3_000_000 + b"[]]}", JSON, 400, None),
        (b'{"model":"poet","max_tokens":' + b"9" * 6000 + b',"messages":[]}', JSON, 400, None),
    ],
)
def test_an_odd_body(shared: Server, body: bytes, headers: bytes, status: int, code: str | None) -> None:
    got, error = post(shared, body, headers)
    assert (got, error["type"], error["code"]) == (status, "invalid_request_error", code)


def test_utf8_said_in_other_words_is_taken(shared: Server) -> None:
    for kind in (
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'Application/JSON; charset="utf-8"',
    ):
        assert shared.post(CHAT, OK, {"content-type": kind})[0] == 200


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"messages": HI * 2049}, "messages", "array_above_max_length"),
        ({"messages": HI * 15_000}, "messages", "array_above_max_length"),
        ({"messages": HI * 50_000}, None, None),
        ({"tools": [{"type": "function", "function": {"name": "f"}}] * 129}, "tools", "array_above_max_length"),
        ({"stop": list("abcde")}, "stop", "array_above_max_length"),
        ({"n": 17}, "n", "integer_above_max_value"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias", None),
        ({"max_tokens": 2**63}, "max_tokens", None),
        ({"max_tokens": 10**30}, "max_tokens", None),
        ({"seed": 2**64}, "seed", None),
        ({"temperature": 1e308}, "temperature", "decimal_above_max_value"),
        ({"temperature": -(2**63)}, "temperature", "decimal_below_min_value"),
    ],
)
def test_too_much_of_something(shared: Server, change: dict[str, Any], param: str | None, code: str | None) -> None:
    status, body, _ = shared.post(CHAT, OK | change)
    assert (status, body["error"]["param"]) == (400, param)
    assert code is None or body["error"]["code"] == code


def test_a_schema_beyond_64_kilobytes(shared: Server) -> None:
    schema = {"type": "object", "properties": {f"field_{at}": {"type": "string"} for at in range(3000)}}
    wanted = {"type": "json_schema", "json_schema": {"name": "big", "schema": schema}}
    status, body, _ = shared.post(CHAT, {"model": "big", "messages": HI, "response_format": wanted})
    assert status == 400
    assert body["error"]["param"].startswith("response_format")


def test_a_schema_of_more_than_a_thousand_choices(shared: Server) -> None:
    def asked(many: int) -> tuple[int, Any]:
        town = {"type": "object", "properties": {"town": {"enum": [f"town {at}" for at in range(many)]}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "town", "schema": town}}
        tool = {"type": "function", "function": {"name": "f", "parameters": town}}
        assert shared.post(CHAT, {"model": "big", "messages": HI, "tools": [tool]})[0] == 200
        return shared.post(CHAT, {"model": "big", "messages": HI, "response_format": wanted})[:2]

    assert asked(1000)[0] == 200
    status, body = asked(1001)
    assert (status, body["error"]["code"]) == (400, "invalid_json_schema")
    assert "it enumerates 1001 values, and 1000 may be" in body["error"]["message"]


@pytest.mark.parametrize("model", ["auto", "poet", "fallback"])
@pytest.mark.parametrize("word", ["word ", "x", "é🐟", "[{"])
def test_a_million_tokens_are_refused_while_health_is_answered(shared: Server, model: str, word: str) -> None:
    text = word * (4_500_000 // len(word.encode()))
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}, ensure_ascii=False).encode()
    assert len(body) < 10_000_000
    healthy, done = [], threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", shared.port)
        while not done.is_set():
            connection.request("GET", "/healthz")
            healthy.append(connection.getresponse().read())
        connection.close()

    asking = threading.Thread(target=ask)
    asking.start()
    status, answer, _ = shared.post(CHAT, body)
    done.set()
    asking.join()
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, "messages", "context_length_exceeded")
    assert set(healthy) == {b'{"status":"ok"}'}


def test_a_request_cannot_say_where_to_send_it(shared: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sentinel:
        sentinel.settimeout(0.2)
        url = f"http://127.0.0.1:{sentinel.getsockname()[1]}/v1"
        for name in ("api_base", "base_url", "API_BASE", "url", "proxies", "extra_headers", "extra_body", "api_key"):
            for body in ({name: url}, {"extra_body": {name: url}}, {"metadata": {name: url}}):
                assert shared.post(CHAT, OK | body)[0] in (200, 400)
        for header in ("x-forwarded-host", "x-api-base", "openai-organization", "x-original-url"):
            assert shared.post(CHAT, OK, {header: url})[0] == 200
        image = [{"type": "image_url", "image_url": {"url": url}}]
        assert shared.post(CHAT, {"model": "poet", "messages": [{"role": "user", "content": image}]})[0] == 400
        with pytest.raises(TimeoutError):
            sentinel.accept()


def test_pipelined_requests_are_answered_in_order(shared: Server) -> None:
    one = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    two = b"GET /v1/models/none HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    answer = raw(shared, one + one + two)
    assert [answer[at + 9 : at + 12] for at in range(len(answer)) if answer[at:].startswith(b"HTTP/1.1 ")] == [
        b"200", b"200", b"404",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "target", [b"http://evil.example/v1/models", b"//evil.example/v1/models", b"*", b"/v1/models\\x"]
)
def test_an_odd_target_is_no_door(shared: Server, target: bytes) -> None:
    answer = raw(shared, b"GET " + target + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert answer.split()[1] in (b"200", b"400", b"404")  # the absolute form is answered as its path
    assert b"evil.example" not in answer


def test_two_hosts_are_refused(shared: Server) -> None:
    answer = raw(shared, b"GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nhost: localhost\r\n\r\n")
    assert answer.split()[1] == b"400"
