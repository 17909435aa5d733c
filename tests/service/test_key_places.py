"""An admin key changes the registry over HTTP, and sends no key of the server's to where it did not go before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.service.server import Server, write_registry
from tests.service.test_admin import KEY, call, current

SECRET = "sk-of-the-provider-0123456789"


@dataclass
class Canary:
    """A server that has the model `m`."""

    url: str
    """Up to and including /v1."""
    keys: list[str | None] = field(default_factory=list)
    """The `Authorization` of each request."""

    def expert(self, name: str, **more: Any) -> dict[str, Any]:
        """An expert there."""
        said = {"id": name, "kind": "openai", "description": "Far away", "url": self.url, "model": "m"}
        return {**said, "params_b": 3, "context": 4096, **more}


@contextmanager
def canary() -> Iterator[Canary]:
    keys: list[str | None] = []

    class Keeping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"object": "list", "data": [{"id": "m"}]}')

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as listener:
        Thread(target=listener.serve_forever, daemon=True).start()
        yield Canary(f"http://127.0.0.1:{listener.server_port}/v1", keys)
        listener.shutdown()


@pytest.fixture(scope="module")
def provider() -> Iterator[Canary]:
    with canary() as found:
        yield found


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory, provider: Canary) -> Server:
    registry = write_registry(tmp_path_factory.mktemp("places"))
    said = [f"{key}: {json.dumps(value)}" for key, value in provider.expert("far", key_env="PROVIDER_KEY").items()]
    registry.write_text(registry.read_text() + "  - " + "\n    ".join(said) + "\n")
    return start(registry, SHOAL_ADMIN_KEY=KEY, PROVIDER_KEY=SECRET, OTHER_KEY="hush")


def test_no_variable_of_the_server_goes_to_a_server_it_did_not_go_to(server: Server, provider: Canary) -> None:
    before = current(server)
    with canary() as other:
        asked = [(other, "PROVIDER_KEY"), (other, "OTHER_KEY"), (other, "HOME"), (provider, "OTHER_KEY")]
        for there, variable in asked:
            expert = there.expert("spy", key_env=variable)
            text = before["text"].replace("PROVIDER_KEY", variable).replace(provider.url, there.url)
            line = text[: text.index("key_env")].count("\n") + 1
            told = f"may not send a key to {there.url.removesuffix('/v1')} by a change over HTTP"
            for method, path, body, where in (
                ("POST", "/admin/experts/preview", {"expert": expert}, "expert.key_env"),
                ("POST", "/admin/experts", {"expert": expert}, "expert.key_env"),
                ("PUT", "/admin/registry", {"text": text}, f"registry.yaml:{line}: experts[3].key_env"),
            ):
                status, answer = call(server, method, path, body)
                assert (status, answer["error"]["code"]) == (400, "invalid_registry"), (variable, path, answer)
                assert answer["error"]["message"].startswith(f"{where}: {told}"), answer
        assert other.keys == []
    assert {None, f"Bearer {SECRET}"} >= set(provider.keys)
    assert current(server) == before


def test_a_key_that_a_server_gets_already_serves_more_experts_there(server: Server, provider: Canary) -> None:
    body = {"expert": provider.expert("farther", key_env="PROVIDER_KEY", url=f"{provider.url}/")}
    for path, status in (("/admin/experts/preview", 200), ("/admin/experts", 201)):
        provider.keys.clear()
        got, seen = call(server, "POST", path, body)
        assert (got, seen["server"]["state"], provider.keys) == (status, "fine", [f"Bearer {SECRET}"]), seen
    assert call(server, "DELETE", "/admin/experts/farther")[0] == 200


def test_a_server_that_needs_no_key_is_asked_without_one(server: Server) -> None:
    with canary() as other:
        status, seen = call(server, "POST", "/admin/experts/preview", {"expert": other.expert("open")})
        assert (status, seen["server"]["state"], other.keys) == (200, "fine", [None])


def test_the_log_says_whose_key_previewed_what(server: Server) -> None:
    with canary() as other:
        for name, more in (("seen", {}), ("refused", {"key_env": "HOME"})):
            call(server, "POST", "/admin/experts/preview", {"expert": other.expert(name, **more)})
            assert f"expert '{name}' previewed by key " in server.log()
