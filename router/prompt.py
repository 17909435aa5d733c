"""Messages -> the text worth embedding: the task the user has now, no harness noise. Pure.

The last user message decides. When it is too short to stand alone ("commit it", "and in French?") the user's message
before it comes along. Tool results, system prompts and what coding harnesses wrap around a message are left out:
they look alike in every request and would swamp the vector (see the ADR on request text).
"""

from __future__ import annotations

import re
from typing import Any, Final

STANDS_ALONE_WORDS: Final = 6
"""A message with fewer words leans on the one before it."""

CONTEXT_CHARS: Final = 400
"""How much of the earlier message comes along."""

CODE_LINES: Final = 6
"""Lines of a pasted block that are kept: enough to see the language and the matter."""

_WRAPPER = re.compile(
    r"<(system-reminder|system_reminder|environment_details|environment_context|user_instructions|context|"
    r"tool_result|function_results|local-command-[a-z]+|command-[a-z]+|ide_[a-z_]+)\b[^>]*>.*?</\1>",
    re.DOTALL | re.IGNORECASE,
)
_FENCE = re.compile(r"(```[^\n]*\n)(.*?)(```|\Z)", re.DOTALL)
_SPACE = re.compile(r"[ \t]{2,}|\n{3,}")


def request_text(messages: list[dict[str, Any]]) -> str:
    """The text that is encoded and judged; empty when the user said nothing readable."""
    said = [text for message in messages if message.get("role") == "user" if (text := _clean(_text(message)))]
    if not said:
        return ""
    current = said[-1]
    if len(said) > 1 and len(current.split(None, STANDS_ALONE_WORDS)) < STANDS_ALONE_WORDS:
        return f"{said[-2][-CONTEXT_CHARS:]}\n{current}"
    return current


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content or () if part.get("type") == "text")


def _clean(text: str) -> str:
    if "<" in text:
        text = _WRAPPER.sub("", text)
    if "```" in text:
        text = _FENCE.sub(_shorten, text)
    return _SPACE.sub(" ", text).strip()


def _shorten(fence: re.Match[str]) -> str:
    opening, code, closing = fence.groups()
    lines = code.splitlines(keepends=True)
    return opening + "".join(lines[:CODE_LINES]) + closing
