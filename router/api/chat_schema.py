"""What a chat completion may say: types, ranges and lengths as OpenAI documents them.

Only checked, never rebuilt: the client's own values travel on. Limits are those of OpenAI's API reference, narrowed
where a gateway must protect itself (n, messages, tools). What no type can say is in `chat_meaning`. Where many things
may stand, the first that is wrong ends the check (`fail_fast`): to tell of each would take longer than all else.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from router.api.chat_meaning import check_meaning
from router.api.errors import invalid
from router.api.validate import Checker

NAME: Final = r"^[a-zA-Z0-9_-]{1,64}$"

Text = Annotated[str, Field(max_length=10_000_000)]
Name = Annotated[str, Field(pattern=NAME)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=2**31)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


def _one_tier(tier: str) -> str:
    if tier not in ("auto", "default"):
        wants = "Supported values are: 'auto' and 'default'."
        raise PydanticCustomError("unsupported_value", f"there is one tier here, and '{tier}' is none. {wants}")
    return tier


Tier = Annotated[Literal["auto", "default", "flex", "scale", "priority", "fast"], AfterValidator(_one_tier)]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16, fail_fast=True),
]
Bias = Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024, fail_fast=True)]


class Part(BaseModel):
    """One element; pydantic reads attributes faster than it builds dicts."""

    model_config = ConfigDict(extra="ignore", strict=True)


class ImageUrl(Part):
    """Where an image is, or the image itself as a data URL."""

    url: Text
    detail: Literal["auto", "low", "high", "original"] | None = None


class InputAudio(Part):
    """Sound, in base64."""

    data: Text
    format: Literal["wav", "mp3"]


class ContentPart(Part):
    """A part of a message's content."""

    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: Text | None = None
    refusal: Text | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    file: dict[str, Any] | None = None


class CalledFunction(Part):
    """A function that was called."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    arguments: Text


class CalledCustom(Part):
    """A custom tool that was called."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    input: Text


class ToolCall(Part):
    """A call in an assistant's message."""

    id: str
    type: Literal["function", "custom"]
    function: CalledFunction | None = None
    custom: CalledCustom | None = None


class Message(Part):
    """One message of a conversation."""

    role: Literal["developer", "system", "user", "assistant", "tool", "function"]
    content: str | Annotated[list[ContentPart], Field(fail_fast=True)] | None = None
    name: str | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    function_call: CalledFunction | None = None
    tool_call_id: str | None = None


class Function(Part):
    """A function a model may call."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomTool(Part):
    """A tool that is called with free text."""

    name: Name
    description: str | None = None
    format: dict[str, Any] | None = None


class Tool(Part):
    """A tool a model may call."""

    type: Literal["function", "custom"]
    function: Function | None = None
    custom: CustomTool | None = None


class ChosenName(Part):
    """The name of what must be called."""

    name: Annotated[str, Field(min_length=1, max_length=64)]


class AllowedTools(Part):
    """Tools the choice is narrowed to."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=128)]


class ToolChoice(Part):
    """What must be called."""

    type: Literal["function", "custom", "allowed_tools"]
    function: ChosenName | None = None
    custom: ChosenName | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(Part):
    """The schema an answer must satisfy."""

    model_config = ConfigDict(extra="ignore", strict=True, protected_namespaces=())

    name: Name
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Part):
    """What shape the answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(Part):
    """What a stream carries beside its deltas."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Prediction(Part):
    """What the answer will mostly be."""

    type: Literal["content"]
    content: str | Annotated[list[ContentPart], Field(fail_fast=True)]


class ChatBody(Part):
    """The body of POST /v1/chat/completions. Every optional field takes null for its default."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=2048, fail_fast=True)]
    model: Annotated[str, Field(min_length=1, max_length=256)]
    audio: dict[str, Any] | None = None
    frequency_penalty: Penalty | None = None
    function_call: Literal["none", "auto"] | ChosenName | None = None
    functions: Annotated[list[Function], Field(min_length=1, max_length=128)] | None = None
    logit_bias: Bias | None = None
    logprobs: bool | None = None
    max_completion_tokens: Tokens | None = None
    max_tokens: Tokens | None = None
    metadata: Metadata | None = None
    modalities: Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=2, fail_fast=True)] | None = (
        None
    )
    moderation: dict[str, Any] | None = None
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    parallel_tool_calls: bool | None = None
    prediction: Prediction | None = None
    presence_penalty: Penalty | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in-memory", "in_memory", "24h"] | None = None
    reasoning_effort: Effort | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    service_tier: Tier | None = None
    stop: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=4)]
        | None
    ) = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    tools: Annotated[list[Tool], Field(min_length=1, max_length=128)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    user: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: dict[str, Any] | None = None


_CHECKER: Final = Checker(ChatBody)
_OURS: Final = frozenset(
    {
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
        "service_tier",
        "store",
        "user",
    }
)
"""About the client's account with OpenAI, not about the answer: accepted, and never sent to an expert."""


def check(body: object, strict: bool = False) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body's known parameters with nulls dropped, and the names of those that have no effect here.

    Raises `ApiError`; with `strict` also for a name that is unknown and for what would have no effect.
    """
    given = _CHECKER.check(body, strict)
    if given.get("moderation") is not None:
        message = "'moderation' is not supported: nothing is moderated here. Ask a moderation model by itself."
        raise invalid(message, "moderation", "unsupported_parameter")
    known = _CHECKER.known
    kept = {key: value for key, value in given.items() if key in known and key not in _OURS and value is not None}
    check_meaning(kept)
    ignored = tuple(key for key in given if key not in known) if len(kept) != len(given) else ()
    if given.get("store"):
        if strict:
            raise invalid("Chat completions are not stored here; leave 'store' out.", "store", "unsupported_parameter")
        ignored = (*ignored, "store")
    return kept, ignored
