"""Runs one program so that it can do no harm: started by `eval/limited.py` only, the program on standard input.

Bounds on CPU time, memory, processes and files are the kernel's (setrlimit); nothing can be written to a file. The
program has no network, sees every file system read-only and has process numbers of its own, so that whatever it starts
ends with it (unshare); where the system does not allow that, nothing is run. All rights are given up first.

Behind the program, in the same process, a mark is written that only whoever reaches the end may write. No frame, no
name and no file leads to it, and what would look for it elsewhere (gc, ctypes, tracing) is refused.
"""

from __future__ import annotations

import ctypes
import importlib
import operator
import os
import resource
import signal
import struct
import sys
from collections import deque
from collections.abc import Iterator
from functools import partial

NOBODY = 65534
NOT_APART = 78
"""How this ends when the system does not allow a cage; no program ends so."""

CPU_S = 5
MEMORY = 512 * 2**20
PROCESSES = 16
FILES = 32

MODULES = (
    "array", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "datetime", "decimal", "enum",
    "fractions", "functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "random", "re", "statistics",
    "string", "sys", "textwrap", "time", "typing",
)  # fmt: skip
"""Loaded beforehand: nobody may not read the library where it lies in somebody's home."""

_NEW_MOUNTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_PRIVATE = 0x4000 | 0x40000
_MOUNT_SETATTR, _AT_CWD, _RECURSIVE, _READ_ONLY = 442, -100, 0x8000, 1
_CAPABILITY_VERSION = 0x20080522
_DIE_WITH_PARENT, _DUMPABLE, _NO_NEW_RIGHTS = 1, 4, 38


def apart(libc: ctypes.CDLL) -> bool:
    """Leave the network, the files and the process numbers of this machine; False where that is not allowed."""
    kinds = _NEW_MOUNTS | _NEW_IPC | _NEW_PID | _NEW_NET
    if libc.unshare(kinds) and libc.unshare(kinds | _NEW_USER):
        return False
    read_only = struct.pack("=QQQQ", _READ_ONLY, 0, 0, 0)
    return not (
        libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None)
        or libc.syscall(_MOUNT_SETATTR, _AT_CWD, b"/", _RECURSIVE, read_only, ctypes.c_size_t(len(read_only)))
    )


def give_up_rights(libc: ctypes.CDLL) -> None:
    """Be nobody, able to nothing, for good."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if hasattr(libc, "capset"):
        libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24))
        libc.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0)
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # nobody reads this process's memory, not even itself by /proc


def bound() -> None:
    """Set every limit, for this process and all it starts."""
    limits = {
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        resource.setrlimit(kind, (most, most))


def refuse_to_look() -> None:
    """Refuse, for good, what finds objects without having been given them, and what moves a program past its tests.

    With a ValueError, for that is what the standard library expects where there are no frames.
    """
    refused = frozenset({"gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys.settrace", "sys.setprofile"})

    def hook(event: str, args: tuple[object, ...], error: type[Exception] = ValueError) -> None:
        if event in refused or event[:7] == "ctypes." or (event == "import" and args[0] in ("ctypes", "_ctypes")):
            raise error(f"{event} is not for programs in a cage")

    for name in [name for name in sys.modules if name.partition(".")[0] in ("ctypes", "_ctypes")]:
        del sys.modules[name]
    sys.addaudithook(hook)


def steps() -> Iterator[object]:
    """Run the program of standard input, then write its first line, the mark, as one step after the other is asked for.

    What is yet to come is held by the iterator alone, which no frame shows.
    """
    said = b""
    while part := os.read(0, 1 << 16):
        said += part
    mark, _, program = said.partition(b"\n")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = compile(program.decode(), "<answer>", "exec")
    end = partial(os.write, 1, b"\n" + mark + b"\n")
    return map(operator.call, (partial(exec, code, {"__name__": "__main__"}), sys.stdout.flush, end))


def main() -> None:
    """Fork into the cage, wait, and end as the program ended; run nothing where there can be no cage."""
    for name in MODULES:
        importlib.import_module(name)
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "unshare") or not apart(libc):
        os._exit(NOT_APART)
    if child := os.fork():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF
        os._exit(1 if code == NOT_APART else code)
    give_up_rights(libc)
    bound()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with an error that the program sees
    del libc
    refuse_to_look()
    deque(steps(), maxlen=0)


if __name__ == "__main__":
    main()
