"""The tool calls of one streamed choice as servers number and name them -> as OpenAI does. Pure.

Clients put the parts of a call together by its `index`. Google's servers leave that out, or say 0 of every call; some
say the id and the name again with every part, which OpenAI's own client would add to those it has, and some no id.
"""

from __future__ import annotations

from typing import Any

from experts.wire import call_id

_Told = tuple[object, object]
"""The id that a server gave a call, and the name that it began with."""


class Calls:
    """Every call with a place of its own and an id, which its first part says and no other."""

    def __init__(self) -> None:
        self._told: dict[int, _Told] = {}
        """By the place of a call."""
        self._places: dict[int | None, int] = {}
        """By a server's number the place of the call that has it now; None of calls that have none."""
        self._next = 0

    def __bool__(self) -> bool:
        return bool(self._told)

    def settle(self, call: dict[str, Any]) -> None:
        """Change a part of a call, which is sound (`experts.wire.is_streamed`), to what it should say."""
        function = call.get("function") or {}
        number, identity, name = call.get("index"), call.get("id") or None, function.get("name") or None
        place = self._places.get(number)
        if place is None or _is_another(self._told[place], number, identity, name):
            call["index"] = self._begun(number, (identity, name))
            call["id"] = identity or call_id()
            return
        call["index"] = place
        call.pop("id", None)
        if name in (None, self._told[place][1]):
            function.pop("name", None)

    def _begun(self, number: int | None, told: _Told) -> int:
        place = self._next if number is None or number in self._told else number
        self._told[place], self._places[number] = told, place
        self._next = max(self._next, place + 1)
        return place


def _is_another(told: _Told, number: int | None, identity: object, name: object) -> bool:
    """Whether a part begins another call than that of its number.

    Only with a name, where there is a number: some servers make up an id for every part.
    """
    if identity is None:
        return number is None and name is not None
    return identity != told[0] and (number is None or name is not None)
