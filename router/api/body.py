"""Reading a request's body: bounded while it is read, strict when it is parsed."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.types import Message, Receive, Scope

from router.api.errors import ApiError, invalid

NOT_JSON = "We could not parse the JSON body of your request."


class ClientLeft(Exception):
    """The client closed the connection before its request was whole."""


async def read_json(scope: Scope, receive: Receive, limit: int) -> Any:
    """The parsed body. Raises `ApiError` when it is too large or no JSON, `ClientLeft` when it never came."""
    _check_type(scope)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body") or message["type"] == "http.disconnect" or len(body) > limit:
        body = await _read_on(message, receive, limit)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"{NOT_JSON} {error.msg} at line {error.lineno}, column {error.colno}.") from None


async def _read_on(message: Message, receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            message_text = f"The request body is larger than {limit:,} bytes. Send less, or in several requests."
            raise ApiError(413, message_text, code="request_too_large", headers={"connection": "close"})
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


def _check_type(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise ApiError(415, "Compressed request bodies are not accepted.", code="unsupported_content_type")
        if name == b"content-type":
            kind = value.lower().replace(b" ", b"")
            if not kind.startswith(b"application/json") or (b"charset=" in kind and b"charset=utf-8" not in kind):
                message = "Send the body as application/json in UTF-8."
                raise ApiError(415, message, code="unsupported_content_type")
