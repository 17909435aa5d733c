"""Messages -> the text worth embedding: the task the user has now, no harness noise. Pure.

The last user message decides. When it is too short to stand alone ("commit it", "and in French?") the user's messages
before it come along, back to one that does stand alone; thanks and goodbyes end a task and bring nothing. Whether a few
words are a new task all the same ("tell me a joke"), only a judge can say. A message that is a transcript ("User: ...
Assistant:") counts as the messages of its user. Tool results and system prompts are left out, and of each message all
but its author's words (see the ADR on request text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from router.own_words import END_CHARS, own_words, says_something, stands_alone

CONTEXT_CHARS: Final = 400
"""How much of earlier messages comes along."""

READ_CHARS: Final = 8 * END_CHARS
"""Characters looked at in all: of messages that say nothing there may be thousands."""

_FAREWELL = re.compile(
    r"\W{0,4}(?:(?:ok|okay|great|perfect|cool|nice|super)\W{1,4})?"
    r"(?:thanks|thank you|thx|ty|cheers|bye|goodbye|good night)\b(?!.*\b(?:and|but|also)\b)",
    re.IGNORECASE,
)
_SPEAKER = re.compile(
    r"^(?:(human|user|customer|client|visitor)|ai|assistant|bot|chatbot|agent|support)[ \t]{0,4}:",
    re.MULTILINE | re.IGNORECASE,
)
"""Who speaks in a transcript; the group is whoever asks."""


def request_texts(messages: list[dict[str, Any]]) -> tuple[str, ...]:
    """One text to judge, or two: the last message first, if it may be a task of its own, and all that it leans on.

    Of two the first counts if its judgement `speaks_for_itself`, else the second. Empty texts say nothing readable.
    """
    task, last, room = "", "", CONTEXT_CHARS
    for text, alone in _said(messages):
        if task:
            task = f"{text[-room:]}\n{task}"
            room -= len(text)
        else:
            task = last = text
        if room <= 0 or alone or _FAREWELL.match(text):
            break
    return (last, task) if last != task and says_something(last) else (task,)


def request_text(messages: list[dict[str, Any]]) -> str:
    """What the user wants, with all that it leans on; empty when the user said nothing readable."""
    return request_texts(messages)[-1]


def _said(messages: list[dict[str, Any]]) -> Iterator[tuple[str, bool]]:
    """What the user wrote, the latest first, and whether it stands alone."""
    unread = READ_CHARS
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        text = _text(message)
        unread -= min(len(text), 2 * END_CHARS)
        if unread < 0:
            return
        words, alone = own_words(text)
        turns = _turns(words)
        yield from ((turn, alone if turn is words else stands_alone(turn)) for turn in reversed(turns) if turn)


def _turns(text: str) -> list[str]:
    """What the user says in a transcript that ends where the assistant is to go on; else the text alone."""
    if not text.endswith(":"):
        return [text]
    spoken = list(_SPEAKER.finditer(text))
    if len(spoken) < 2 or spoken[-1].end() < len(text) or spoken[-1][1]:
        return [text]
    ends = [found.start() for found in spoken[1:]]
    turns = [text[found.end() : end].strip() for found, end in zip(spoken, ends, strict=False) if found[1]]
    return turns or [text]


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content or () if part.get("type") == "text")
