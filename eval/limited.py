"""Code from a model, run where it can do no harm: see `eval/cage.py` for what holds it."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from eval.cage import NOT_APART
from experts.errors import ShoalError

CAGE: Final = Path(__file__).with_name("cage.py")

WALL_S: Final = 10.0
"""A program that sleeps uses no CPU time; this ends it all the same."""

MOST_OUTPUT: Final = 64 * 1024

PARTING_S: Final = 5.0
"""How long is waited for killed processes to be gone."""


class NoCage(ShoalError):
    """The system does not let a program be kept apart, so none is run; the message holds the remedy."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended."""

    passed: bool
    """Whether it ran to its last line and ended well."""
    said: str
    """The last line it printed, which is its error when it failed; or why it was stopped."""


def run_limited(program: str, wall_s: float = WALL_S) -> Ran:
    """Run a Python program in a child without rights, network, files or time to waste.

    To have passed it must reach its end: a program that leaves early with exit code 0 has not passed its tests. Code
    and tests share one process, so values that claim to equal anything pass a test of equality. Raises `NoCage`.
    """
    reached = secrets.token_hex(16)
    text = f"{reached}\n{program}\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        command = [sys.executable, "-I", "-S", "-B", str(CAGE)]
        with subprocess.Popen(  # noqa: S603
            command, cwd=folder, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as child:  # fmt: skip
            try:
                output, stopped = _heard(child, text.encode("utf-8", "replace"), wall_s)
            finally:
                _ended(child)
    if child.returncode == NOT_APART:
        raise NoCage(
            "code cannot be run here without a network and without files to write to, so none is run. Remedy: run this "
            "on Linux as root, or where users may make namespaces (sysctl kernel.unprivileged_userns_clone=1, and "
            "kernel.apparmor_restrict_unprivileged_userns=0 where there is that), in Docker with "
            "--security-opt seccomp=unconfined --cap-add SYS_ADMIN"
        )
    lines = [line for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    last = lines[-1].strip() if lines else ""
    if stopped:
        return Ran(False, stopped)
    if last == reached:
        return Ran(child.returncode == 0, "")
    return Ran(False, last[:200] or f"ended before its last line, exit code {child.returncode}")


def _heard(child: subprocess.Popen[bytes], text: bytes, wall_s: float) -> tuple[bytes, str]:
    """What the child printed, and why it must be stopped; empty when it ended by itself."""
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
            return output[:MOST_OUTPUT], f"printed more than {MOST_OUTPUT} bytes"
    return output, f"took longer than {wall_s:g} s"


def _ended(child: subprocess.Popen[bytes]) -> None:
    """Kill all of it, and wait until nobody holds the pipe any more: then nobody is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    until = time.monotonic() + PARTING_S
    while child.stdout is not None and (left := until - time.monotonic()) > 0:
        if select.select([child.stdout], [], [], left)[0] and not os.read(child.stdout.fileno(), MOST_OUTPUT):
            return


def _told(pipe: IO[bytes], text: bytes) -> None:
    """Hand over the program; a child that is gone before it has read it says so by its exit code."""
    with contextlib.suppress(BrokenPipeError):
        pipe.write(text)
    with contextlib.suppress(BrokenPipeError):
        pipe.close()
