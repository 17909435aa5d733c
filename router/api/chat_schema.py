"""What a chat completion may say: types, ranges and lengths as OpenAI documents them, and the words for what is wrong.

Only checked, never rebuilt: the client's own values travel on. Limits are those of OpenAI's API reference, narrowed
where a gateway must protect itself (n, messages, tools).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from router.api.errors import invalid
from router.api.validate import Checker

Text = Annotated[str, Field(max_length=10_000_000)]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class _Part(BaseModel):
    """One element; pydantic reads attributes faster than it builds dicts."""

    model_config = ConfigDict(extra="ignore", strict=True)


class ContentPart(_Part):
    """A part of a message's content."""

    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: Text | None = None


class Message(_Part):
    """One message of a conversation."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


class Function(_Part):
    """A function a model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(_Part):
    """A tool a model may call."""

    type: Literal["function", "custom"]
    function: Function | None = None


class JsonSchema(_Part):
    """The schema an answer must satisfy."""

    name: Name
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(_Part):
    """What shape the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(_Part):
    """What a stream carries beside its deltas."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatBody(_Part):
    """The body of POST /v1/chat/completions. Every optional field takes null for its default."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=2048)]
    model: Annotated[str, Field(min_length=1, max_length=256)]
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    function_call: str | dict[str, Any] | None = None
    functions: Annotated[list[Function], Field(min_length=1, max_length=128)] | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=1024)] | None = None
    logprobs: bool | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=2**31)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=16)] | None = None
    modalities: list[str] | None = None
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    prompt_cache_key: str | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    user: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


_CHECKER: Final = Checker(ChatBody)
_OURS: Final = frozenset({"user", "store", "metadata", "safety_identifier", "prompt_cache_key", "service_tier"})
"""About the client's account with OpenAI, not about the answer: accepted, and never sent to an expert."""


def check(body: object) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body's known parameters with nulls dropped, and the names of unknown ones. Raises `ApiError`."""
    given = _CHECKER.check(body)
    if given.get("top_logprobs") is not None and not given.get("logprobs"):
        raise invalid("'top_logprobs' needs 'logprobs' set to true.", "top_logprobs")
    if given.get("stream_options") is not None and not given.get("stream"):
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    known = _CHECKER.known
    kept = {key: value for key, value in given.items() if key in known and key not in _OURS and value is not None}
    ignored = tuple(key for key in given if key not in known) if len(kept) != len(given) else ()
    return kept, ignored
