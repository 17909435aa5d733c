"""The processes of a measurement, each on its core, and what can be read of them from outside."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from eval.bench.errors import BenchError
from experts.process.clock import cpu_ns

START_S: Final = 60.0
GRACE_S: Final = 30.0
LOG_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core Shoal has, and which the load and the upstream share; one and the same where there is only one."""

    load: int
    shoal: int

    @classmethod
    def of_this_machine(cls) -> Cores:
        """The first and the last core we may use. Raises BenchError where the system has no such thing."""
        if sys.platform != "linux":
            raise BenchError("needs Linux, to read the CPU clocks of other processes. Remedy: run it in a container")
        ours = sorted(os.sched_getaffinity(0))
        return cls(load=ours[0], shoal=ours[-1])


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Keep this thread, and processes started inside for good, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def upstream(root: Path, core: int) -> Iterator[int]:
    """Run the zero-delay upstream; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        handle = listener.fileno()
        command = [sys.executable, "-m", "eval.bench.upstream", str(handle)]
        with pinned(core):
            process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, pass_fds=[handle])  # noqa: S603 - ours
    with _ended_after(process):
        yield port


@dataclass(frozen=True, slots=True)
class Shoal:
    """A running `shoal serve` with one worker."""

    pid: int
    port: int

    def cpu_ns(self) -> int:
        """CPU time of all its threads so far; its children are not included."""
        return cpu_ns(self.pid)

    def rss_mb(self) -> float:
        """Its resident memory now, in megabytes of 10^6 bytes; its children are not included."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6


@contextlib.contextmanager
def shoal(root: Path, registry: Path, data: Path, core: int) -> Iterator[Shoal]:
    """Run Shoal on a registry until the end of the block. Raises BenchError, with its last words, when it cannot."""
    arguments = ["serve", "--registry", str(registry), "--port", "0", "--workers", "1", "--json"]
    told, log = data / "told.json", data / "log"
    with told.open("wb") as said, log.open("wb") as out, pinned(core):
        command = [sys.executable, "-m", "shoal", *arguments]
        process = subprocess.Popen(command, cwd=root, env=_environment(data), stdout=said, stderr=out)  # noqa: S603 - ours
    with _ended_after(process):
        yield Shoal(process.pid, _port_when_ready(process, told, log))


def ledger_requests(root: Path, data: Path) -> int:
    """How many requests the ledger in `data` holds, as `shoal meter report` counts them."""
    command = [sys.executable, "-m", "shoal", "meter", "report", "--json"]
    done = subprocess.run(command, cwd=root, env=_environment(data), capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise BenchError(f"the ledger cannot be read: {done.stderr.decode(errors='replace').strip()}")
    return int(json.loads(done.stdout)["requests"])


def _environment(data: Path) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("SHOAL_")}
    return {**ours, "SHOAL_DATA_DIR": str(data)}


def _port_when_ready(process: subprocess.Popen[bytes], told: Path, log: Path) -> int:
    """The port that it took and told. Raises BenchError."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if (said := told.read_bytes()).endswith(b"\n"):
            port = urlsplit(json.loads(said)["url"]).port or 0
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.suppress(OSError), contextlib.closing(connection):
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return port
        time.sleep(0.05)
    words = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    fate = f"was not ready within {START_S:g} s" if process.poll() is None else f"ended with {process.returncode}"
    raise BenchError(f"Shoal {fate}. Remedy: mend what its last words name:\n{words}")


@contextlib.contextmanager
def _ended_after(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin:
            process.stdin.close()
