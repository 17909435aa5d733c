"""How an error that nobody foresaw is told in the log."""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def where(error: BaseException) -> str:
    """What was raised, by which lines, and because of what; never its words, which may quote a request."""
    return "".join(_lines(error)).rstrip()


def _lines(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield f"{type(error).__name__}\n"
        yield from traceback.format_tb(error.__traceback__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
