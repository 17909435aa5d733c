"""What is said while an older file is brought to today's tables: two lines, and on a terminal a bar between them."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Tell = Callable[[int, int], None]
"""Told how many rows are done, of how many."""

log = logging.getLogger("shoal.store")


@contextmanager
def stepping(what: str, path: Path, older: int, newer: int) -> Iterator[Tell]:
    """Say that an upgrade begins, and how long it took when it succeeded; gives whom to tell how far it is.

    Both lines are warnings, for whoever waits sees those also where no log was set up.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    log.warning("%s %s is of version %d: it is brought to version %d first, once", what, path, older, newer)
    since_s = time.monotonic()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(f"upgrading the {what}", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
    log.warning("%s %s is of version %d now, after %.1f s", what, path, newer, time.monotonic() - since_s)
