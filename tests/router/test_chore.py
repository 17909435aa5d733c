from __future__ import annotations

import asyncio
import logging

import pytest

from experts.errors import ShoalError
from router.chore import chore


async def done(errors: list[Exception | None], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is told of so many turns, each raising what is listed for it."""
    caplog.set_level(logging.INFO, "shoal")
    turns, ended = iter(errors), asyncio.Event()

    async def turn() -> None:
        error = next(turns, StopIteration)
        if error is StopIteration:
            ended.set()
        elif error is not None:
            raise error

    task = asyncio.create_task(chore("it could not be done", turn, 0.0))
    await ended.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return [record.getMessage() for record in caplog.records]


async def test_whatever_goes_wrong_is_told_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    told = await done([ValueError("nobody foresaw this"), ShoalError("full"), OSError("gone")], caplog)
    assert told[:3] == [
        f"it could not be done: {what}" for what in ("ValueError('nobody foresaw this')", "full", "gone")
    ]
    assert [bool(record.exc_info) for record in caplog.records[:3]] == [True, False, False]


async def test_the_same_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    told = await done([ShoalError("full"), ShoalError("full"), None, None, ShoalError("full"), KeyError()], caplog)
    full = "it could not be done: full"
    assert told[:4] == [full, f"well again after: {full}", full, "it could not be done: KeyError()"]
