"""What a child process does to itself before it touches a model: it ties itself to its parent and gives up power.

A launcher calls `leave_network` (when it serves on a Unix socket), `tie` and `limit`, in this order and before it
imports its engine. Only the standard library is used, so that a launcher starts fast.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import threading
from pathlib import Path

# <linux/prctl.h> and <linux/sched.h>
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWNET = 0x4000_0000

OPEN_FILES = 1024
OOM_SCORE = 500
"""Added to our badness, 0 to 1000: when memory runs out the kernel takes an expert, not the router."""
MIB = 1024 * 1024


def tie() -> None:
    """Never outlive the parent, however it dies.

    The parent holds the other end of our standard input; when it is gone we read the end of it. On Linux the kernel
    also kills us at once, which works even while an engine holds the interpreter's lock.
    """
    if sys.platform == "linux":
        _libc("prctl", PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_exit_at_end_of_input, name="leash", daemon=True).start()


def limit(data_mb: int) -> None:
    """Cap our private memory at `data_mb` MiB and our open files, write no core, and gain no privilege."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_DATA, data_mb * MIB)
    if sys.platform == "linux":
        _libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def leave_network() -> None:
    """Move to a network namespace that has no interface, where the kernel lets us; Unix sockets by path still work.

    Must run before any thread is started. Says so on stderr when it is not allowed, as in most containers.
    """
    if sys.platform == "linux":
        # root needs no user namespace, and inside one it could not read the files of others any more
        _libc("unshare", CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


def _libc(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*map(ctypes.c_ulong, arguments)) != 0:
        print(f"leash: {name}{arguments}: {os.strerror(ctypes.get_errno())}", file=sys.stderr)


def _exit_at_end_of_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)
