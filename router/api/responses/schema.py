"""What a request for a response may say: types, ranges and lengths as OpenAI documents them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from router.api.chat_schema import Effort, Metadata, Name, Part, Text, Tier

MOST_INPUT: Final = 2048
"""Items of a conversation, those of previous responses among them."""


class InputPart(Part):
    """A part of an item's content."""

    type: Literal["input_text", "input_image", "input_file", "output_text", "refusal"]
    text: Text | None = None
    refusal: Text | None = None
    image_url: Text | None = None
    detail: Literal["auto", "low", "high", "original"] | None = None
    file_id: str | None = None
    file_data: Text | None = None
    file_url: str | None = None
    filename: str | None = None


class InputItem(Part):
    """A message, a call, the result of one, or the id of what was said before; a message when no type is given."""

    type: Literal["message", "function_call", "function_call_output", "item_reference"] | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Text | Annotated[list[InputPart], Field(min_length=1, max_length=1024, fail_fast=True)] | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    arguments: Text | None = None
    output: Text | Annotated[list[InputPart], Field(fail_fast=True)] | None = None


class FunctionTool(Part):
    """A function a model may call. Tools that OpenAI runs itself are not to be had here."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class AllowedTool(Part):
    """A function the choice is narrowed to."""

    type: Literal["function"]
    name: Name


class ToolChoice(Part):
    """What must be called."""

    type: Literal["function", "allowed_tools"]
    name: Name | None = None
    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[AllowedTool], Field(min_length=1, max_length=128)] | None = None


class TextFormat(Part):
    """What shape the text must have."""

    type: Literal["text", "json_object", "json_schema"]
    name: Name | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextConfig(Part):
    """How the text shall be."""

    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(Part):
    """How much to think first."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseStreamOptions(Part):
    """What a stream carries beside its events."""

    include_obfuscation: bool | None = None


class ResponseBody(Part):
    """The body of POST /v1/responses. Every optional field takes null for its default."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: Text | Annotated[list[InputItem], Field(min_length=1, max_length=MOST_INPUT, fail_fast=True)]
    background: bool | None = None
    conversation: str | dict[str, Any] | None = None
    include: Annotated[list[str], Field(max_length=64)] | None = None
    instructions: Text | None = None
    max_output_tokens: Annotated[int, Field(ge=16, le=2**31)] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in-memory", "in_memory", "24h"] | None = None
    reasoning: Reasoning | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    service_tier: Tier | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    text: TextConfig | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
