"""How the log of a server is written: the same in one process and in each of several workers."""

from __future__ import annotations

import logging


def write_log() -> None:
    """Write what is logged to standard error, with the moment, how grave it is and of what it speaks.

    A worker is a new interpreter, so each has to be told. Who has set up logging already keeps what they chose.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").addFilter(_told_already)


def _told_already(record: logging.LogRecord) -> bool:
    """False for the traceback of a start that failed: the application has said why, in one line with a remedy."""
    return not record.getMessage().startswith(("Traceback", "Exception in 'lifespan'"))
