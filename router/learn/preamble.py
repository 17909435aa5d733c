"""What all texts of a file begin and end with, which drowns in their vectors what tells them apart. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

FEWEST: Final = 10
"""Of fewer texts it may be chance, or their matter."""

MOST: Final = 200
"""Characters that are let pass at either end. With so many before questions of MMLU (375 characters in the mean) the
cosines between their vectors still follow those without (correlation .84), with 400 less (.67), with 1,600 hardly
(.36); 2026-11-28."""


def preamble(where: str, texts: Collection[str]) -> str | None:
    """What is to be said of the texts of a file; None where they have little at either end in common, or are few."""
    different = set(texts)
    if len(different) < FEWEST:
        return None
    begin = _in_common(different)
    end = _in_common([text[begin:][::-1] for text in different])
    told = [f"{at} with the same {count:,}" for at, count in (("begin", begin), ("end", end)) if count > MOST]
    if not told:
        return None
    same = " and ".join(told)
    return (
        f"{where}: all {len(different):,} texts {same} characters, and what tells them apart counts for less. Remedy: "
        "leave these out, and send them as a system message, which is not read to choose, where requests have them too"
    )


def _in_common(texts: Collection[str]) -> int:
    """Characters that all texts begin with: those that the first and the last in order do."""
    first, last = min(texts), max(texts)
    return next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
