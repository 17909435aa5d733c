"""A period by its name, and the moments of one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from experts.errors import WrongUsage

_LAST: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def bounds(since: str | None, until: str | None, period: str | None, say: str = "--") -> tuple[int | None, int | None]:
    """Microseconds since 1970 of begin and end, None for open. `say` stands before the names in what is said.

    Raises `WrongUsage`.
    """
    if period is not None:
        if since is not None or until is not None:
            raise WrongUsage(f"{say}period cannot be combined with {say}from or {say}to. Remedy: give one or the other")
        begin, end = named(period, datetime.now(UTC), f"{say}period")
        return _us(begin), _us(end)
    since_us, until_us = moment(since, f"{say}from"), moment(until, f"{say}to")
    if since_us is not None and until_us is not None and since_us >= until_us:
        same = f"name a later {say}to: that moment itself is not part of the period"
        remedy = same if since_us == until_us else "exchange them"
        raise WrongUsage(f"{say}from is not before {say}to, so nothing is between. Remedy: {remedy}")
    return since_us, until_us


def named(period: str, now: datetime, option: str = "--period") -> tuple[datetime, datetime]:
    """Begin and end of a period by its name. Raises `WrongUsage`."""
    if (last := re.fullmatch(r"(\d{1,5})([hdw])", period)) and int(last[1]):
        return now - int(last[1]) * _LAST[last[2]], now
    try:
        for pattern, length in (("%Y-%m-%d", 1), ("%Y-%m", 31), ("%Y", 366)):
            if len(period) == len(f"{now:{pattern}}"):
                begin = datetime.strptime(period, pattern).replace(tzinfo=UTC)
                end = begin + timedelta(days=length)
                return begin, datetime.strptime(end.strftime(pattern), pattern).replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # no such day, or the end lies beyond the year 9999
        pass
    raise WrongUsage(f"{option}: {period!r} is no period. Remedy: write it as 2026, 2026-11, 2026-11-21, 24h, 7d or 4w")


def moment(text: str | None, option: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 day or moment, UTC unless it says otherwise. Raises `WrongUsage`."""
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
        return _us(when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise WrongUsage(f"{option}: {text!r} is no date. Remedy: write it as 2026-11-21 or 2026-11-21T08:00") from None


def _us(when: datetime) -> int:
    return round(when.timestamp() * 1_000_000)
