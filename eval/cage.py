"""Runs one program and its tests so that they can do no harm: started by `eval/limited.py` only, both on its input.

They run in two processes. The tests call what the program defines over a pipe, and what comes back is plain data that
is made anew here, so no value of the program's own, nothing that it patches and no way to end early reaches a test. The
program's process has neither the tests nor a file that the verdict could be written to.

Bounds on CPU time, memory, processes and files are the kernel's (setrlimit). There is no network, the only folder is
empty and read-only, and each process has process numbers of its own, so that whatever it starts ends with it (unshare,
chroot); where the system does not allow that, nothing is run. All rights are given up first.
"""

from __future__ import annotations

import builtins
import ctypes
import importlib
import json
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, BinaryIO, NoReturn

NOBODY = 65534
NOT_APART = 78
"""How this ends when the system does not allow a cage."""

CPU_S = 5
MEMORY = 160 * 2**20
"""Of one process, of which 25 MB are Python with `MODULES`."""
PROCESSES = 6
"""And threads, the program's and its tests' own among them: the kernel bounds memory by process only, so that what all
of a cage can take is the product of the two, under 1 GB."""
FILES = 32
MOST_SAID = 2**20
"""Bytes of one answer to a test."""
MOST_ITEMS = 100_000
"""Of what is gone through to be told: generators may have no end."""

MODULES = (
    "abc", "array", "ast", "base64", "bisect", "calendar", "cmath", "collections", "contextlib", "copy", "dataclasses",
    "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io",
    "itertools", "json", "math", "numbers", "operator", "os", "pprint", "queue", "random", "re", "secrets", "socket",
    "statistics", "string", "struct", "sys", "textwrap", "threading", "time", "traceback", "types", "typing",
    "unicodedata", "uuid", "zlib",
)  # fmt: skip
"""What programs can import; loaded beforehand, for then there are no files. Tests have them without importing."""

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
        or libc.chroot(b".")
        or libc.chdir(b"/")
    )


def bound(libc: ctypes.CDLL) -> None:
    """Be nobody, able to nothing, for good, and set every limit, for this process and all it starts."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if hasattr(libc, "capset"):
        libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24))
        libc.prctl(_NO_NEW_RIGHTS, 1, 0, 0, 0)
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_DUMPABLE, 0, 0, 0, 0)  # nobody reads this process's memory, not even itself by /proc
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
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails with an error that the program sees


_GATHERED: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "dict": dict, "iterator": iter,
}  # fmt: skip


def told(value: Any) -> Any:
    """A value as JSON holds it; what is more than plain data is told as the plain type it derives from.

    Raises TypeError for what is no plain data.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray):
        return ["bytes", value.hex()]
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    if not isinstance(value, Iterable):
        raise TypeError(f"{type(value).__name__} is no plain data, which is all that can be compared")
    kind = next((each.__name__ for each in type(value).__mro__ if each.__name__ in _GATHERED), "iterator")
    items = list(islice(value.items() if isinstance(value, dict) else value, MOST_ITEMS + 1))
    if len(items) > MOST_ITEMS:
        raise ValueError(f"more than {MOST_ITEMS} items")
    return [kind, [told(each) for each in items]]


def made(said: Any) -> Any:
    """A value of Python's own types from what `told` gave. Raises when it is none."""
    if said is None or isinstance(said, bool | int | float | str):
        return said
    kind, content = said
    if kind == "bytes":
        return bytes.fromhex(content)
    if kind == "complex":
        return complex(*content)
    return _GATHERED[kind]([made(each) for each in content])


class Answer:
    """A function of the program, as its tests see it."""

    def __init__(self, line: Line, name: str) -> None:
        self._line, self._name = line, name

    def __call__(self, *args: Any, **named: Any) -> Any:
        """What the program returns, made anew; what it raises, when that is an exception of Python's own."""
        return self._line.ask({"name": self._name, "call": [told(args), told(named)]})


class Line:
    """To the program, a line of JSON each way."""

    def __init__(self, reader: BinaryIO, writer: BinaryIO, fail: Callable[[str], NoReturn]) -> None:
        self._reader, self._writer, self._fail = reader, writer, fail

    def ask(self, request: Any) -> Any:
        """The value that the program has or returns; where it has ended or says no JSON, its tests end too."""
        try:
            self._writer.write(json.dumps(request).encode() + b"\n")
            self._writer.flush()
            reply = self._reader.readline(MOST_SAID)
        except BrokenPipeError:
            reply = b""
        if not reply.endswith(b"\n"):
            much = f"gave an answer of more than {MOST_SAID} bytes"
            self._fail(f"the program {much if reply else 'ended before its tests did'}")
        try:
            kind, content = json.loads(reply)
            value = made(content)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._fail(f"the program broke the line to its tests: {type(error).__name__}")
        if kind == "raised":
            raise _error(*map(str, value))
        return Answer(self, str(value)) if kind == "function" else value


class Names(dict[str, Any]):
    """What tests know: their own names, Python's, its library's, else the program's."""

    def __init__(self, line: Line, shadowed: str) -> None:
        super().__init__(__name__="tests")
        self._line, self._shadowed = line, shadowed

    def __missing__(self, name: str) -> Any:
        if name != self._shadowed:
            if name in MODULES:
                return importlib.import_module(name)
            if hasattr(builtins, name) or name.startswith("__"):
                raise KeyError(name)
        return self._line.ask({"name": name})


def _error(kind: str, message: str) -> Exception:
    found = getattr(builtins, kind, None)
    if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, UnicodeError):
        return found(message)
    return RuntimeError(f"{kind}: {message}")


def serve(reader: BinaryIO, writer: BinaryIO) -> None:
    """Run the program that comes first, then answer for it; all of this is in the program's hands."""
    names: dict[str, Any] = {"__name__": "answer"}

    def reply(request: Any) -> tuple[str, Any]:
        if isinstance(request, str):
            exec(compile(request, "<answer>", "exec"), names)  # noqa: S102
            return "value", None
        name = request["name"]
        if name not in names and not hasattr(builtins, name):
            raise NameError(f"the program has no {name}")
        value: Any = names[name] if name in names else getattr(builtins, name)
        if "call" not in request:
            return ("function", name) if callable(value) else ("value", told(value))
        args, named = request["call"]
        return "value", told(value(*made(args), **made(named)))

    for line in reader:
        try:
            said = reply(json.loads(line))
        except BaseException as error:
            said = "raised", told((type(error).__name__, str(error)[:200]))
        writer.write(json.dumps(said).encode() + b"\n")
        writer.flush()


def examine(line: Line, verdict: Callable[[bool, str], NoReturn]) -> NoReturn:
    """Run what came in: a JSON object with the fields of `eval.scorers.code.Exam`."""
    with os.fdopen(0, "rb") as entered:
        asked = json.load(entered)
    names = Names(line, asked["shadowed"])
    try:
        line.ask(asked["program"])
        for part in ("given", "tests"):
            exec(compile(asked[part], f"<{part}>", "exec"), names)  # noqa: S102
    except BaseException as error:
        verdict(False, f"{type(error).__name__}: {error}".removesuffix(": ")[:200])
    verdict(True, "")


def main() -> None:
    """Fork into the cage, the program's process in it once more, and end as the tests end."""
    for name in MODULES:
        importlib.import_module(name)
    libc, nothing = ctypes.CDLL(None), os.open(os.devnull, os.O_RDWR)
    if not hasattr(libc, "unshare") or not apart(libc):
        os._exit(NOT_APART)
    if child := os.fork():
        signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))  # what it started ends before it does
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    heard, asking = os.pipe()
    hearing, said = os.pipe()
    if libc.unshare(_NEW_PID):
        os._exit(NOT_APART)
    if not os.fork():
        os.setsid()  # what it sends to its group reaches nobody else
        os.close(asking)
        os.close(hearing)
        for standard in (0, 1, 2):
            os.dup2(nothing, standard)
        bound(libc)
        serve(os.fdopen(heard, "rb"), os.fdopen(said, "wb"))
        os._exit(0)
    os.close(heard)
    os.close(said)
    result = os.dup(1)
    for standard in (1, 2):
        os.dup2(nothing, standard)
    bound(libc)

    def verdict(passed: bool, why: str) -> NoReturn:
        os.write(result, json.dumps({"passed": passed, "said": why}).encode())
        os._exit(0)

    examine(Line(os.fdopen(hearing, "rb"), os.fdopen(asking, "wb"), lambda why: verdict(False, why)), verdict)


if __name__ == "__main__":
    main()
