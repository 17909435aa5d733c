"""What a request for a message may say: types, ranges and lengths as Anthropic documents them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from router.api.chat_schema import Part, Text

ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]


class Source(Part):
    """Where an image is."""

    type: Literal["base64", "url"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"] | None = None
    data: Annotated[Text, Field(min_length=1)] | None = None
    url: Annotated[Text, Field(min_length=1)] | None = None


class ResultPart(Part):
    """A part of a tool's result."""

    type: Literal["text", "image"]
    text: Text | None = None
    source: Source | None = None


class Block(Part):
    """A part of a message's content."""

    type: Literal["text", "image", "tool_use", "tool_result"]
    text: Text | None = None
    source: Source | None = None
    id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    name: ToolName | None = None
    input: dict[str, Any] | None = None
    tool_use_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    content: Text | Annotated[list[ResultPart], Field(fail_fast=True)] | None = None
    is_error: bool | None = None


class TextBlock(Part):
    """A part of the system prompt."""

    type: Literal["text"]
    text: Text


class Turn(Part):
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    content: Text | Annotated[list[Block], Field(min_length=1, max_length=2048, fail_fast=True)]


class Tool(Part):
    """A tool the client runs. Tools that Anthropic runs itself are not to be had here."""

    name: ToolName
    type: Literal["custom"] | None = None
    description: Text | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None


class ToolChoice(Part):
    """What must be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Part):
    """How much to think first."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1024)] | None = None


class OutputFormat(Part):
    """What shape the text must have."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Part):
    """How the answer shall be."""

    format: OutputFormat | None = None
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class CallerMetadata(Part):
    """About whom the client asks for."""

    user_id: Annotated[str, Field(max_length=256)] | None = None


class CountBody(Part):
    """The body of POST /v1/messages/count_tokens."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Turn], Field(min_length=1, max_length=2048, fail_fast=True)]
    system: Text | Annotated[list[TextBlock], Field(max_length=1024, fail_fast=True)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessageBody(CountBody):
    """The body of POST /v1/messages. Every optional field takes null for its default."""

    max_tokens: Annotated[int, Field(ge=1, le=2**31)]
    metadata: CallerMetadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    thread: dict[str, Any] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
