"""A child process that serves OpenAI's API on a private address: started, probed, replaced when it dies, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from experts.errors import ExpertUnavailable, ShoalError
from experts.process.address import Address
from experts.process.clock import cpu_ns
from experts.process.folder import PrivateFolder, sweep
from experts.process.recipe import Recipe
from experts.process.tail import Tail

log = logging.getLogger(__name__)

ChildState = Literal["starting", "ready", "restarting", "quarantined", "stopped"]

LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a child may take, in seconds, and how often it may die."""

    start_s: float = 300.0
    probe_every_s: float = 3.0
    probe_timeout_s: float = 5.0
    missed_probes: int = 2
    """Probes in a row without an answer after which a child counts as hung and is replaced."""
    grace_s: float = 5.0
    """Between SIGTERM and SIGKILL."""
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0
    deaths: int = 3
    """More deaths than this, with no healthy stretch of `window_s` between them, lead to quarantine."""
    window_s: float = 60.0
    quarantine_s: float = 300.0


class Child:
    """Keeps one engine running. All its methods belong to one event loop."""

    def __init__(self, expert_id: str, recipe: Recipe, patience: Patience | None = None) -> None:
        """Choose a private address; nothing runs before `start`. Raises ValueError when TMPDIR's path is too long."""
        self.state: ChildState = "stopped"
        self.reason: str | None = None
        """Why it is not ready, with its last words; None when it is."""
        self.deaths = 0
        self.pid: int | None = None
        self._id = expert_id
        self._recipe = recipe
        self._patience = patience or Patience()
        self._folder = PrivateFolder()
        self.address = Address.in_folder(self._folder.path)
        self._tail = Tail()
        self._recent: deque[float] = deque()
        self._ready_since: float | None = None
        self._cpu_of_dead_ns = 0
        self._cpu_seen_ns = 0
        self._loads_of_dead_ns = 0
        self._load_ns: int | None = None
        """What the current process had used when it was ready; None until then."""
        self._settled = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    @property
    def stderr(self) -> str:
        """The last 64 kB that the current or the last process wrote to stdout and stderr."""
        return self._tail.text()

    async def start(self) -> None:
        """Start it if it is not running and wait until its first process is ready.

        Raises ExpertUnavailable, with its last words, when that process dies or is not ready in time; restarts go
        on in the background all the same, until `stop`.
        """
        if self._life is None:
            self.state = "starting"
            self._life = asyncio.create_task(self._live_on(), name=f"child {self._id}")
        await self._settled.wait()
        if self.state != "ready":
            raise ExpertUnavailable(self._id, self.reason or self.state)

    async def stop(self) -> None:
        """End the process (SIGTERM, and SIGKILL after the grace) and remove its folder; a second call does nothing."""
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._life
        self.state = "stopped"
        await asyncio.to_thread(self._folder.remove)

    def cpu_ns(self) -> int | None:
        """CPU time of all its processes so far in nanoseconds, threads included; None where the system cannot say.

        It never goes back: what a dead process used after it was last looked at is lost, not what was seen.
        """
        if sys.platform != "linux":
            return None
        if self.pid is not None:
            with contextlib.suppress(OSError):  # it has just died; what was seen stays
                self._cpu_seen_ns = cpu_ns(self.pid)
        return self._cpu_of_dead_ns + self._cpu_seen_ns

    @property
    def loading_ns(self) -> int:
        """Of what `cpu_ns` said last, what its processes used before they were ready."""
        return self._loads_of_dead_ns + (self._cpu_seen_ns if self._load_ns is None else self._load_ns)

    def worked_ns(self) -> int | None:
        """CPU time of its processes once they were ready; None where the system cannot say.

        The counters' thread asks too, so nothing is called while the figures of one moment are put together.
        """
        if self.cpu_ns() is None:
            return None
        if self._load_ns is None:
            return self._cpu_of_dead_ns - self._loads_of_dead_ns
        return self._cpu_of_dead_ns - self._loads_of_dead_ns + self._cpu_seen_ns - self._load_ns

    async def _live_on(self) -> None:
        """Run one process after another until cancelled."""
        try:
            await asyncio.to_thread(sweep)
            while True:
                why = await self._live()
                self._mourn(why)
                await asyncio.sleep(self._pause_s())
                self.state = "restarting"
        finally:
            self.state = "stopped"
            self._settled.set()

    async def _live(self) -> str:
        """One process, from its start to its end. Returns why it ended."""
        self.address.clear()
        self._tail.clear()
        try:
            if self.deaths and self._recipe.renew is not None:
                self._recipe = await self._recipe.renew()
            process = await self._spawn()
        except (OSError, ShoalError) as error:
            return f"cannot be started: {error}"
        drain = asyncio.create_task(self._tail.drain(process.stdout))
        try:
            return await self._watch(process)
        finally:
            if self.state == "ready":
                self.state = "restarting"
            await self._end(process, drain)

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self._recipe.command(self.address),
            stdin=asyncio.subprocess.PIPE,  # held open and never written: its end is how a child learns of ours
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._folder.path,
            env=self._recipe.environment(),
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which lets its children finish
        )
        self.pid = process.pid
        return process

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Wait until `process` is ready, then until it has ended or hangs. Returns what happened."""
        gone = asyncio.ensure_future(process.wait())
        try:
            if not await self._until_ready(gone):
                return _ending(gone) or f"was not ready within {self._patience.start_s:g} s"
            await self._until_lost(gone)
            return _ending(gone) or "hung: it did not answer its health probe"
        finally:
            gone.cancel()

    async def _until_ready(self, gone: asyncio.Future[int]) -> bool:
        deadline = time.monotonic() + self._patience.start_s
        pause = 0.02
        while not gone.done() and time.monotonic() < deadline:
            if await self._answers() and not gone.done():
                self.cpu_ns()
                self._load_ns = self._cpu_seen_ns
                self.state, self.reason = "ready", None
                self._ready_since = time.monotonic()
                self._settled.set()
                return True
            await asyncio.wait({gone}, timeout=pause)
            pause = min(pause * 1.5, 0.5)
        return False

    async def _until_lost(self, gone: asyncio.Future[int]) -> None:
        missed = 0
        while missed < self._patience.missed_probes:
            await asyncio.wait({gone}, timeout=self._patience.probe_every_s)
            if gone.done():
                return
            missed = 0 if await self._answers() else missed + 1
            self.cpu_ns()

    async def _answers(self) -> bool:
        return await self.address.status(self._recipe.health_path, self._patience.probe_timeout_s) == 200

    async def _end(self, process: asyncio.subprocess.Process, drain: asyncio.Task[None]) -> None:
        """End `process` if it still runs, kindly when we were asked to stop, and hear its last words."""
        try:
            if process.returncode is None and _cancelled():
                _signal(process, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), self._patience.grace_s)
            if process.returncode is None:
                self.cpu_ns()
        finally:
            _signal(process, signal.SIGKILL)
            await process.wait()
            await asyncio.wait({drain}, timeout=1.0)  # a grandchild may hold the pipe open
            drain.cancel()
            self.pid = None
            self._loads_of_dead_ns += self._cpu_seen_ns if self._load_ns is None else self._load_ns
            self._cpu_of_dead_ns += self._cpu_seen_ns
            self._cpu_seen_ns, self._load_ns = 0, None

    def _mourn(self, why: str) -> None:
        """Note a death: when it happened, why, and what follows."""
        now = time.monotonic()
        patience = self._patience
        if self._ready_since is not None and now - self._ready_since > patience.window_s:
            self._recent.clear()
        self._ready_since = None
        self._recent.append(now)
        self.deaths += 1
        words = self._tail.text(LAST_LINES)
        self.reason = why + (f"; its last words:\n{words}" if words else "")
        self.state = "restarting"
        if len(self._recent) > patience.deaths:
            self.state = "quarantined"
            rest = f"died {len(self._recent)} times without {patience.window_s:g} s of health between"
            self.reason = f"quarantined for {patience.quarantine_s:g} s: {rest}; at last it {self.reason}"
        self._settled.set()
        log.warning("expert %s: %s", self._id, self.reason)

    def _pause_s(self) -> float:
        """Seconds until the next start: doubling, jittered so that many children do not start in step."""
        if self.state == "quarantined":
            while len(self._recent) > self._patience.deaths:
                self._recent.popleft()  # one more death and it is back in quarantine
            return self._patience.quarantine_s
        doubled = self._patience.backoff_s * 2.0 ** (len(self._recent) - 1)
        return min(doubled, self._patience.backoff_max_s) * random.uniform(0.5, 1.0)  # noqa: S311


def _ending(gone: asyncio.Future[int]) -> str | None:
    """How the process ended, in words; None when it still runs."""
    if not gone.done():
        return None
    code = gone.result()
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def _signal(process: asyncio.subprocess.Process, which: signal.Signals) -> None:
    """Send a signal to the process and to all it started, unless they are gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, which)


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
