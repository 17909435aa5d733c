"""The outermost ring: every request gets an id, is let in or not, and no exception leaves unshaped."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.api.errors import ApiError, as_api_error, unauthorised
from router.meter.ulid import new_ulid

log = logging.getLogger("shoal.api")

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""Answered without a key, for probes; they tell nothing but alive and ready."""

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})


class Keys:
    """The keys that open the API; only their digests are held."""

    def __init__(self, api_keys: Iterable[str], admin_key: str) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in api_keys]
        self._admin = hashlib.sha256(admin_key.encode()).digest() if admin_key else None

    def admit(self, path: str, authorization: bytes | None) -> str:
        """The caller's key id, empty where no key is asked for. Raises a 401 `ApiError`.

        Every digest is compared in constant time and none is skipped, so timing tells nothing of a key.
        """
        admin = path.startswith("/admin")
        if path in OPEN_PATHS or (not self._digests and not admin):
            return ""
        given = (authorization or b"").split(b" ", 1)
        if len(given) != 2 or given[0].lower() != b"bearer" or not given[1].strip():
            raise unauthorised("You didn't provide an API key. Send it as: Authorization: Bearer YOUR_KEY", None)
        digest = hashlib.sha256(given[1].strip()).digest()
        wanted = ([self._admin] if self._admin else []) if admin else self._digests
        matches = [hmac.compare_digest(digest, known) for known in wanted]
        if True not in matches:
            raise unauthorised("Incorrect API key provided.", "invalid_api_key")
        return digest.hex()[:12]


class Edge:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, keys: Keys, hosts: frozenset[str] | None) -> None:
        self._app = app
        self._keys = keys
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; `scope["shoal"]` carries its id and its caller's key id."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id = new_ulid()
        stamp = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
        started = False

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *stamp]
            await send(message)

        try:
            headers = dict(scope["headers"])
            self._check_host(headers.get(b"host"))
            scope["shoal"] = (request_id, self._keys.admit(scope["path"], headers.get(b"authorization")))
            await self._app(scope, receive, stamped)
        except Exception as error:
            answer = as_api_error(error)
            if started:
                # The head is out: nothing can be said any more, and closing the connection says that it broke.
                raise
            log.debug("%s %s -> %d", scope["method"], request_id, answer.status)
            await send_error(stamped, answer)

    def _check_host(self, host: bytes | None) -> None:
        """A page on another site must not reach a service without a key by renaming itself to this address."""
        if self._hosts is None:
            return
        name = (host or b"").decode("latin-1").rsplit(":", 1)[0] if not (host or b"").endswith(b"]") else host
        if name not in self._hosts:
            raise ApiError(421, "This Host is not served here; use the address Shoal listens on.", code="bad_host")


async def send_json(send: Send, body: bytes, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """One whole JSON answer."""
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError) -> None:
    """An error as a whole answer."""
    headers = [(key.encode(), value.encode()) for key, value in error.headers.items()]
    await send_json(send, error.body(), error.status, headers)
