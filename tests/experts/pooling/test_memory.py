from __future__ import annotations

import pytest

from experts.errors import ExpertUnavailable
from experts.pooling.memory import MemoryBudget


class Sleeper:
    """A tenant that notes whether it was put to sleep."""

    def __init__(self, name: str, memory_mb: int, last_used: float = 0.0, evictable: bool = True) -> None:
        self.id = name
        self.memory_mb = memory_mb
        self.last_used = last_used
        self.evictable = evictable
        self.asleep = False

    async def sleep(self) -> None:
        self.asleep = True


async def test_the_longest_unused_make_room_and_no_more_than_needed() -> None:
    budget = MemoryBudget(100)
    old, new, free = Sleeper("old", 40, 1), Sleeper("new", 40, 2), Sleeper("free", 0, 0)
    for tenant in (old, new, free, free):
        await budget.claim(tenant)
    await budget.claim(Sleeper("next", 60, 3))
    assert (old.asleep, new.asleep, free.asleep) == (True, False, False)
    assert budget.used_mb == 100


async def test_who_is_busy_stays_and_the_message_says_who() -> None:
    budget = MemoryBudget(100)
    busy = Sleeper("busy", 60, evictable=False)
    await budget.claim(busy)
    with pytest.raises(ExpertUnavailable, match=r"needs 50 MB, memory_budget_mb is 100 .*in use: busy 60"):
        await budget.claim(Sleeper("next", 50))
    assert not busy.asleep
    budget.release(busy)
    budget.release(busy)
    await budget.claim(Sleeper("next", 50))
    assert budget.used_mb == 50


async def test_who_never_fits_evicts_no_one() -> None:
    budget = MemoryBudget(100)
    idle = Sleeper("idle", 60)
    await budget.claim(idle)
    with pytest.raises(ExpertUnavailable, match="raise memory_budget_mb"):
        await budget.claim(Sleeper("giant", 101))
    assert not idle.asleep
