"""`shoal` commands in processes of their own, which begin where each start has loaded what every command needs.

Loading it is most of what a command takes, and tests run hundreds. Of our own modules those are loaded that
`shoal/__main__.py` loads first in any case; what a command loads itself, each process loads anew.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

# No module that starts threads, as onnxruntime does: a process that has some is not safely copied.
LOADED: Final = ["shoal.__main__", "tests.service.commands", "numpy", "orjson", "rich.table", "yaml"]

PROCESSES: Final = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(LOADED)


def command(
    arguments: tuple[str, ...], folder: Path, env: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """What `shoal` printed and ended with when it ran in `folder`. Raises `TimeoutExpired`."""
    with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as err:
        process = PROCESSES.Process(target=_run, args=(arguments, folder, env, out.name, err.name))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["shoal", *arguments], timeout_s)
        told = (Path(file.name).read_text() for file in (out, err))
        return subprocess.CompletedProcess(["shoal", *arguments], process.exitcode, *told)


def _run(arguments: tuple[str, ...], folder: Path, env: dict[str, str], out: str, err: str) -> None:
    from shoal.__main__ import main

    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY), stream)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    sys.argv = ["shoal", *arguments]
    main()
