"""A process that writes a ledger, for tests that kill it: tells on its output what it was told is durable.

Usage: writer.py LEDGER REQUESTS HOLD, where HOLD leaves that many requests open and waits to be killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from conftest import make_intent, make_outcome

from router.meter.ledger import Ledger


def tell(word: str, request_id: str = "") -> None:
    os.write(1, f"{word} {request_id}\n".encode())


async def serve(ledger: Ledger, count: int) -> None:
    for _ in range(count):
        intent = make_intent()
        await ledger.begin(intent)
        tell("begun", intent.request_id)
        await asyncio.sleep(0)
        await ledger.finish(make_outcome(intent.request_id))
        tell("finished", intent.request_id)


async def main(path: Path, requests: int, hold: int) -> None:
    ledger = Ledger.open(path)
    for _ in range(hold):
        intent = make_intent()
        await ledger.begin(intent)
        ledger.checkpoint(intent.request_id, 40)
        await ledger.begin(make_intent())
    tell("ready")
    workers = 8
    await asyncio.gather(*[serve(ledger, requests // workers) for _ in range(workers)])
    tell("done")
    if hold:
        await asyncio.Event().wait()
    await ledger.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
