"""What watches a policy, kept on disk, so that neither a restart nor another name for a while forgets what was seen.

A file holds a verdict and the sum of what `router.promises.drift` looks at, of no fewer than `STEP` requests: no
vector of one request. Its sum counts for the very encoder, data and registry that it was written under; a refusal
outlives their change, as one that cannot be read may have been one. One thread reads and writes, in the order asked, so
the event loop waits for no disk.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

from experts.disk import unkept
from experts.state_file import StateDamaged, read_state, sealed
from experts.whole import write_whole
from router.promises.certificate import Basis, file_of
from router.promises.drift import Drift, Reference, Seen

log = logging.getLogger("shoal.promises")

FORMAT: Final = "shoal-window-1"

UNREADABLE: Final = "what was seen of recent traffic cannot be read"

OUTDATED: Final = "recent traffic was strange before encoder, data or registry changed"


class Windows:
    """The files of a folder, one for each policy; they are only read where `writes` is false."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self._folder, self._writes = folder, writes

    def keep(self, policy: str, basis: Basis, seen: Seen) -> None:
        """Write soon; what cannot be written is told in the log, and serving goes on."""
        if self._writes:
            _disk().submit(self._write, policy, basis, seen)

    def resume(self, policy: str, basis: Basis, reference: Reference) -> Drift:
        """What watched a policy, or a beginning where none is on file. Waits for what is being written.

        A file that cannot be read may have held a refusal, so there is one until a window fits.
        """
        try:
            kept = _disk().submit(self._read, policy).result()
            if kept is None:
                return Drift(reference)
            whole, head = Drift.resumed(reference, kept), _head(basis)
            if kept.get("format") != FORMAT or not all(isinstance(kept.get(name), str) for name in head):
                raise StateDamaged("it does not say what it holds for")
        except StateDamaged as error:
            remedy = "Remedy: none is needed, it is written again; until then the promise is refused"
            log.warning("%s: is damaged (%s). %s", self._path(policy), error, remedy)
            return Drift(reference, UNREADABLE)
        if head.items() <= kept.items():
            return whole
        return Drift(reference, (whole.unknown or OUTDATED) if whole.drifted else None)

    def _path(self, policy: str) -> Path:
        return file_of(self._folder, policy)

    def _write(self, policy: str, basis: Basis, seen: Seen) -> None:
        with unkept(self._folder, f"a restart forgets what was seen of {policy}"):
            write_whole(self._path(policy), sealed({**_head(basis), **seen.to_json()}))

    def _read(self, policy: str) -> dict[str, Any] | None:
        """None where there is no file. Raises `StateDamaged`."""
        try:
            return read_state(self._path(policy))
        except FileNotFoundError:
            return None


def _head(basis: Basis) -> dict[str, str]:
    return {"format": FORMAT, "encoder": basis.encoder, "data": basis.data, "registry": basis.registry}


@cache
def _disk() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "shoal-windows")
