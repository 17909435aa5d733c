"""The pool: from an expert's id to an expert that answers. It owns their lives and the memory they share."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from experts.pooling.breaker import Breaker
from experts.pooling.identity import identity
from experts.pooling.lease import Lease
from experts.pooling.member import Member
from experts.pooling.memory import MemoryBudget
from experts.pooling.opening import Opener
from experts.pooling.readiness import WELL, Readiness, State
from experts.reply import CountTokens
from experts.spec import Registry
from experts.wire import Embed


class Pool:
    """The experts of one registry. A changed registry gets a pool of its own that shares what did not change.

    successor = await pool.adopt(registry); new requests use the successor; pool.retire()

    A request keeps to one pool from its decision to its end by `with pool.hold():`; a retired pool serves those who
    hold it, and what only it needed is closed when the last of them has left. All methods belong to one event loop.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        weights_dir: Path,
        registry_dir: Path,
        embed: Embed,
        count_tokens: CountTokens,
        environ: Mapping[str, str] = os.environ,
        new_breaker: Callable[[], Breaker] = Breaker,
    ) -> None:
        """Nothing is loaded yet. Keys are looked up in `environ`. Raises OSError when an expert's file is missing."""
        self._opener = Opener(weights_dir, registry_dir, embed, count_tokens, environ)
        self._budget = MemoryBudget(registry.memory_budget_mb)
        self._new_breaker = new_breaker
        self._loads_of_past_ns = 0
        self._settle(registry, _identities(registry), {})

    def lease(self, expert_id: str) -> Lease:
        """The right to ask an expert, as an async context manager; entering it loads the expert if need be.

        Entering raises ExpertUnavailable (down, still loading, breaker open) or ExpertOverloaded. KeyError when the
        registry knows no such expert.
        """
        return Lease(self._members[expert_id])

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep every expert of this pool available until the end of the block."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            self._part_if_unheld()

    def readiness_of(self, expert_id: str) -> Readiness:
        """How one expert stands now. Raises KeyError for an unknown id."""
        return self._members[expert_id].readiness

    def down(self, expert_id: str) -> State | None:
        """The state of an expert that would not try a request sent now; None when it would. KeyError: unknown id."""
        return self._members[expert_id].down

    def all_down(self) -> dict[str, State]:
        """The state of every expert that would not try a request sent now: of most of them nothing."""
        unwell = [(expert_id, member) for expert_id, member in self._members.items() if member.state() not in WELL]
        return {expert_id: state for expert_id, member in unwell if (state := member.down) is not None}

    def readiness(self) -> Mapping[str, Readiness]:
        """How every expert stands now, in the registry's order."""
        return {expert_id: member.readiness for expert_id, member in self._members.items()}

    async def warm(self, ids: Iterable[str]) -> None:
        """Load these experts side by side. Failures are logged and seen in `readiness`; KeyError for an unknown id."""
        await asyncio.gather(*[self._members[expert_id].warm() for expert_id in ids])

    def cpu_ns(self, expert_id: str) -> int | None:
        """CPU time an expert's child processes worked so far in nanoseconds, their loading left out.

        None where nobody can say, or there is no such expert: it is read while a request ends, and by then an edit may
        have removed it.
        """
        member = self._members.get(expert_id)
        return member.cpu_ns() if member else None

    def loading_ns(self) -> int:
        """CPU time that loading took so far, of every expert this pool or one before it had."""
        return self._loads_of_past_ns + sum(member.loading_ns() for member in self._members.values())

    async def adopt(self, registry: Registry) -> Pool:
        """A pool for a changed registry. Experts that run as before are shared, others are new and not loaded.

        Raises OSError when an expert's file is missing; this pool is unchanged.
        """
        identities = await asyncio.to_thread(_identities, registry)
        successor = copy.copy(self)
        running = {self._identities[expert_id]: member for expert_id, member in self._members.items()}
        successor._settle(registry, identities, running)
        for member in self._members.values():
            if member not in successor._members.values():
                successor._loads_of_past_ns += member.loading_ns()
                self._budget.release(member)  # old and new may overlap for a moment, else no edit could go live
        return successor

    def retire(self) -> None:
        """No request will begin here any more; a second call does nothing."""
        self._retired = True
        self._part_if_unheld()

    async def aclose(self) -> None:
        """Close every expert now; a second call does nothing."""
        await asyncio.gather(*[member.aclose() for member in self._members.values()])

    def _settle(self, registry: Registry, identities: dict[str, str], running: Mapping[str, Member]) -> None:
        """Take in the experts of `registry`: those of `running`, by identity, and new ones for the rest."""
        self._identities = identities
        self._holders = 0
        self._retired = False
        self._parted = False
        self._budget.limit_mb = registry.memory_budget_mb
        self._members = {
            spec.id: running.get(identities[spec.id]) or Member(spec, self._opener, self._budget, self._new_breaker())
            for spec in registry.experts
        }
        for member in self._members.values():
            member.join()
            member.pinned = member.id == registry.fallback

    def _part_if_unheld(self) -> None:
        if self._retired and not self._holders and not self._parted:
            self._parted = True
            for member in self._members.values():
                member.part()


def _identities(registry: Registry) -> dict[str, str]:
    return {spec.id: identity(spec, registry.encoder) for spec in registry.experts}
