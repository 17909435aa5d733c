"""The process above several workers: it starts them, and another in the place of each that is gone.

uvicorn's own, but for what becomes of a worker that is gone: it kills one that is silent for five seconds, which on a
busy machine a start takes, says nothing of it, and ends all of them, with exit code 0, when one cannot start.
"""

from __future__ import annotations

import logging
import signal
import time
from socket import socket
from typing import Final

from uvicorn.config import STARTUP_FAILURE, Config
from uvicorn.supervisors.multiprocess import Multiprocess, Process

log = logging.getLogger("shoal")

START_S: Final = 60
"""How long a worker that replaces one at a SIGHUP may take to start."""

SILENT_S: Final = 20
"""How long a worker may be silent before it counts as hung; a change over /admin waits longer for what replaces it."""

ENDING_S: Final = 1.0
"""Between the last thing that a worker's end closes and its end, at most: what takes longer hangs."""

AGAIN_S: Final = 5.0
"""Between two starts of a worker that could not start: what keeps it from starting is mended by hand."""


class Supervisor(Multiprocess):
    """Keeps workers alive. While one of them serves, another that cannot start is tried again, and nothing stops."""

    def __init__(self, config: Config, sockets: list[socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False
        """Whether it ended because no worker could start."""
        self._due_s: dict[Process, float] = {}
        """Of those that are gone: when another is started."""

    def keep_subprocess_alive(self) -> None:
        """Start another worker in the place of each that is gone."""
        for place, worker in enumerate(self.processes):
            # Its end of the pipe, which it has of its own: while we hold it too, its death does not end our waiting.
            worker.child_conn.close()
            if worker not in self._due_s:
                if worker.is_alive(SILENT_S):
                    continue
                self._bury(worker)
            if self.should_exit.is_set():
                return
            if time.monotonic() >= self._due_s[worker]:
                del self._due_s[worker]
                self.processes[place] = Process(self.config, self.sockets)
                self.processes[place].start()

    def _bury(self, worker: Process) -> None:
        """Note of a worker that is gone when another is started, and say so; end all if none can start."""
        worker.process.join(ENDING_S)
        hung = worker.process.is_alive()
        worker.kill()
        worker.join()
        if worker.exitcode != STARTUP_FAILURE:
            why = f"was silent for {SILENT_S} s" if hung else f"was ended by {_ending(worker.exitcode)}"
            log.error("worker %s %s: another takes its place", worker.pid, why)
            self._due_s[worker] = time.monotonic()
        elif any(other.is_ready() for other in self.processes if other.exitcode is None):
            log.error("worker %s could not start: the others serve, and it is tried again", worker.pid)
            self._due_s[worker] = time.monotonic() + AGAIN_S
        else:
            self.failed = True
            self.should_exit.set()


def _ending(exitcode: int | None) -> str:
    """What ended a process, in a word."""
    if exitcode is not None and exitcode < 0:
        return signal.Signals(-exitcode).name
    return f"exit code {exitcode}"
