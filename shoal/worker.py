"""What a worker does about the process above it, which started it."""

from __future__ import annotations

import logging
import os
import signal
from multiprocessing import parent_process
from threading import Thread

log = logging.getLogger("shoal")


def stop_with_supervisor() -> None:
    """Stop as by SIGTERM when the process above is gone, however it ended; else workers would hold the port for ever.

    Nothing where there is none above, as in a server of one process.
    """
    above = parent_process()
    if above is None:
        return

    def wait() -> None:
        above.join()  # for the end of a pipe whose other end the process above holds, on every system
        log.error("the process above the workers is gone: this one stops")
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=wait, name="shoal-supervisor", daemon=True).start()
