"""Hostile strings wherever a request can carry one: statements, paths, hosts. Nothing breaks and nothing moves."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import sqlite3
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.service.server import Server, write_registry
from tests.service.test_limits import raw

KEY, ADMIN = "a-key-of-the-environment", "the-admin-key-of-the-environment"
AS_ADMIN = {"authorization": f"Bearer {ADMIN}"}
OK: dict[str, Any] = {"model": "cook", "messages": [{"role": "user", "content": "hi"}]}

OPENINGS = ("'", '"', "')", "1", "%27", "\\'", "x' ", "\u2019")
STATEMENTS = (
    "OR 1=1", "OR '1'='1", "OR ''='", "AND SLEEP(5)", "; DROP TABLE requests", "; DROP TABLE keys",
    "; DELETE FROM names", "UNION SELECT digest FROM keys", "UNION SELECT NULL,NULL,NULL", "; ATTACH 'x' AS y",
    "; PRAGMA writable_schema=1", "AND (SELECT 1)=1", "|| (SELECT sql FROM sqlite_master)",
)  # fmt: skip
ENDINGS = ("--", "/*")
SQL = [f"{a} {b}{c}" for a, b, c in itertools.product(OPENINGS, STATEMENTS, ENDINGS)]

PATHS = (
    "../../../etc/passwd", "..\\..\\windows\\win.ini", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "file:///etc/passwd",
    "//evil.example/share", "\\\\evil.example\\share", "chat\0.gguf", "~root/.ssh/id_rsa", "registry.yaml",
    "....//....//x", "/proc/self/environ", "{{7*7}}", "${jndi:ldap://evil.example/x}", "$(touch pwned)",
    "`touch pwned`", "| touch pwned",
)  # fmt: skip

HOSTS = [
    b"evil.example", b"evil.example:80", b"127.0.0.1.evil.example", b"localhost.evil.example",
    b"localhost@evil.example", b"evil.example#localhost", b"evil.example/localhost", b"localhost:80:80", b"[::1",
    b"2130706433", b"0x7f000001", b"127.1", b"localhost%00", b"admin", b"http://localhost",
    b"localhost,evil.example", b"*", b"xn--lcalhost-q1a", b"localhost evil.example", b"localhost\tevil.example",
    b"a/../admin?x=", b"a/v1/models?", b"/", b"?", b"#", b"@", b"localhost@", b"[localhost]", b"[127.0.0.1]",
    b"localhost.", b"127.0.0.1.", b"017700000001", b"127.0.0.1%2eevil", b"loc\xc3\xa4lhost",
    b"localhost\\@evil.example", b"evil.example\\localhost", b".localhost", b"localhost..", b"0.0.0.0",
    b"169.254.169.254",
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    path = write_registry(tmp_path_factory.mktemp("registry"))
    return start(path, SHOAL_API_KEYS=KEY, SHOAL_ADMIN_KEY=ADMIN)


class Asker:
    """One connection, one answer after another."""

    def __init__(self, server: Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def __call__(
        self, method: str, path: str, body: object = None, key: str = KEY, **headers: str
    ) -> tuple[int, bytes]:
        given = {"authorization": f"Bearer {key}", "content-type": "application/json", **headers}
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, {name: value.encode() for name, value in given.items()})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def ask(guarded: Server) -> Iterator[Asker]:
    with closing(Asker(guarded)) as asker:
        yield asker


def kept(server: Server) -> dict[str, str]:
    """A digest of all that each database of a server says."""
    found = {}
    for path in sorted((server.folder / "data").glob("*.sqlite")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found[path.name] = hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()
    return found


def carriers(text: str) -> Iterator[tuple[str, str, object, dict[str, str]]]:
    """Requests that carry `text` where no such thing exists or is allowed: method, path, body and headers."""
    quoted = urllib.parse.quote(text, safe="")
    yield "POST", "/v1/chat/completions", OK | {"model": text}, {}
    yield "POST", "/v1/chat/completions", OK | {"service_tier": text}, {}
    yield "POST", "/v1/embeddings", {"model": text, "input": "x"}, {}
    yield "POST", "/v1/responses", {"model": "cook", "input": "x", "previous_response_id": text}, {}
    yield "POST", "/v1/feedback", {"request_id": text, "score": 1}, {}
    yield "GET", f"/v1/models/{quoted}", None, {}
    yield "GET", f"/v1/responses/{quoted}", None, {}
    yield "DELETE", f"/v1/responses/{quoted}", None, {}
    for name in ("from", "to", "group_by"):
        yield "GET", f"/v1/meter?{name}={quoted}", None, {}
    yield "GET", f"/v1/dashboard?from={quoted}", None, {}
    yield "DELETE", f"/admin/experts/{quoted}", None, {"key": ADMIN}
    yield "GET", f"/admin/{quoted}", None, {"key": ADMIN}
    if text.isascii() and text.isprintable():
        yield "GET", "/v1/models", None, {"key": text}
        yield "GET", "/v1/models", None, {"authorization": text, "x-api-key": text}


def test_there_are_enough_of_them() -> None:
    assert len(set(SQL)) >= 200
    assert len(set(HOSTS)) >= 40


def test_statements_and_paths_are_text_wherever_they_come(guarded: Server, ask: Asker) -> None:
    ask("POST", "/v1/chat/completions", OK)
    ask("POST", "/v1/responses", {"model": "cook", "input": "x"})
    before = kept(guarded)
    assert {"ledger.sqlite", "responses.sqlite"} <= set(before)
    for text in (*SQL, *PATHS):
        for method, path, body, headers in carriers(text):
            status, answer = ask(method, path, body, **headers)
            assert 400 <= status < 500 and status != 422, (method, path, text, answer)
            assert b"error" in answer
    assert kept(guarded) == before
    assert "Traceback" not in guarded.log()


def test_statements_that_may_be_said_are_kept_as_they_are(guarded: Server, ask: Asker) -> None:
    before = guarded.totals(AS_ADMIN)["requests"]
    for at, text in enumerate(SQL):
        said = OK | {"user": text, "metadata": {text[:64]: text}, "messages": [{"role": "user", "content": text}]}
        more = {"idempotency-key": f"{at}{text.replace(' ', '+')}"} if text.isascii() else {}
        assert ask("POST", "/v1/chat/completions", said, **more)[0] == 200
    assert guarded.totals(AS_ADMIN)["requests"] == before + len(SQL)
    assert guarded.shoal("meter", "audit").returncode == 0


def test_no_path_of_a_request_is_opened(guarded: Server, ask: Asker) -> None:
    for text in PATHS:
        assert b"root:" not in ask("POST", "/v1/chat/completions", OK | {"model": text})[1]
        quoted = urllib.parse.quote(text, safe="/")
        assert ask("GET", f"/web/{quoted}")[0] in (400, 404)
    assert not list(guarded.folder.rglob("pwned"))
    assert not Path("pwned").exists()


@pytest.mark.parametrize("host", HOSTS)
def test_a_made_up_host_opens_nothing_with_and_without_keys(guarded: Server, shared: Server, host: bytes) -> None:
    for path in (b"/admin/registry", b"/admin/certificates", b"/admin/ledger", b"/v1/models", b"/metrics"):
        head = b"GET " + path + b" HTTP/1.1\r\nhost: " + host + b"\r\nconnection: close\r\n\r\n"
        assert raw(guarded, head).split()[1] in (b"400", b"401", b"421"), path
        assert raw(shared, head).split()[1] in (b"400", b"401", b"421"), path


@pytest.mark.parametrize("host", HOSTS)
def test_not_even_with_the_right_key(guarded: Server, host: bytes) -> None:
    head = b"GET /v1/models HTTP/1.1\r\nauthorization: Bearer " + KEY.encode() + b"\r\nhost: " + host + b"\r\n"
    status, _, rest = raw(guarded, head + b"connection: close\r\n\r\n").partition(b"\r\n")
    if host in (b"0.0.0.0", b"169.254.169.254"):  # with a key any address will do: no page has one as its name
        assert status.split()[1] == b"200"
    else:
        assert status.split()[1] in (b"400", b"421") and b'"code"' in rest
