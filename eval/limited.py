"""Code from a model, run where it can do no harm: see `eval/cage.py` for what holds it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from eval.cage import NOT_APART
from eval.scorers.code import Exam
from experts.errors import ShoalError

CAGE: Final = Path(__file__).with_name("cage.py")

WALL_S: Final = 10.0
"""A program that sleeps uses no CPU time; this ends it all the same."""

MOST_OUTPUT: Final = 64 * 1024

PARTING_S: Final = 5.0
"""How long is waited for the processes in the cage to be gone."""


class NoCage(ShoalError):
    """The system does not let a program be kept apart, so none is run; the message holds the remedy."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended."""

    passed: bool
    """Whether it ran to its end and its tests did."""
    said: str
    """What failed; or why it was stopped."""


def run_limited(exam: Exam, wall_s: float = WALL_S) -> Ran:
    """Run a Python program and its tests without rights, network, files or time to waste.

    Each in a process of its own: what the tests see of the program is plain data. Raises `NoCage`.
    """
    text = json.dumps(asdict(exam)).encode()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-I", "-S", "-B", str(CAGE)]
        with subprocess.Popen(  # noqa: S603
            command, cwd=folder, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as child:  # fmt: skip
            try:
                output, stopped = _heard(child, text, wall_s)
            finally:
                _ended(child)
    if child.returncode == NOT_APART:
        raise NoCage(
            "code cannot be run here without a network and without files to write to, so none is run. Remedy: run this "
            "on Linux as root, or where users may make namespaces (sysctl kernel.unprivileged_userns_clone=1, and "
            "kernel.apparmor_restrict_unprivileged_userns=0 where there is that), in Docker with "
            "--security-opt seccomp=unconfined --cap-add SYS_ADMIN"
        )
    return Ran(False, stopped) if stopped else _verdict(output, child.returncode)


def _verdict(output: bytes, code: int) -> Ran:
    try:
        said = json.loads(output)
        return Ran(said["passed"] is True and code == 0, str(said["said"]))
    except (ValueError, TypeError, KeyError):
        return Ran(False, f"its tests ended without a verdict, exit code {code}")


def _heard(child: subprocess.Popen[bytes], text: bytes, wall_s: float) -> tuple[bytes, str]:
    """The child's verdict, and why it must be stopped; empty when it ended by itself."""
    if child.stdin is None or child.stdout is None:
        raise ValueError("the child was started without pipes")
    until = time.monotonic() + wall_s
    _told(child.stdin, text)
    output = b""
    while (left := until - time.monotonic()) > 0:
        if not select.select([child.stdout], [], [], left)[0]:
            break
        part = os.read(child.stdout.fileno(), MOST_OUTPUT)
        if not part:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(until - time.monotonic(), 0.1))
                return output, ""
            break
        output += part
        if len(output) > MOST_OUTPUT:
            return b"", f"said more than {MOST_OUTPUT} bytes"
    return output, f"took longer than {wall_s:g} s"


def _ended(child: subprocess.Popen[bytes]) -> None:
    """Have the cage end: it is gone only when everything in it is."""
    child.terminate()
    try:
        child.wait(PARTING_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)


def _told(pipe: IO[bytes], text: bytes) -> None:
    """Hand over the program; a child that is gone before it has read it says so by its exit code."""
    with contextlib.suppress(BrokenPipeError):
        pipe.write(text)
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
