"""Reading a request's body: bounded while it is read, strict when it is parsed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from starlette.types import Message, Receive, Scope

from router.api.errors import ApiError, invalid
from router.api.strict_json import LARGE_BYTES, NotStrictJson, parse


class ClientLeft(Exception):
    """The client closed the connection before its request was whole."""


async def read_json(scope: Scope, receive: Receive, limit: int) -> Any:
    """The parsed body. Raises `ApiError` when it is too large or no JSON, `ClientLeft` when it never came."""
    body = await read_body(scope, receive, limit)
    try:
        if len(body) <= LARGE_BYTES:  # text of this size is parsed in the 50 us that the way to a thread would take
            return parse(body)
        return await asyncio.get_running_loop().run_in_executor(_parser(), parse, body)
    except NotStrictJson as error:
        raise not_json(str(error)) from None


@cache
def _parser() -> ThreadPoolExecutor:
    """One thread for all large bodies: several would only wait for each other, and the event loop for all of them."""
    return ThreadPoolExecutor(1, "parse")


def not_json(why: str) -> ApiError:
    """400, in OpenAI's words; the hint says what is wrong with this body."""
    return invalid(f"We could not parse the JSON body of your request. (HINT: {why[:1].upper()}{why[1:]}.)")


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body as it came. Raises `ApiError` when it is too large or no JSON by its type, `ClientLeft`."""
    _check_head(scope, limit)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] == "http.disconnect" or len(body) > limit:
        body = await _read_on(message, receive, limit)
    return body


async def _read_on(message: Message, receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _check_head(scope: Scope, limit: int) -> None:
    """What the headers promise is refused before a byte of the body is read. Raises `ApiError`."""
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise ApiError(415, "Compressed request bodies are not accepted.", code="unsupported_content_type")
        if name == b"content-length" and len(value) > 7 and (len(value) > 18 or int(value) > limit):
            raise _too_large(limit)
        if name == b"content-type" and value != b"application/json":
            kind = value.lower().replace(b" ", b"").replace(b'"', b"")
            media, *parameters = kind.split(b";")
            charsets = {part.removeprefix(b"charset=") for part in parameters if part.startswith(b"charset=")}
            if media != b"application/json" or charsets - {b"utf-8", b"utf8"}:
                message = "Send the body as application/json in UTF-8."
                raise ApiError(415, message, code="unsupported_content_type")


def _too_large(limit: int) -> ApiError:
    message = f"The request body is larger than {limit:,} bytes. Send less, or in several requests."
    return ApiError(413, message, code="request_too_large")
