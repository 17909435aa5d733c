"""The body of POST /v1/embeddings, and its inputs as a list whichever way they were sent."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from experts.wire import Prompt
from router.api.errors import invalid

MAX_TOKENS: Final = 300_000
"""Of all inputs of a request together, as OpenAI has it."""

MAX_INPUTS: Final = 2048

_TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=8192, fail_fast=True)]


class EmbeddingsBody(BaseModel):
    """The body of POST /v1/embeddings; OpenAI refuses unknown parameters here, and so does Shoal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)]
        | _TokenIds
        | Annotated[list[_TokenIds], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)]
    )
    model: Annotated[str, Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=65536)] | None = None
    user: str | None = None


def check_size(given: Any) -> None:
    """Raises `ApiError` about more token ids than may be sent, before each of them is looked at."""
    inputs = given.get("input") if isinstance(given, dict) else None
    if isinstance(inputs, list):
        check_sum(sum(len(one) for one in inputs if isinstance(one, list)))


def check_sum(tokens: int) -> None:
    """Raises `ApiError` about more tokens than a request may hold."""
    if tokens > MAX_TOKENS:
        message = f"Requested {tokens} tokens, max {MAX_TOKENS} tokens per request."
        raise invalid(f"{message} Send the texts in several requests.", "input", "max_tokens_per_request")


def inputs_of(given: Any) -> list[Prompt]:
    """What was sent as one or as several, as several. Raises `ApiError` about one that is empty."""
    inputs: list[Prompt] = [given] if _is_one(given) else given
    for at, one in enumerate(inputs):
        if one == "":
            param = param_of(given, at)
            raise invalid(f"'{param}' must not be an empty string.", param, "invalid_value")
    return inputs


def _is_one(given: Any) -> bool:
    return isinstance(given, str) or isinstance(given[0], int)


def param_of(given: Any, at: int) -> str:
    """What the client calls the input `at`."""
    return "input" if _is_one(given) else f"input[{at}]"
