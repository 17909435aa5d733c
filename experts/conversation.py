"""A conversation as a local model's chat template shows all of it, and nothing in it speaks to the template. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

_BREAK = "\u200b"
"""A space of no width: the text reads the same, and is a control token no more."""


class Conversation:
    """Rewrites messages for one model. `control`: how its control tokens are written; `tools`: it knows tool calls."""

    def __init__(self, control: Sequence[str] = (), tools: bool = False) -> None:
        self._tools = tools
        longer = sorted({token for token in control if len(token) > 1}, key=len, reverse=True)
        alternatives = "|".join(map(re.escape, longer))
        self._token = re.compile(f"(?=(?:{alternatives}))(.)", re.DOTALL) if longer else None

    def told(self, messages: Sequence[Message]) -> list[Message]:
        """The same conversation; without `tools`, calls and results are told in plain lines."""
        if self._tools:
            return [self._broken(message) for message in messages]
        names = {call["id"]: _call(call)[0] for message in messages for call in message.get("tool_calls") or ()}
        return [self._broken(_plain(message, names)) for message in messages]

    def _broken(self, message: Message) -> Message:
        content = message.get("content")
        if self._token is None or not content:
            return message
        if isinstance(content, str):
            return {**message, "content": self._token.sub(rf"\1{_BREAK}", content)}
        return {**message, "content": [self._part(part) for part in content]}

    def _part(self, part: Any) -> Any:
        if self._token is None or not isinstance(part, dict) or not isinstance(part.get("text"), str):
            return part
        return {**part, "text": self._token.sub(rf"\1{_BREAK}", part["text"])}


def _plain(message: Message, names: dict[str, str]) -> Message:
    if message.get("tool_calls"):
        lines = [f"Called {name} with {arguments}" for name, arguments in map(_call, message["tool_calls"])]
        said = _text(message.get("content"))
        return {"role": "assistant", "content": "\n".join([said, *lines] if said else lines)}
    if message["role"] == "tool":
        name = names.get(message.get("tool_call_id") or "", "the tool")
        return {"role": "user", "content": f"Result of {name}: {_text(message.get('content'))}"}
    return message


def _call(call: Message) -> tuple[str, str]:
    """The name and the arguments of a call, of a function or of a custom tool."""
    told = call.get(call.get("type") or "function") or {}
    return str(told.get("name") or ""), str(told.get("arguments") or told.get("input") or "")


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content)
    return content or ""
