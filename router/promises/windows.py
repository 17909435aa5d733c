"""What watches a policy, kept on disk, so that neither a restart nor another name for a while forgets what was seen.

A file holds a verdict and the sum of what `router.promises.drift` looks at, of no fewer than `STEP` requests: no
vector of one request. It counts for the very encoder, data and registry that it was written under. One thread reads
and writes, in the order asked, so the event loop waits for no disk.
"""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from experts.whole import write_whole
from router.promises.certificate import Basis
from router.promises.drift import Drift, Reference, Seen

log = logging.getLogger("shoal.promises")

FORMAT: Final = "shoal-window-1"


class Windows:
    """The files of a folder, one for each policy; they are only read where `writes` is false."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self._folder, self._writes = folder, writes

    def keep(self, policy: str, basis: Basis, seen: Seen) -> None:
        """Write soon; what cannot be written is told in the log, and serving goes on."""
        if self._writes:
            _disk().submit(self._write, policy, basis, seen)

    def resume(self, policy: str, basis: Basis, reference: Reference) -> Drift:
        """What watched a policy, or a beginning where none is on file that counts. Waits for what is being written."""
        kept = _disk().submit(self._read, policy, basis).result()
        if kept is not None:
            try:
                return Drift.resumed(reference, kept)
            except (LookupError, TypeError, ValueError) as error:
                log.warning("%s: is damaged (%s); what was seen before is forgotten", self._path(policy), error)
        return Drift(reference)

    def _path(self, policy: str) -> Path:
        return self._folder / f"{quote(policy, safe='')}.json"

    def _write(self, policy: str, basis: Basis, seen: Seen) -> None:
        try:
            write_whole(self._path(policy), json.dumps({**_head(basis), **seen.to_json()}).encode())
        except OSError as error:
            log.error("%s: what was seen cannot be kept (%s); a restart forgets it", self._path(policy), error)

    def _read(self, policy: str, basis: Basis) -> dict[str, Any] | None:
        try:
            kept = json.loads(self._path(policy).read_bytes())
            return kept if _head(basis).items() <= kept.items() else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError, TypeError) as error:
            log.warning("%s: is damaged (%s); what was seen before is forgotten", self._path(policy), error)
            return None


def _head(basis: Basis) -> dict[str, str]:
    return {"format": FORMAT, "encoder": basis.encoder, "data": basis.data, "registry": basis.registry}


@cache
def _disk() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "shoal-windows")
