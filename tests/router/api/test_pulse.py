"""Signs of life in a quiet stream: head first, then comments, nothing once it speaks by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from router.api.pulse import COMMENT, Pulse

EARLY: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"early", b"1")]}
HEAD: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
NEVER = 3600.0


class Sent(list[Any]):
    """What went out; bodies as bytes."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()

    async def __call__(self, message: Any) -> None:
        self.append(message["body"] if message["type"] == "http.response.body" else message)
        self.changed.set()

    async def reaches(self, count: int) -> None:
        while len(self) < count:
            self.changed.clear()
            await self.changed.wait()


async def test_a_quick_stream_gets_its_own_head_and_no_comment() -> None:
    sent = Sent()
    with Pulse(sent, EARLY, NEVER, NEVER) as pulse:
        await pulse.start(HEAD)
        await pulse.send(b"a")
        await pulse.send(b"", more=False)
    assert sent == [HEAD, b"a", b""]


async def test_a_slow_stream_lives() -> None:
    sent = Sent()
    with Pulse(sent, EARLY, 0.01, 0.01) as pulse:
        assert not pulse.begun
        await sent.reaches(4)
        assert pulse.begun
        await pulse.start(HEAD)
        assert sent[0] == EARLY and HEAD not in sent
        assert set(sent[1:]) == {COMMENT}
    count = len(sent)
    await asyncio.sleep(0.05)
    assert len(sent) == count


async def test_a_silence_in_the_middle_is_filled_too() -> None:
    sent = Sent()
    with Pulse(sent, EARLY, 0.01, 0.01) as pulse:
        await pulse.start(HEAD)
        await pulse.send(b"a")
        await sent.reaches(4)
    assert sent[:4] == [HEAD, b"a", COMMENT, COMMENT]


async def test_a_client_that_reads_nothing_gets_one_comment_not_many() -> None:
    begun = []

    async def stuck(message: Any) -> None:
        begun.append(message)
        await asyncio.sleep(NEVER)

    with Pulse(stuck, EARLY, 0.001, 0.001):
        await asyncio.sleep(0.05)
    assert len(begun) == 1
