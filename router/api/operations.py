"""Every endpoint of the service in a table, for the OpenAPI document: what it takes and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel

from router.api.admin import ExpertBody, RegistryBody
from router.api.chat_schema import ChatBody
from router.api.completions import CompletionBody
from router.api.embeddings.schema import EmbeddingsBody
from router.api.feedback import FeedbackBody
from router.api.messages.schema import CountBody, MessageBody
from router.api.meter import MEDIA
from router.api.responses.schema import ResponseBody
from router.meter.totals import GroupBy

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
TEXT: Final = "text/plain"
HTML: Final = "text/html"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    body: type[BaseModel] | None = None
    answer: str | None = None
    """The schema of what is answered; None where the document says no more than that it is JSON or text."""
    kinds: tuple[str, ...] = (JSON,)
    """Content types of an answer."""
    status: tuple[int, ...] = (200,)
    query: tuple[tuple[str, dict[str, Any]], ...] = ()
    admin: bool = False
    open: bool = False
    """Needs no key."""


_TIME: Final = {"type": "string", "description": "ISO 8601; open when left out"}
_PERIOD: Final = {"type": "string", "description": "2026, 2026-11, 2026-11-21, 24h, 7d or 4w, in place of both"}
_ZONE: Final = {"type": "string", "description": "gives carbon once more by this zone of the yearly table, as FRA"}
_GROUP: Final = {"type": "string", "enum": list(get_args(GroupBy))}
_FORMAT: Final = {"type": "string", "enum": list(MEDIA), "default": "csv"}
_ORDER: Final = {"type": "string", "enum": ["asc", "desc"], "default": "desc"}
_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
_AFTER: Final = {"type": "string", "description": "the id of the item before the page"}

_STREAM: Final = {"type": "boolean", "default": False}
_NUMBER: Final = {"type": "integer", "minimum": 0, "description": "with `stream`: events up to this one are left out"}

OPERATIONS: Final = (
    Operation("post", "/v1/chat/completions", "A chat completion, routed or by a named expert", ChatBody,
              "ChatCompletion", (JSON, EVENTS)),
    Operation("post", "/v1/completions", "Go on with one text or several", CompletionBody, "TextCompletion",
              (JSON, EVENTS)),
    Operation("post", "/v1/responses", "A response; kept for later unless `store` is false", ResponseBody, "Response",
              (JSON, EVENTS)),
    Operation("post", "/v1/responses/input_tokens", "The tokens of a response's prompt for who would answer it",
              ResponseBody, "InputTokens"),
    Operation("get", "/v1/responses/{id}", "A response that was kept", None, "Response", (JSON, EVENTS),
              query=(("stream", _STREAM), ("starting_after", _NUMBER))),
    Operation("delete", "/v1/responses/{id}", "Forget a response", None, "Deleted"),
    Operation("get", "/v1/responses/{id}/input_items", "What a kept response was asked", None, "List",
              query=(("order", _ORDER), ("limit", _LIMIT), ("after", _AFTER))),
    Operation("post", "/v1/responses/{id}/cancel", "Refused: no response is made in the background"),
    Operation("post", "/v1/messages", "Anthropic's Messages", MessageBody, "AnthropicMessage", (JSON, EVENTS)),
    Operation("post", "/v1/messages/count_tokens", "The tokens of a prompt for who would answer it", CountBody,
              "TokenCount"),
    Operation("post", "/v1/embeddings", "Vectors of the router's own encoder or of an expert", EmbeddingsBody,
              "Embeddings"),
    Operation("post", "/v1/route", "Who would answer a chat completion, and why; generates nothing", ChatBody, "Route"),
    Operation("post", "/v1/feedback", "How good an answer was, by its x-request-id", FeedbackBody),
    Operation("get", "/v1/models", "Every name a client may write as `model`", None, "List"),
    Operation("get", "/v1/models/{model}", "One of them", None, "Model"),
    Operation("get", "/v1/dashboard", "Every figure of the dashboard, for a period",
              query=(("from", _TIME), ("to", _TIME), ("period", _PERIOD))),
    Operation("get", "/v1/meter", "What was spent and, as an estimate, what that saved, for a period",
              query=(("from", _TIME), ("to", _TIME), ("period", _PERIOD), ("group_by", _GROUP), ("grid_zone", _ZONE))),
    Operation("get", "/healthz", "Alive", open=True),
    Operation("get", "/readyz", "Can answer; with a key for figures or an admin key, details", status=(200, 503),
              open=True),
    Operation("get", "/metrics", "Prometheus text format", kinds=(TEXT,)),
    Operation("get", "/dashboard", "The page for who pays", kinds=(HTML,), open=True),
    Operation("get", "/playground", "The page for who tunes", kinds=(HTML,), open=True),
    Operation("get", "/admin/certificates", "What every policy promises, and whether it is kept", admin=True),
    Operation("post", "/admin/certificates", "Certify every policy again now, at every worker", admin=True),
    Operation("get", "/admin/registry", "The registry as it stands", admin=True),
    Operation("put", "/admin/registry", "Another registry, live at every worker before this answers", RegistryBody,
              admin=True),
    Operation("post", "/admin/experts", "One more expert; `warnings`, `without_itself`, `server` tell of it",
              ExpertBody, status=(201,), admin=True),
    Operation("post", "/admin/experts/preview", "What one more expert would take over, and the same `warnings`",
              ExpertBody, admin=True),
    Operation("delete", "/admin/experts/{expert}", "An expert leaves", admin=True),
    Operation("get", "/admin/ledger", "The ledger's rows of a period as a file", kinds=tuple(MEDIA.values()),
              query=(("from", _TIME), ("to", _TIME), ("period", _PERIOD), ("format", _FORMAT)), admin=True),
)  # fmt: skip
