"""The memory budget: which loaded experts fit together, and who makes room."""

from __future__ import annotations

from typing import Protocol

from experts.errors import ExpertUnavailable


class Tenant(Protocol):
    """An expert that takes memory while it is loaded."""

    id: str
    memory_mb: int
    last_used: float
    """Monotonic seconds."""

    @property
    def evictable(self) -> bool:
        """True when nobody uses or waits for it and it may be put to sleep."""

    async def sleep(self) -> None:
        """Give its memory back; it wakes when asked again."""


class MemoryBudget:
    """Counts the declared memory of loaded experts, in MiB, and never lets the sum exceed the limit."""

    def __init__(self, limit_mb: int) -> None:
        self.limit_mb = limit_mb
        self._tenants: set[Tenant] = set()

    @property
    def used_mb(self) -> int:
        """Declared memory of everyone who claimed and has not released."""
        return sum(tenant.memory_mb for tenant in self._tenants)

    async def claim(self, tenant: Tenant) -> None:
        """Count `tenant` in, putting the longest unused others to sleep until it fits.

        Raises ExpertUnavailable when it cannot fit.
        """
        if tenant in self._tenants:
            return
        while self.used_mb + tenant.memory_mb > self.limit_mb:
            idle = [other for other in self._tenants if other.memory_mb and other.evictable]
            if self.used_mb - sum(other.memory_mb for other in idle) + tenant.memory_mb > self.limit_mb:
                raise ExpertUnavailable(tenant.id, self._no_room(tenant))  # no one is put to sleep in vain
            victim = min(idle, key=lambda other: other.last_used)
            self._tenants.remove(victim)
            await victim.sleep()
        self._tenants.add(tenant)

    def release(self, tenant: Tenant) -> None:
        """Count `tenant` out; a second call does nothing."""
        self._tenants.discard(tenant)

    def _no_room(self, tenant: Tenant) -> str:
        others = ", ".join(sorted(f"{t.id} {t.memory_mb}" for t in self._tenants if t.memory_mb)) or "none"
        return (
            f"needs {tenant.memory_mb} MB, memory_budget_mb is {self.limit_mb} and the idle cannot make enough room"
            f" (in use: {others}); raise memory_budget_mb or ask again later"
        )
