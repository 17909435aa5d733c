from __future__ import annotations

import asyncio

import pytest

from experts.pooling.turnstile import Turnstile


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_first_come_first_served() -> None:
    gate = Turnstile(places=1, room=3)
    order: list[int] = []

    async def go(number: int) -> None:
        await gate.enter(10)
        order.append(number)

    await go(0)
    tasks = [asyncio.create_task(go(number)) for number in (1, 2, 3)]
    await settle()
    assert gate.waiting == 3 and not gate.try_enter()
    for _ in range(3):
        gate.leave()
        assert gate.inside == 1 and not gate.try_enter()
        await settle()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
    gate.leave()
    assert gate.inside == 0


async def test_a_place_given_to_one_who_has_left_passes_on() -> None:
    gate = Turnstile(places=1, room=2)
    await gate.enter(10)
    leaver, stayer = asyncio.create_task(gate.enter(10)), asyncio.create_task(gate.enter(10))
    await settle()
    gate.leave()
    leaver.cancel()  # the place was granted, but it has not run since
    await stayer
    assert gate.inside == 1 and gate.waiting == 0


async def test_full_and_too_late() -> None:
    gate = Turnstile(places=1, room=1)
    await gate.enter(10)
    with pytest.raises(TimeoutError):
        await gate.enter(0.01)
    waiter = asyncio.create_task(gate.enter(10))
    await settle()
    with pytest.raises(asyncio.QueueFull):
        await gate.enter(10)
    waiter.cancel()
    await settle()
    assert (gate.inside, gate.waiting) == (1, 0)


async def test_those_who_leave_the_queue_together_with_the_one_inside_take_no_place_with_them() -> None:
    gate = Turnstile(places=1, room=4)
    await gate.enter(10)
    first, second, stayer = (asyncio.create_task(gate.enter(10)) for _ in range(3))
    await settle()
    first.cancel()
    second.cancel()
    gate.leave()  # before the two have run: their places in the queue are still there
    await stayer
    for gone in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert (gate.inside, gate.waiting) == (1, 0)
    gate.leave()
    assert gate.inside == 0 and gate.try_enter()


async def test_a_place_is_free_when_all_who_waited_have_left() -> None:
    gate = Turnstile(places=1, room=4)
    await gate.enter(10)
    gone = asyncio.create_task(gate.enter(10))
    await settle()
    gone.cancel()
    gate.leave()
    assert gate.inside == 0 and gate.try_enter()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert (gate.inside, gate.waiting) == (1, 0)
