"""What a connection says last, where no application is there to say it."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from router.api.edge import STAMP
from router.api.errors import ApiError
from router.meter.ulid import new_ulid


def too_slow(what: str) -> ApiError:
    """Of a head or a body that took more than its time."""
    return ApiError(408, f"The {what} of the request came too slowly.", code="request_timeout")


def too_long(what: str, limit: int) -> ApiError:
    """Of what is longer than `limit` bytes."""
    return ApiError(431, f"The {what} are longer than {limit:,} bytes.", code="headers_too_large")


def no_proxy() -> ApiError:
    """Of CONNECT."""
    message = (
        "CONNECT is not served: Shoal is no proxy. Give clients its address as the base URL, not as HTTP_PROXY or "
        "HTTPS_PROXY."
    )
    return ApiError(501, message, code="method_not_supported")


def not_chunked() -> ApiError:
    """Of a transfer coding other than chunked, or beside it."""
    message = "Of transfer codings only chunked is served. Send the body uncompressed, with its length or in chunks."
    return ApiError(501, message, code="unsupported_transfer_coding")


def whole(error: ApiError) -> bytes:
    """The bytes of an answer that ends its connection."""
    body = error.body()
    stamp = (*STAMP, (b"x-request-id", new_ulid().encode()))
    head = [
        STATUS_LINE[error.status],
        b"content-type: application/json\r\n",
        *(b"%b: %b\r\n" % each for each in stamp),
        b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
    ]
    return b"".join(head) + body
