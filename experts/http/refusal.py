"""What an upstream says instead of an answer -> the ExpertError it amounts to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertRefused,
    ExpertTimedOut,
    ExpertUnauthorised,
    ExpertUnknown,
)

MAX_RETRY_AFTER_S = 60.0
"""OpenAI's Python client gives up on longer advice and its Node client sleeps however long it is told."""

MAX_MESSAGE_CHARS = 500
READ_CHARS = 16_384
"""Of a message that an upstream sends; to look for keys in 64 MB of them took 15 s of the event loop's time."""

_UNKNOWN = (
    "correct `model` or `url` of the expert: `url` ends where /chat/completions begins, mostly in /v1, and the server "
    "lists its models at /models there"
)

_SECRET = re.compile(
    r"sk-[\w-]{4,}"  # OpenAI and its many imitators
    r"|AIza[\w-]{8,}"  # Google
    r"|(?<=bearer )\S+"
    r"|\b[0-9a-f]{32,}",
    re.IGNORECASE,
)


def redact(text: str, key: str | None = None) -> str:
    """`text` without anything that looks like a credential, nor `key`, at most `MAX_MESSAGE_CHARS` long."""
    if len(text) > READ_CHARS:
        text = text[:READ_CHARS].rpartition(" ")[0] + "…"  # a word that was cut might be half a key
    if key:
        text = text.replace(key, "[redacted]")
    text = _SECRET.sub("[redacted]", text)
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def retry_after_s(header: str | None) -> float | None:
    """Seconds a Retry-After header asks for, at most `MAX_RETRY_AFTER_S`; None when it says nothing usable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = _seconds_until(header)
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, MAX_RETRY_AFTER_S)


def from_status(
    expert: str, status: int, body: bytes, header: Callable[[str], str | None], key: str | None = None
) -> ExpertError:
    """The error that an answer other than 200 amounts to. `header` looks one up by its lower-case name."""
    error = _error_object(body)
    answered = f"the upstream answered {status}"
    said = redact(answered + (f": {_message(error)}" if error else ""), key)
    if status in (401, 402, 403):
        return ExpertUnauthorised(expert, said, loggable=answered)
    if status in (429, 503):
        return ExpertOverloaded(expert, said, retry_after_s(header("retry-after")), loggable=answered)
    if status in (404, 405):  # the place or the model is gone; the client's request is not at fault
        return ExpertUnknown(expert, f"{said}; {_UNKNOWN}", loggable=f"{answered}; {_UNKNOWN}")
    if status == 408:
        return ExpertTimedOut(expert, said, loggable=answered)
    if 400 <= status < 500 and error:
        return _refused(expert, status, error, key)
    if 300 <= status < 400:
        redirected = "a redirect; put the final address into the registry"
        return ExpertFailed(expert, f"{said}, {redirected}", loggable=f"{answered}, {redirected}")
    return ExpertFailed(expert, said, loggable=answered)


def from_stream(expert: str, error: object, key: str | None = None) -> ExpertError:
    """The error that an `error` member inside a stream, or in an answer of 200, amounts to."""
    error = error if isinstance(error, dict) else {"message": str(error)}
    code = error.get("code")
    if error.get("type") == "invalid_request_error":
        return _refused(expert, code if isinstance(code, int) and 400 <= code < 500 else 400, error, key)
    reported = "the upstream reported an error"
    return ExpertFailed(expert, redact(f"{reported}: {_message(error)}", key), loggable=reported)


def _refused(expert: str, status: int, error: dict[str, Any], key: str | None) -> ExpertRefused:
    param, code, message = error.get("param"), error.get("code"), _message(error)
    if error.get("type") == "exceed_context_size_error":  # llama.cpp's word for it
        param, code = "messages", "context_length_exceeded"
        most, held = error.get("n_ctx"), error.get("n_prompt_tokens")
        if isinstance(most, int) and isinstance(held, int):  # its own words are for whoever started it
            told = f"This model's maximum context length is {most} tokens; the prompt holds {held}."
            message = f"{told} Please shorten it."
    return ExpertRefused(
        expert,
        redact(message, key),
        status,
        param if isinstance(param, str) else None,
        code if isinstance(code, str) else None,
    )


def _error_object(body: bytes) -> dict[str, Any] | None:
    """OpenAI's {"error": {...}}, and the three simpler shapes that servers send: error, message, detail as text."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict):
        return None
    error = said.get("error")
    if isinstance(error, dict):
        return error
    text = error or said.get("message") or said.get("detail")
    return {"message": text if isinstance(text, str) else orjson.dumps(text).decode()} if text else None


def _message(error: dict[str, Any]) -> str:
    return str(error.get("message") or "no reason given")


def _seconds_until(date: str) -> float:
    try:
        when = parsedate_to_datetime(date)
    except (OverflowError, ValueError):  # the first of a day, hour or zone of too many digits
        return math.nan
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - datetime.now(UTC)).total_seconds()
