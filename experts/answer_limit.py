"""How long an answer may get where its request says nothing: a small model that repeats itself does not stop. Pure.

llama.cpp goes on to the end of its context then, as OpenAI's API does. To stop at a repetition instead would end good
answers too, rows of dots or of equal lines (Ollama, which does it, had to raise its limit), so only length ends one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from experts.reply import texts

FEWEST_CHARS_PER_TOKEN = 3
"""English runs at four to five; a prompt that must not be taken for too short is counted by this."""


@dataclass(frozen=True, slots=True)
class AnswerLimit:
    """`max_tokens` of an answer to a request that names none.

    `context` is set for a server that refuses a prompt and a limit which together are more: where they may be, no limit
    is sent and the context ends the answer.
    """

    max_tokens: int
    context: int | None = None

    def on(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat body with this limit, unless it names one."""
        if body.get("max_tokens") or body.get("max_completion_tokens") or self._crowded(body):
            return body
        return {**body, "max_tokens": self.max_tokens}

    def _crowded(self, body: dict[str, Any]) -> bool:
        if self.context is None:
            return False
        chars = sum(map(len, texts(body))) + len(str(body.get("tools") or ""))
        return chars // FEWEST_CHARS_PER_TOKEN + self.max_tokens > self.context
