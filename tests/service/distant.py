"""The misbehaving upstream of `tests.upstream` on a thread of its own, for servers that run in another process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.upstream import Upstream, running


@contextmanager
def distant_upstream() -> Iterator[Upstream]:
    """A running upstream; it and every connection to it end with the block."""
    started: list[Upstream] = []
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running() as upstream:
            started.append(upstream)
            ready.set()
            await asyncio.to_thread(over.wait)
            serving = asyncio.all_tasks() - {asyncio.current_task()}
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)
            for exchange in upstream.seen:
                exchange.writer.transport.abort()  # what nobody read would be waited for
            await asyncio.sleep(0.01)  # closed connections are taken down in the loop's next rounds

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield started[0]
    finally:
        over.set()
        thread.join()
