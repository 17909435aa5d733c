"""One expert of the pool: asleep until someone asks, then shared by everyone who asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from experts.child import Child
from experts.errors import (
    ExpertFailed,
    ExpertNotAsked,
    ExpertOverloaded,
    ExpertRefused,
    ExpertTimedOut,
    ExpertUnavailable,
    ShoalError,
)
from experts.pooling.breaker import Breaker
from experts.pooling.memory import MemoryBudget
from experts.pooling.opening import Opened, Opener, at_once, memory_mb
from experts.pooling.readiness import WELL, Readiness, State
from experts.pooling.turnstile import Turnstile
from experts.protocol import Expert
from experts.spec import AnySpec

log = logging.getLogger(__name__)


class Member:
    """Loads once however many ask, bounds how many are served at once, and fails at once while it is down."""

    def __init__(self, spec: AnySpec, opener: Opener, budget: MemoryBudget, breaker: Breaker) -> None:
        self.id = spec.id
        self.memory_mb = memory_mb(spec)
        self.last_used = 0.0
        self.pinned = False
        """True for the fallback: it is never evicted."""
        self._spec = spec
        self._opener = opener
        self._budget = budget
        self._opened: Opened | None = None
        self._loading: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._breaker = breaker
        self._turnstile = Turnstile(places=at_once(spec), room=spec.max_concurrency)
        self._claims = 0
        self._pools = 0
        self._reason: str | None = None
        self._full = False
        self._ending: Child | None = None
        self._worked_ns, self._loads_ns = 0, 0

    @property
    def evictable(self) -> bool:
        """True when nobody uses or awaits it and it is not the fallback."""
        return not self._claims and self._loading is None and not self.pinned

    @property
    def readiness(self) -> Readiness:
        """How it stands now."""
        state = self.state()
        return Readiness(
            ready=self._tries(state),
            loaded=state == "ready",
            state=state,
            reason=None if state in WELL else self._why(),
            in_flight=self._turnstile.inside,
            waiting=self._turnstile.waiting,
            memory_mb=self.memory_mb if self._opened else 0,
            pid=child.pid if (child := self._child) else None,
        )

    @property
    def down(self) -> State | None:
        """Its state where a request sent now would not be tried; None where it would."""
        state = self.state()
        return None if state in WELL or self._tries(state) else state

    def state(self) -> State:
        """What it is doing now. A decision asks this of every expert, so what is well is not asked more than this."""
        if self._closing is not None:
            return "closed"
        if self._loading is not None:
            return "loading"
        if self._opened is None:
            return "cold" if self._breaker.closed else "failed"
        if (child := self._opened.child) is not None and child.state != "ready":
            return child.state
        return "ready" if self._breaker.closed else "open"

    def cpu_ns(self) -> int | None:
        """CPU time its child processes worked in nanoseconds, their loading left out; None where nobody can say."""
        worked = [child.worked_ns() for child in self._children]
        known = [ns for ns in worked if ns is not None]
        return self._worked_ns + sum(known) if len(known) == len(worked) else None

    def loading_ns(self) -> int:
        """CPU time its child processes took to be ready; 0 where nobody can say."""
        self.cpu_ns()
        return self._loads_ns + sum(child.loading_ns for child in self._children)

    async def warm(self) -> None:
        """Load it now. A failure is logged and seen in `readiness`."""
        self._claims += 1
        try:
            await self._loaded()
        finally:
            self._unclaim()

    async def sleep(self) -> None:
        """Give back what it holds; the next lease loads it anew."""
        async with self._changing:
            opened, self._opened = self._opened, None
            if opened is not None:
                self._ending = opened.child
                await opened.aclose()
                self._worked_ns, self._loads_ns = self.cpu_ns() or 0, self.loading_ns()
                self._ending = None

    def join(self) -> None:
        """One more pool holds it."""
        self._pools += 1

    def part(self) -> None:
        """One pool less holds it; held by none, it is closed as soon as its last lease has ended."""
        self._pools -= 1
        self._close_if_unused()

    async def aclose(self) -> None:
        """Close it now, whoever uses it; a second call does nothing."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"close {self.id}")
        await self._closing

    # What follows is for Lease and for this class.

    def claim(self) -> Expert | None:
        """Announce a lease; the expert itself when it can be asked at once, else None and `admit` must follow."""
        self._claims += 1
        opened = self._opened
        if opened is None or not self._breaker.closed or self.state() != "ready" or not self._turnstile.try_enter():
            return None
        return opened.expert

    async def admit(self) -> Expert:
        """Load, wait for a place. Raises ExpertUnavailable or ExpertOverloaded."""
        try:
            if not self._breaker.enter():
                raise ExpertNotAsked(self.id, f"not asked, it failed just now: {self._why()}")
            try:
                await self._awake()
                return await self._enter()
            except BaseException:
                self._breaker.gave_up()
                raise
        except BaseException:
            self._unclaim()
            raise

    def leave(self, error: BaseException | None) -> None:
        """End a lease that was granted, and learn from how it went."""
        well = self._breaker.closed
        self._turnstile.leave()
        if error is None or isinstance(error, ExpertRefused):
            self._breaker.succeeded()
        elif isinstance(error, (ExpertUnavailable, ExpertTimedOut, ExpertFailed)) and error.expert == self.id:
            self._reason = error.loggable
            self._breaker.failed()
        else:
            self._breaker.gave_up()
        if self._breaker.closed != well:  # told at each turn, for a log line a request would flood
            log.warning("expert %s: %s", self.id, f"not asked for now: {self._reason}" if well else "answers again")
        if self._full and not self._turnstile.waiting:
            self._full = False
            log.warning("expert %s: has room again, nobody waits", self.id)
        self._unclaim()

    @property
    def _children(self) -> list[Child]:
        """The one it has, and one that is being ended: what that uses still counts, and only once."""
        return [child for child in (self._ending, self._child) if child is not None]

    @property
    def _child(self) -> Child | None:
        return self._opened.child if self._opened else None

    def _tries(self, state: State) -> bool:
        """Whether a request sent now would be tried: of one that was not well, one attempt finds out whether it is."""
        return state in WELL or (state in ("open", "failed") and self._breaker.admits)

    def _why(self) -> str:
        child = self._child
        if self._closing is not None:
            return "no longer in the registry"
        return (child.reason if child else None) or self._reason or self.state()

    async def _awake(self) -> None:
        """Wait until it is loaded. Raises ExpertUnavailable when it cannot be, or takes too long."""
        patience_s = self._spec.timeouts.first_byte_s
        try:
            async with asyncio.timeout(patience_s):
                await self._loaded()
        except TimeoutError:
            raise ExpertUnavailable(self.id, f"still loading after {patience_s:g} s; ask again later") from None
        self._expert()

    def _expert(self) -> Expert:
        if self._opened is None or (self._opened.child and self._opened.child.state != "ready"):
            raise ExpertUnavailable(self.id, self._why())
        return self._opened.expert

    async def _enter(self) -> Expert:
        """Wait for a place. Raises ExpertOverloaded, or ExpertUnavailable when it is gone by then."""
        patience_s = self._spec.timeouts.first_byte_s
        try:
            await self._turnstile.enter(patience_s)
        except asyncio.QueueFull:
            raise self._overfull() from None
        except TimeoutError:
            raise ExpertOverloaded(self.id, f"no place came free within {patience_s:g} s") from None
        try:
            return self._expert()
        except ExpertUnavailable:
            self._turnstile.leave()
            raise

    def _overfull(self) -> ExpertOverloaded:
        """What to raise where nobody more may wait; that this begins is told, and that it is over once nobody waits."""
        said = f"{self._turnstile.inside} requests are being answered and {self._turnstile.waiting} wait"
        if not self._full:
            self._full = True
            log.warning("expert %s: has no room: %s; until nobody waits more are not told here", self.id, said)
        error = ExpertOverloaded(self.id, said)
        error.told = True
        return error

    async def _loaded(self) -> None:
        """Wait for the load under way, starting one if it is needed. It goes on when we are cancelled."""
        if self._closing is None and self._loading is None and self._opened is None:
            self._loading = asyncio.create_task(self._load(), name=f"load {self.id}")
        if self._loading is not None:
            await asyncio.shield(self._loading)

    async def _load(self) -> None:
        started = time.monotonic()
        try:
            async with self._changing:
                await self._budget.claim(self)
                await self._open()
            self._reason = None
            self._breaker.succeeded()
            log.info("expert %s: ready after %.1f s", self.id, time.monotonic() - started)
        except ShoalError as error:
            self._reason = str(error)
            log.warning("expert %s: not ready: %s", self.id, error)
        finally:
            self._loading = None

    async def _open(self) -> None:
        try:
            self._opened = await self._opener.open(self._spec)
        except (ShoalError, OSError, ValueError) as error:
            self._budget.release(self)
            self._breaker.trip()  # not every request shall try again what has just failed
            raise ExpertUnavailable(self.id, f"cannot be loaded: {error}") from error
        if self._opened.child is not None:
            await self._opened.child.start()

    def _unclaim(self) -> None:
        self._claims -= 1
        self.last_used = time.monotonic()
        if not self._pools:
            self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._pools and not self._claims and self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"close {self.id}")

    async def _close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loading
        await self.sleep()
        self._budget.release(self)
