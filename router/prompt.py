"""Messages -> the text worth embedding: the task the user has now, no harness noise. Pure.

The last user message decides. When it is too short to stand alone ("commit it", "and in French?") the user's messages
before it come along, back to one that does stand alone; thanks and goodbyes end a task and bring nothing. Tool results,
system prompts and what harnesses wrap around a message are left out. So is what a message merely carries (retrieved
documents, the mail it replies to, the fields around a text in JSON), as long as what is left stands alone. All that
looks alike in every request and would swamp the vector (see the ADR on request text).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

STANDS_ALONE_WORDS: Final = 6
"""A message with fewer words leans on the one before it."""

CONTEXT_CHARS: Final = 400
"""How much of earlier messages comes along."""

CODE_LINES: Final = 6
"""Lines of a pasted block that are kept: enough to see the language and the matter."""

END_CHARS: Final = 16_384
"""Characters looked at from either end of a message, which bounds the time a hostile one can take."""

READ_CHARS: Final = 8 * END_CHARS
"""Characters looked at in all: of messages that say nothing there may be thousands."""

SAID_WORDS: Final = 3
"""A JSON string of fewer words is a name or a code, not something that was said."""

_HARNESS = re.compile(
    r"<(system[-_]reminder|environment_(?:details|context)|user_instructions|tool_result|function_results|"
    r"(?:local-)?command-[a-z]{1,20}|ide_[a-z_]{1,20}|attached_files|attachments|open_and_recently_viewed_files)"
    r"\b[^<>]{0,200}>"
)
_CLOSING = re.compile(r"</([a-z_-]{1,40})>")
_MATERIAL = re.compile(r"<(context|documents?|search_results|sources|passages?|files?)\b[^<>]{0,200}>")
_OWN_WORDS: Final = ("user_query", "userRequest", "user_request", "task", "question", "query")
"""Tags in which harnesses put what the user wrote."""
_ASKED = re.compile(
    r"^[^\w\n]{0,8}(?:the |user(?:'s)? ){0,2}(?:question|query|request)[^\w\n]{0,4}[:\n]", re.MULTILINE | re.IGNORECASE
)
"""Where templates of retrieved context put the question."""
_QUOTED = re.compile(
    r"^-{2,} ?(?:original|forwarded) message\b.*\Z|(?:^[^\n>]{0,200}:\n{1,3})?(?:^>[^\n]*\n?)+",
    re.MULTILINE | re.IGNORECASE | re.DOTALL,
)
"""A mail that is replied to, with the line that introduces it."""
_FAREWELL = re.compile(
    r"\W{0,4}(?:(?:ok|okay|great|perfect|cool|nice|super)\W{1,4})?"
    r"(?:thanks|thank you|thx|ty|cheers|bye|goodbye|good night)\b(?!.*\b(?:and|but|also)\b)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"(```[^\n]{0,80}\n)(.*?)(```|\Z)", re.DOTALL)
_SPACE = re.compile(r"[ \t]{2,}|\n{3,}")


def request_text(messages: list[dict[str, Any]]) -> str:
    """The text that is encoded and judged; empty when the user said nothing readable."""
    task, room, unread = "", CONTEXT_CHARS, READ_CHARS
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        said = _text(message)
        unread -= min(len(said), 2 * END_CHARS)
        if unread < 0:
            break
        if not (text := _clean(said)):
            continue
        if not task:
            task = text
            if _FAREWELL.match(text):
                break
        else:
            task = f"{text[-room:]}\n{task}"
            room -= len(text)
        if room <= 0 or _stands_alone(text):
            break
    return task


def _stands_alone(text: str) -> bool:
    return len(text.split(None, STANDS_ALONE_WORDS)) >= STANDS_ALONE_WORDS


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text") or "" for part in content or () if part.get("type") == "text")


def _clean(text: str) -> str:
    if len(text) > 2 * END_CHARS:
        text = f"{text[:END_CHARS]}\n{text[-END_CHARS:]}"
    if "<" in text:
        text = _without(_HARNESS, _own_words(text))
    for less in (_without_material, _asked, _without_quotes, _said_in_json):
        shorter = less(text)
        if shorter is not text and _stands_alone(shorter):
            text = shorter
    if "```" in text:
        text = _FENCE.sub(_shorten, text)
    return _SPACE.sub(" ", text).strip()


def _own_words(text: str) -> str:
    for name in _OWN_WORDS:
        start = text.rfind(f"<{name}>")
        end = text.find(f"</{name}>", start)
        if 0 <= start < end and (own := text[start + len(name) + 2 : end]).strip():
            return own
    return text


def _without(opening: re.Pattern[str], text: str) -> str:
    """`text` without the elements that `opening` begins; one that is never closed is text. Linear in the length."""
    kept, at = "", 0
    last = {found[1]: found.start() for found in _CLOSING.finditer(text)}
    for found in opening.finditer(text):
        name = found[1]
        if found.start() < at or last.get(name, -1) < found.end():
            continue
        end = text.find(f"</{name}>", found.end())
        kept += text[at : found.start()]
        at = end + len(name) + 3
    return kept + text[at:] if at else text


def _without_material(text: str) -> str:
    return _without(_MATERIAL, text) if "<" in text else text


def _asked(text: str) -> str:
    places = [found.end() for found in _ASKED.finditer(text)]
    return text[places[-1] :] if places else text


def _without_quotes(text: str) -> str:
    return _QUOTED.sub("", text) if ">" in text or "--" in text else text


def _said_in_json(text: str) -> str:
    """The strings of a JSON object that somebody may have said, one a line."""
    if not text.startswith("{") or not text.rstrip().endswith("}"):
        return text
    said: list[str] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        said.extend(value for _, value in pairs if isinstance(value, str) and len(value.split()) >= SAID_WORDS)

    try:
        json.loads(text, object_pairs_hook=keep)
    except (ValueError, RecursionError):  # no JSON, or nested to do harm
        return text
    return "\n".join(said)


def _shorten(fence: re.Match[str]) -> str:
    opening, code, closing = fence.groups()
    lines = code.splitlines(keepends=True)
    return opening + "".join(lines[:CODE_LINES]) + closing
