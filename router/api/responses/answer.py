"""A response as OpenAI's object: its head from the request, its output from what was said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.api.errors import ApiError
from router.meter.receipt import Receipt

Body = dict[str, Any]

Cut = tuple[int, int]
"""A delta of a stream: its characters, and how many tokens' log-probabilities it carried."""

_ENDS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons that leave an answer incomplete, in the words of this surface."""


@dataclass(slots=True)
class Answer:
    """What is known of the response to one request; `snapshot` gives the object at any time."""

    request_id: str
    body: Body
    """The request as it was sent, nulls dropped."""
    stored: bool
    model: str = ""
    created_at: int = field(default_factory=lambda: int(time.time()))
    output: list[Body] = field(default_factory=list)
    cuts: list[list[Cut]] = field(default_factory=list)
    """Where each item of a streamed output was cut into deltas."""
    usage: Body | None = None
    finish: str | None = None
    error: ApiError | None = None
    receipt: Receipt | None = None

    @property
    def id(self) -> str:
        """The response's id."""
        return f"resp_{self.request_id}"

    def item_id(self, kind: str, at: int) -> str:
        """The id of the output item `at`."""
        return f"{kind}_{self.request_id}_{at}"

    @property
    def status(self) -> str:
        """in_progress, completed, incomplete or failed."""
        if self.error is not None:
            return "failed"
        if self.finish is None:
            return "in_progress"
        return "incomplete" if self.finish in _ENDS else "completed"

    def snapshot(self) -> Body:
        """The response object as it is now."""
        told = self._head() | {
            "status": self.status,
            "model": self.model,
            "output": self.output,
            "usage": _usage(self.usage) if self.usage else None,
            "error": None,
            "incomplete_details": None,
        }
        if self.error is not None:
            told["error"] = {"code": self.error.code or "server_error", "message": self.error.message}
        elif self.status == "incomplete":
            told["incomplete_details"] = {"reason": _ENDS[str(self.finish)]}
        if self.receipt is not None:
            told["shoal"] = self.receipt.to_json()
        return told

    def _head(self) -> Body:
        body = self.body
        reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "background": False,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": body.get("max_tool_calls"),
            "metadata": body.get("metadata") or {},
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "reasoning": {"effort": reasoning.get("effort"), "summary": None},
            "safety_identifier": body.get("safety_identifier"),
            "service_tier": "default",
            "store": self.stored,
            "temperature": body.get("temperature", 1.0),
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": body.get("tool_choice") or "auto",
            "tools": [_tool(tool) for tool in body.get("tools") or ()],
            "top_logprobs": body.get("top_logprobs") or 0,
            "top_p": body.get("top_p", 1.0),
            "truncation": "disabled",
            "user": body.get("user"),
        }


def request_of(response_id: str) -> str:
    """The id of the request that a response answers."""
    return response_id.removeprefix("resp_")


def response_of(item_id: str) -> str:
    """The id of the response that an item's id was made from; of another's id one that nothing has."""
    return f"resp_{item_id.partition('_')[2].rpartition('_')[0]}"


def message_item(identity: str, parts: Sequence[Body], status: str = "completed") -> Body:
    """An output item of text."""
    return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": list(parts)}


def call_item(identity: str, call_id: str, name: str, arguments: str, status: str = "completed") -> Body:
    """An output item that calls a function."""
    head = {"id": identity, "type": "function_call", "status": status}
    return {**head, "call_id": call_id, "name": name, "arguments": arguments}


def text_part(text: str, logprobs: Sequence[Body] = ()) -> Body:
    """A part of text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def refusal_part(text: str) -> Body:
    """A part that says why there is no answer."""
    return {"type": "refusal", "refusal": text}


def item_status(finish: str | None) -> str:
    """The status of an item that ended with `finish`."""
    return "incomplete" if finish in _ENDS else "completed"


def _tool(tool: Body) -> Body:
    """As the request has it. Without a word of `strict` the expert hears none either, which in a chat means false."""
    return {"description": None, "parameters": None, "strict": False, **tool}


def _usage(usage: Body) -> Body:
    prompt, completion = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return {
        "input_tokens": usage["prompt_tokens"],
        "input_tokens_details": {name: prompt.get(name) or 0 for name in ("cached_tokens", "cache_write_tokens")},
        "output_tokens": usage["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": completion.get("reasoning_tokens") or 0},
        "total_tokens": usage["total_tokens"],
    }
