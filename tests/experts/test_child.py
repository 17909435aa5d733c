"""Real processes: a small HTTP server that behaves well or badly, kept by a Child."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from experts.child import Child, Patience
from experts.errors import ExpertUnavailable
from experts.process.address import Address
from experts.process.recipe import Recipe

ROOT = Path(__file__).parents[2]
SERVER = """
import http.server, os, signal, socket, socketserver, sys
from experts.process import leash
leash.tie()
mode, place = sys.argv[1:]
class Handler(http.server.BaseHTTPRequestHandler):
    address_string = lambda self: "someone"
    def do_GET(self):
        self.send_response(503 if mode == "never" else 200)
        self.end_headers()
if mode == "die":
    sys.exit("model.gguf: the tensor is bent")
if mode == "flood":
    sys.stderr.write("x" * 79 + chr(10)); sys.stderr.write(("y" * 79 + chr(10)) * 20_000)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
server = socketserver.UnixStreamServer(place, Handler)
server.serve_forever(poll_interval=0.05)
"""
FAST = Patience(probe_every_s=0.1, grace_s=0.3, backoff_s=0.02)


def recipe(mode: str) -> Recipe:
    def command(address: Address) -> list[str]:
        return [sys.executable, "-P", "-c", SERVER, mode, str(address.unix_socket)]

    return Recipe(command, {"PYTHONPATH": str(ROOT)})


@asynccontextmanager
async def keeping(recipe: Recipe, patience: Patience = FAST) -> AsyncIterator[Child]:
    child = Child("pike", recipe, patience)
    try:
        yield child
    finally:
        await child.stop()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_serves_on_a_private_address_until_it_is_stopped() -> None:
    async with keeping(recipe("serve")) as child:
        await child.start()
        assert child.state == "ready" and child.reason is None
        assert child.pid is not None
        assert await child.address.status("/health", 1) == 200
        pid = child.pid
    assert child.state == "stopped"
    assert not alive(pid)
    assert await child.address.status("/health", 1) is None
    with pytest.raises(ExpertUnavailable):
        await child.start()


async def test_no_one_else_reaches_its_socket_and_its_folder_goes_with_it() -> None:
    async with keeping(recipe("serve")) as child:
        await child.start()
        folder = child.address.unix_socket.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


async def test_a_killed_child_is_replaced_and_its_cpu_time_is_kept() -> None:
    async with keeping(recipe("serve")) as child:
        await child.start()
        first, used_ns, load_ns = child.pid, child.cpu_ns(), child.loading_ns
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.deaths == 1)
        assert "SIGKILL" in (child.reason or "")
        await until(lambda: child.state == "ready")
        assert child.pid != first
        assert child.reason is None
        if sys.platform == "linux":
            assert used_ns is not None and (child.cpu_ns() or 0) > used_ns >= load_ns > 0
            assert child.loading_ns > load_ns, "the second had to load too"


async def test_a_child_that_hangs_is_replaced() -> None:
    async with keeping(recipe("serve"), replace(FAST, probe_timeout_s=0.5)) as child:
        await child.start()
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        await until(lambda: child.deaths == 1)
        assert "hung" in (child.reason or "")
        await until(lambda: child.state == "ready")
        assert not alive(first)


async def test_a_child_that_keeps_dying_says_why_and_is_quarantined() -> None:
    async with keeping(recipe("die")) as child:
        with pytest.raises(ExpertUnavailable, match=r"ended with status 1(.|\n)*the tensor is bent"):
            await child.start()
        await until(lambda: child.state == "quarantined")
        assert child.deaths == FAST.deaths + 1
        assert child.reason is not None
        assert "quarantined for 300 s: died 4 times" in child.reason
        assert "the tensor is bent" in child.reason


async def test_quarantine_ends_and_one_more_death_begins_it_again() -> None:
    async with keeping(recipe("die"), Patience(backoff_s=0.02, quarantine_s=0.2)) as child:
        with pytest.raises(ExpertUnavailable):
            await child.start()
        await until(lambda: child.deaths == 6)
        assert child.state == "quarantined"


async def test_a_talkative_child_never_blocks_and_only_its_last_words_are_kept() -> None:
    async with keeping(recipe("flood")) as child:
        await child.start()
        assert child.state == "ready"
        assert 60_000 < len(child.stderr) <= 64 * 1024
        assert "x" not in child.stderr


async def test_a_child_that_is_never_ready_is_given_up() -> None:
    async with keeping(recipe("never"), Patience(start_s=0.5)) as child:
        with pytest.raises(ExpertUnavailable, match=r"not ready within 0\.5 s"):
            await child.start()


async def test_a_command_that_does_not_exist() -> None:
    async with keeping(Recipe(lambda address: ["/no/such/engine"])) as child:
        with pytest.raises(ExpertUnavailable, match=r"cannot be started: .*No such file"):
            await child.start()


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    async with keeping(recipe("stubborn")) as child:
        await child.start()
        pid = child.pid
    assert pid is not None and not alive(pid)


async def test_stopping_while_it_starts_leaves_nothing_behind() -> None:
    async with keeping(recipe("never")) as child:
        starting = asyncio.create_task(child.start())
        await until(lambda: child.pid is not None)
        pid = child.pid
        await child.stop()
        with pytest.raises(ExpertUnavailable):
            await starting
    assert pid is not None and not alive(pid)


@pytest.fixture
def folder() -> Iterator[str]:
    """A folder with a short path, as sockets need; a killed parent leaves its own in it."""
    with tempfile.TemporaryDirectory(prefix="t") as folder:
        yield folder


PARENT = """
import asyncio, sys
from tests.experts.test_child import FAST, recipe
from experts.child import Child
async def main():
    child = Child("pike", recipe("serve"), FAST)
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_it_dies_with_the_server_however_that_dies(folder: str) -> None:
    environ = {**os.environ, "TMPDIR": folder}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, cwd=ROOT, env=environ, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(pid))


def test_the_end_of_its_input_alone_ends_it() -> None:
    program = "import threading; from experts import leash; leash._exit_at_end_of_input()"
    child = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE)
    assert child.stdin is not None
    assert child.poll() is None
    child.stdin.close()
    assert child.wait() == 1
