"""Which registry the workers on one port serve: a change over /admin is answered when all of them have taken it up.

Every worker notes, in the folder that they share, how the registry's file and those beside it (what was learnt, and
when certificates were last made again) lay when it last looked at them, and what it serves since. One that died has no
seat any more and is not waited for; one that starts answers nothing before it has looked from its seat, so it cannot
come in with what was before.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from experts.watch import RegistryWatcher
from router.chore import chore
from router.live import Live
from router.seats import Seat, taken

log = logging.getLogger("shoal.admin")

PATIENCE_S: Final = 60.0
"""How long workers are waited for: as long as a change may take to go live where it was made."""

Behind = Callable[[], Awaitable[list[dict[str, Any]]]]
"""Which workers do not serve what this one serves, and why."""

_NOTE_S, _LOOK_S = 0.05, 0.02


class Workers:
    """All on this port, as the one that has this seat knows them."""

    def __init__(self, seat: Seat, live: Live, watcher: RegistryWatcher) -> None:
        self._seat = seat
        self._live = live
        self._watcher = watcher
        self._noted = ""

    async def behind(self, patience_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """Who serves another registry than this one, or not what lies beside it, once all have looked. Raises OSError.

        Who has not looked within `patience_s` is among them.
        """
        deadline = asyncio.get_running_loop().time() + patience_s
        while None in (notes := await asyncio.to_thread(self._notes)).values():
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_LOOK_S)
        mine = notes[self._seat.number]
        serves = self._live.snapshot.version if mine is None else mine["version"]
        found = []
        for number, note in notes.items():
            if note is None or note["version"] != serves or not (note["follows"] or note is mine):
                found.append({"worker": number, "why": _why(note, patience_s)})
                log.warning("worker %d does not serve registry %s: %s", number, serves, found[-1]["why"])
        return found

    async def note(self) -> None:
        """Say what this worker serves, where the others look; nothing is written while that is as it was."""
        problem = self._watcher.problem
        said = {
            "looked": str(self._watcher.looked), "follows": self._watcher.looked[1:] == self._watcher.taken_up,
            "version": self._live.snapshot.version, "problems": problem.problems if problem else [],
        }  # fmt: skip
        text = json.dumps(said)
        if text != self._noted:
            await asyncio.to_thread(_put, self._seat, text)
            self._noted = text

    def _notes(self) -> dict[int, dict[str, Any] | None]:
        """What every living worker says; None of one that has not looked at the files as they lie now."""
        lies = str(self._watcher.lies())
        found: dict[int, dict[str, Any] | None] = {self._seat.number: None}
        for seat in taken(self._seat.folder):
            note = _read(seat)
            found[seat.number] = note if note is not None and note["looked"] == lies else None
        return found


@asynccontextmanager
async def beside(seat: Seat | None, live: Live, watcher: RegistryWatcher) -> AsyncIterator[Behind]:
    """Who is behind, once this worker has looked and said so; nobody beside one without a seat. Raises OSError.

    The `watcher` runs, and was started after the seat was taken.
    """
    if seat is None:

        async def nobody() -> list[dict[str, Any]]:
            return []

        yield nobody
        return
    workers = Workers(seat, live, watcher)
    watcher.nudge()
    await watcher.has_looked.wait()
    await workers.note()
    noting = asyncio.create_task(chore("cannot tell the other workers which registry serves", workers.note, _NOTE_S))
    try:
        yield workers.behind
    finally:
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting


def _why(note: dict[str, Any] | None, patience_s: float) -> str:
    if note is None:
        return f"has not said within {patience_s:g} seconds that it has taken up the registry"
    return "\n".join(note["problems"]) or f"serves version {note['version']}"


def _put(seat: Seat, text: str) -> None:
    unfinished = seat.path(".noting")
    unfinished.write_text(text)
    unfinished.replace(seat.path(".serves"))


def _read(seat: Seat) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(seat.path(".serves").read_bytes())
    except FileNotFoundError:  # it has only just taken its seat
        return None
    return found
