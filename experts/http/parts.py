"""The words of an answer that its server says in parts, as Mistral's do of models that think -> one text. Pure."""

from __future__ import annotations

from typing import Any


def join(choices: Any, key: str) -> None:
    """Make one text of what each choice says under `key`, message or delta; what are no parts stays as it is.

    What was thought is left out, as it is by OpenAI.
    """
    for choice in choices if isinstance(choices, list) else ():
        said = choice.get(key) if isinstance(choice, dict) else None
        content = said.get("content") if isinstance(said, dict) else None
        if isinstance(said, dict) and isinstance(content, list) and all(map(_is_part, content)):
            said["content"] = "".join(part["text"] for part in content if part["type"] == "text")


def _is_part(part: Any) -> bool:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        return False
    return part["type"] != "text" or isinstance(part.get("text"), str)
