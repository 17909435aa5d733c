"""What a tool's result carries beside text.

In a chat, a `tool` message holds text alone, so the rest follows the results in a message of the user's. That message
says nothing: words in it would pass for the user's own, by which an expert is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

Part = dict[str, Any]

_KINDS: Final = {"image_url": "image", "file": "file"}


def only_text(parts: Iterable[Part], carried: list[Part]) -> list[Part]:
    """The parts of a result; of what is no text and joins those `carried` only its number among them is said."""
    told = []
    for part in parts:
        if part["type"] == "text":
            told.append(part)
        else:
            carried.append(part)
            told.append({"type": "text", "text": f"[{_KINDS[part['type']]} {len(carried)}]"})
    return told
