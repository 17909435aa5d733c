"""The one request type inside Shoal: every surface translates into it, and only it is routed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from experts.answer_limit import FEWEST_CHARS_PER_TOKEN
from experts.engines.schema_grammar import unheld
from experts.spec import Capability
from experts.wire import Prompt

DEFAULT_ANSWER_TOKENS: Final = 256
"""Room kept for the answer when the client sets no limit; only used to see whether a request fits a context."""

MOST_CHARS_PER_TOKEN: Final = 8
"""An expert is passed over when the request may not fit (few characters a token); a request is refused only when it
surely does not (many); what lies between, the engine itself decides."""

USUAL_CHARS_PER_TOKEN: Final = 4
"""English under the vocabularies in use."""

IMAGE_TOKENS: Final = 1024
"""Stands for one part that is no text; only capabilities decide who may see it."""


class ChatRequest(Struct, frozen=True):
    """A validated chat completion, as any expert can take it."""

    request_id: str
    body: dict[str, Any]
    """OpenAI's known parameters only, `model` as the client wrote it."""
    key_id: str = ""
    retry_count: int = 0
    ignored: tuple[str, ...] = ()
    """Parameters the client sent that are not OpenAI's; dropped, and named in a header."""
    endpoint: str = "chat"
    functions: bool = False
    """The client speaks of functions, as they were before tools, and is answered so."""
    prompts: Sequence[Prompt] = ()
    """Texts to go on with; the messages then hold the longest, to choose an expert by."""
    names: Mapping[str, str] = {}
    """What the client calls a parameter, where its surface has another name for it."""
    conversation: str | None = None
    """What the client calls the conversation, where it does; only a keyed hash of it is ever kept."""

    @property
    def model(self) -> str:
        """What the client asked for: auto, auto:policy, fallback, an expert's id or an alias."""
        return str(self.body["model"])

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, oldest first, never empty."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def estimated_tokens(self) -> int:
        """Tokens of the prompt, tools included, by its characters, when nobody counted them; token ids are counted."""
        texts = [len(each) if isinstance(each, str) else len(each) * USUAL_CHARS_PER_TOKEN for each in self.prompts]
        return (sum(texts) if texts else _characters(self.body)[0] + _offered(self.body)) // USUAL_CHARS_PER_TOKEN

    @property
    def stream(self) -> bool:
        """Whether the client wants events."""
        return bool(self.body.get("stream"))

    @property
    def include_usage(self) -> bool:
        """Whether the client wants the usage event of a stream."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))

    @property
    def include_obfuscation(self) -> bool:
        """Whether the client wants its events padded, so that their length tells less of their text."""
        return bool((self.body.get("stream_options") or {}).get("include_obfuscation"))


def named_conversation(body: Mapping[str, Any]) -> str | None:
    """The client's own name of the conversation: `metadata.conversation_id` of a body that is checked; None without.

    `prompt_cache_key` is none: it names a common beginning of prompts, and clients give one to all of an application.
    """
    return (body.get("metadata") or {}).get("conversation_id") or None


class Needs(Struct, frozen=True):
    """What an expert must be able to do to take a request."""

    capabilities: Mapping[Capability, str]
    """Each needed capability, and the parameter that asks for it."""
    most_tokens: int
    """Prompt and answer together, estimated from above."""
    least_tokens: int
    """The prompt alone, estimated from below."""
    prompt: str = "messages"
    """What the client calls the prompt."""
    unheld: str | None = None
    """What of the schema of a strict answer no grammar holds an answer to, in words."""

    @classmethod
    def of(cls, request: ChatRequest) -> Needs:
        """Read the needs off a request's parameters."""
        body = request.body
        needed = _capabilities(body)
        if request.prompts:
            needed["completions"] = "model"
            if not all(isinstance(prompt, str) for prompt in request.prompts):
                needed["token_ids"] = "prompt"
        names = {"tools": "functions"} if request.functions else request.names
        told = {can: names.get(name, name) for can, name in needed.items()} if names else needed
        return cls(told, *_tokens(body), names.get("messages", "messages"), _unheld(body))


_ASKS: Final[tuple[tuple[str, Capability], ...]] = (
    ("stream", "stream"),
    ("logprobs", "logprobs"),
    ("logit_bias", "logit_bias"),
    ("reasoning_effort", "reasoning"),
    ("prediction", "prediction"),
    ("audio", "audio"),
    ("suffix", "infill"),
)
"""Parameters that ask for a capability whenever they say anything."""


def _capabilities(body: dict[str, Any]) -> dict[Capability, str]:
    needed: dict[Capability, str] = {can: name for name, can in _ASKS if body.get(name)}
    if body.get("seed") is not None:
        needed["seed"] = "seed"
    if body.get("web_search_options") is not None:  # an empty object asks for a search too
        needed["web_search"] = "web_search_options"
    if body.get("verbosity") not in (None, "medium"):  # which is the default
        needed["verbosity"] = "verbosity"
    if body.get("tools") and body.get("tool_choice") != "none":
        needed["tools"] = "tools"
        if any(tool.get("type") == "custom" for tool in body["tools"]):
            needed["custom_tools"] = "tools"
    if (body.get("n") or 1) > 1:
        needed["n"] = "n"
    if "audio" in (body.get("modalities") or ()):
        needed["audio"] = "modalities"
    if _characters(body)[1]:
        needed["vision"] = "messages"
    kind = (body.get("response_format") or {}).get("type")
    if kind == "json_object" or kind == "json_schema":
        needed[kind] = "response_format"
    return needed


def _unheld(body: dict[str, Any]) -> str | None:
    asked = (body.get("response_format") or {}).get("json_schema") or {}
    return unheld(asked["schema"]) if asked.get("strict") else None


def _tokens(body: dict[str, Any]) -> tuple[int, int]:
    chars, others = _characters(body)
    chars += _offered(body)
    answer = body.get("max_completion_tokens") or body.get("max_tokens") or DEFAULT_ANSWER_TOKENS
    most = chars // FEWEST_CHARS_PER_TOKEN + others * IMAGE_TOKENS + int(answer)
    return most, chars // MOST_CHARS_PER_TOKEN


def _characters(body: dict[str, Any]) -> tuple[int, int]:
    """Characters of all text and of what tools were called with, and how many parts are none."""
    chars, others = 0, 0
    for message in body.get("messages") or ():
        content = message.get("content")
        if isinstance(content, str):
            chars += len(content)
        elif content:
            chars += sum(len(part.get("text") or "") for part in content)
            others += sum(1 for part in content if part.get("type") not in ("text", "refusal"))
        if calls := message.get("tool_calls"):
            chars += sum(map(_called, calls))
    return chars, others


def _offered(body: dict[str, Any]) -> int:
    """Characters of the tools that may be called, which servers write into the prompt."""
    return len(str(body["tools"])) if body.get("tools") else 0


def _called(call: dict[str, Any]) -> int:
    """Characters of the name and the arguments of a call, of a function or of a custom tool."""
    told = call.get(call.get("type") or "function") or {}
    return len(told.get("name") or "") + len(told.get("arguments") or told.get("input") or "")
