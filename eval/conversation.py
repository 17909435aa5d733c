"""The messages of a row, held to what the product's own door lets in."""

from __future__ import annotations

from typing import Any

from eval.samples import SamplesError
from router.api.chat_schema import check
from router.api.errors import ApiError


def conversation(place: str, messages: Any) -> list[dict[str, Any]]:
    """The messages of the row at `place`. Raises `SamplesError` when no client could send them."""
    try:
        found: list[dict[str, Any]] = check({"model": "auto", "messages": messages})[0]["messages"]
    except ApiError as error:
        said = f"{error.message.rstrip('.')}{f' ({error.param})' if error.param else ''}"
        raise SamplesError(f"{place}: {said}. Remedy: messages as for /v1/chat/completions") from None
    return found
