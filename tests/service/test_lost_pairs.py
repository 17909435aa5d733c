"""The disk is full when what ran beside a held-back answer is to be written: it waits for room, or is told as lost."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from router.meter.audit import audit
from router.meter.ledger import read_ledger
from router.meter.paired import read
from tests.router.meter.test_ledger_faults import fill, small_disk
from tests.service.distant import distant_upstream
from tests.service.server import DRAWS, Server, eventually, write_registry
from tests.upstream import Exchange, answer_well

HERE = "kind: scripted\n    description: Writes poems\n    script: poet.jsonl\n"
FAR = "kind: openai\n    url: {url}\n    model: far\n    description: Writes poems\n"


@dataclass
class Filled:
    """A server whose disk filled while the small path ran beside its second held-back answer."""

    server: Server
    ballast: Path
    """The file that took the room."""

    def found(self) -> tuple[int, int, int]:
        """What the audit calls wrong, held-back requests without a pair, and those that savings are estimated from."""
        with closing(read_ledger(self.server.ledger)) as connection:
            told, (segment,) = audit(connection), read(connection).segments
        return told.wrong, told.without_shadow, len(segment.traffic.held.domain)


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    registry, disk = write_registry(tmp_path), tmp_path / "data"
    with small_disk(disk, "4m"), distant_upstream() as far:
        (disk / "holdback.key").write_bytes(DRAWS)
        told = registry.read_text().replace(HERE, FAR.format(url=far.url))
        registry.write_text(f"{told}savings: {{holdback: 0.5}}\n")
        found = Filled(Server(tmp_path, registry).start(), disk / "fill")
        poem = held(found.server)
        eventually(lambda: found.found() == (0, 0, 1), lambda: str(found.found()))

        answered, over = threading.Event(), threading.Event()

        @far.behave("far")
        async def beside(exchange: Exchange) -> None:
            await asyncio.to_thread(answered.wait)
            fill(disk)
            await answer_well(exchange)
            over.set()

        assert found.server.post("/v1/chat/completions", poem)[1]["shoal"]["held_back"]
        answered.set()  # its own entry was on the disk before it was answered
        over.wait()
        eventually(lambda: "what ran beside it" in found.server.log())
        yield found
        if found.server.process is not None and found.server.process.poll() is None:
            found.server.stop(signal.SIGKILL)


def held(server: Server) -> dict[str, object]:
    """What is held back whenever it is asked."""
    for number in range(50):
        messages = [{"role": "user", "content": f"write a poem about the sea, number {number}"}]
        if server.post("/v1/chat/completions", {"model": "auto", "messages": messages})[1]["shoal"]["held_back"]:
            return {"model": "auto", "messages": messages}
    raise AssertionError("nobody was held back")


def test_a_pair_that_finds_the_disk_full_is_written_when_there_is_room(filled: Filled) -> None:
    assert filled.found() == (0, 1, 1)
    filled.ballast.unlink()
    eventually(lambda: filled.found() == (0, 0, 2), lambda: str(filled.found()))


def test_a_pair_lost_with_a_server_that_stops_on_a_full_disk_accuses_nobody_and_counts_for_nothing(
    filled: Filled,
) -> None:
    filled.server.stop()
    filled.ballast.unlink()
    beside = "what ran there is under way, was lost in a crash or on a full disk, or was taken out"
    told = f"1 held-back request has nothing beside it: {beside}"
    for _ in range(2):
        done = filled.server.shoal("meter", "audit")
        assert (done.returncode, told in done.stdout) == (0, True), done.stdout
        assert filled.found() == (0, 1, 1), "and it is none of those that savings are estimated from"
        filled.server.start().stop()
    assert "1 entry could not be written" in filled.server.log()
