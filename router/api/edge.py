"""The outermost ring: every request gets an id, is let in or not, and no exception leaves unshaped."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, get_args

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.api.errors import ApiError, as_api_error, invalid, of_anthropic, shaped, stopping
from router.api.pulse import streams
from router.api.replay import HEADER, IDEMPOTENT, stamped_id
from router.keys.caller import Caller
from router.keys.key import Role
from router.keys.ring import KeyRing
from router.keys.visit import Visit
from router.meter.ulid import new_ulid
from router.tally import LEFT, REFUSED, Tally

log = logging.getLogger("shoal.api")

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/dashboard", "/playground"})
"""Answered without a key: probes then tell nothing but alive and ready, pages hold no data and ask for the key."""

OPEN_FOLDER: Final = "/web/"
"""What the pages are made of: files of the source tree, the same for everybody."""

FIGURES: Final = frozenset({"/v1/meter", "/v1/dashboard", "/metrics"})
"""Where a key of any role is let in; what it is shown there is decided there, by whose figures it may see."""

ANY: Final[tuple[Role, ...]] = get_args(Role)

ADMIN: Final = "admin"
"""What lies below needs a key of its own kind, however the path is written."""

STAMP: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"openai-version", b"2020-10-01"),
    (b"access-control-expose-headers", b"X-Request-ID"),
)
"""What every answer says, as OpenAI's do."""

_CLIENT_ID: Final = b"x-client-request-id"
"""A client's own name for its request: given back, and used for nothing."""

CLIENT_ID_BYTES: Final = 512

LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})

BYTES_PER_TOKEN: Final = 4
"""Tokens set aside while a request is under way; its real ones are charged when it has ended."""


class BrokenOff(Exception):
    """An answer ended by a bug after its head was sent; holds the request's id alone."""


class Hosts:
    """The names this service goes by.

    A page on another site must not reach it by giving its own name this address (DNS rebinding). A name is needed for
    that, so where keys are asked for any address will do.
    """

    def __init__(self, names: Iterable[str], addresses: Callable[[], bool]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._addresses = addresses

    def check(self, host: bytes | None) -> None:
        """Raise a 421 `ApiError` for a foreign Host."""
        text = (host or b"").decode("latin-1").lower()
        name = text if text.endswith("]") else text.rpartition(":")[0] or text
        if name in self._names or "*" in self._names or (self._addresses() and _is_address(name)):
            return
        message = "This Host is not served here; use the address Shoal listens on, or name it in SHOAL_ALLOWED_HOSTS."
        raise ApiError(421, message, code="bad_host")


class Edge:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, keys: KeyRing, hosts: Hosts, tally: Tally) -> None:
        self._app = app
        self._tally = tally
        self._keys = keys
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; `scope["shoal"]` carries its id and its caller's key id."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id, began_ns = new_ulid(), time.monotonic_ns()
        stamp = [*STAMP]
        started = False
        caller: Caller | None = None
        visit: Visit | None = None

        async def stamped(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                self._tally.count(scope["path"], scope.get(REFUSED, message["status"]))
                if visit is not None:
                    visit.answered(message["status"], not streams(message))
                limits = caller.headers() if caller is not None and caller.metered else ()
                took = (b"openai-processing-ms", b"%d" % ((time.monotonic_ns() - began_ns) // 1_000_000))
                message["headers"] = [*message["headers"], *_names(scope, request_id), *stamp, took, *limits]
            await send(message)

        try:
            headers = self._checked(scope, stamp)
            scope["shoal"] = (request_id, "")
            if not is_open(scope["path"]):
                caller = self._keys.admit(_roles(scope["path"]), secret_of(headers), source_of(scope))
                scope["shoal"] = (request_id, caller.id)
                if caller.metered and scope["method"] == "POST":
                    visit = Visit(caller, _tokens(headers))
            await self._app(scope, receive, stamped)
        except Exception as error:
            answer = as_api_error(error)
            if started:
                # The head is out: nothing can be said any more, and closing the connection says that it broke.
                raise BrokenOff(request_id) from None  # the server logs what is raised, words and all
            log.debug("%s %s -> %d", scope["method"], request_id, answer.status)
            await send_error(stamped, answer, of_anthropic(scope), request_id)
        except asyncio.CancelledError:
            if started:
                raise
            await send_error(stamped, stopping(), of_anthropic(scope), request_id)
        finally:
            if not started:
                self._tally.count(scope["path"], scope.get(REFUSED, LEFT))
            if visit is not None:
                visit.over()

    def _checked(self, scope: Scope, stamp: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
        """The headers of a request; what is given back of them goes into `stamp`. Raises a 400 or 421 `ApiError`."""
        headers = dict(scope["headers"])
        if len(headers) != len(scope["headers"]):
            _check_repeated(scope)
        if _CLIENT_ID in headers and _is_echoed(headers[_CLIENT_ID]):
            stamp.append((_CLIENT_ID, headers[_CLIENT_ID]))
        if HEADER in headers:
            scope[IDEMPOTENT] = headers[HEADER]
        self._hosts.check(headers.get(b"host"))
        return headers


def _names(scope: Scope, request_id: str) -> Iterator[tuple[bytes, bytes]]:
    """The request's id, under the names that clients look for."""
    name = stamped_id(scope, request_id).encode()
    yield b"x-request-id", name
    if of_anthropic(scope):
        yield b"request-id", name


def _roles(path: str) -> tuple[Role, ...]:
    """Of which roles a key must be one."""
    if is_admin(path):
        return ("admin",)
    return ANY if path in FIGURES else ("inference",)


def is_open(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in OPEN_PATHS or (path.startswith(OPEN_FOLDER) and not is_admin(path))


def is_admin(path: str) -> bool:
    """Whether a path lies below /admin, also when it is written with capitals, doubled slashes or dots."""
    if path.startswith("/v1/") and ".." not in path:
        return False
    return ADMIN in path.lower().replace("\\", "/").split("/")


def _check_repeated(scope: Scope) -> None:
    """Two of what decides who asks, and whom, are one too many. Raises a 400 `ApiError`."""
    names = [name for name, _ in scope["headers"]]
    for name in (b"host", b"authorization", b"x-api-key", b"content-type", HEADER):
        if names.count(name) > 1:
            raise invalid(f"The header {name.decode()} came twice.")


def secret_of(headers: dict[bytes, bytes]) -> bytes | None:
    """The key: a bearer token, or what Anthropic's clients send as x-api-key."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and (token := token.strip()):
        return token
    return headers.get(b"x-api-key", b"").strip() or None


def source_of(scope: Scope) -> str:
    """Where a request came from, as wrong keys are counted by."""
    return scope["client"][0] if scope.get("client") else "local"


def _is_echoed(client_id: bytes) -> bool:
    return len(client_id) <= CLIENT_ID_BYTES and client_id.isascii() and client_id.decode().isprintable()


def _tokens(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"")
    return int(length) // BYTES_PER_TOKEN if length.isdigit() and len(length) < 12 else 0


def _is_address(name: str) -> bool:
    bracketed = name.startswith("[") and name.endswith("]")
    try:
        address = ipaddress.ip_address(name[1:-1] if bracketed else name)
    except ValueError:
        return False
    return bracketed == (address.version == 6)


def json_response(body: object, status: int = 200) -> Response:
    """One whole JSON answer of an endpoint that is a route."""
    return Response(orjson.dumps(body), status, media_type="application/json")


async def send_json(send: Send, body: bytes, status: int = 200, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """The same of an endpoint that is an ASGI application by itself."""
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError, anthropic: bool, request_id: str) -> None:
    """An error as a whole answer."""
    headers = [(key.encode(), value.encode()) for key, value in error.headers.items()]
    await send_json(send, shaped(error, anthropic, request_id), error.status, headers)
