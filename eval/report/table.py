"""The frame of a table: one too wide for its page is moved sideways, by the keyboard too. Pure."""

from __future__ import annotations

from html import escape
from typing import Final

END: Final = "</tbody></table></div>"


def framed(name: str, inside: str) -> str:
    """What is moved sideways: `inside` in a region called `name`, which the page has once, and the keyboard reaches."""
    return f"{_opened(name)}{inside}</div>"


def opened(name: str, heads: str, kind: str = "") -> str:
    """The beginning of a table of the class `kind`, called `name`, up to its first row; `END` ends it."""
    kinds = f' class="{kind}"' if kind else ""
    return f"{_opened(name)}<table{kinds}><thead><tr>{heads}</tr></thead><tbody>"


def _opened(name: str) -> str:
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
