"""What the log says of what lasts: that it began and that it is over, not every request that met it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from router.meter.hours_schema import DAY_US
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import START_US, entries, fill, registry
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.service.test_disconnects import FAR, ask, at_work, leave
from tests.upstream import Exchange

CHAT = "/v1/chat/completions"
COOKFAIL = {"model": "cook", "messages": [{"role": "user", "content": "COOKFAIL"}]}


def test_a_start_long_after_the_newest_entry_says_that_nothing_is_deleted_yet(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(write_registry(tmp_path))
    server.stop()
    long_ago = list(entries(Tariffs.of_registry(registry()), 3, start_us=START_US - 300 * DAY_US))
    asyncio.run(fill(server.ledger, long_ago))
    server.start()
    (told,) = [line for line in server.log().splitlines() if "days after the newest entry of the ledger" in line]
    assert "WARNING" in told and "Remedy: if it is wrong, set it right now" in told


def test_an_expert_that_is_down_is_told_once_not_with_every_request(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(write_registry(tmp_path))
    assert {server.post(CHAT, COOKFAIL)[0] for _ in range(40)} == {503}
    told = [line for line in server.log().splitlines() if "cook: " in line and "WARNING" in line]
    assert len([line for line in told if "shoal.experts: request " in line]) == 5
    (opened,) = [line for line in told if "expert cook: " in line]
    assert "not asked" in opened
    assert server.report()["by_status"] == {"error": 40}


def test_an_expert_without_room_is_told_once_not_with_every_request(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    path = write_registry(tmp_path)
    with distant_upstream() as upstream:

        @upstream.behave("endless")
        async def endless(exchange: Exchange) -> None:
            await exchange.gone()

        path.write_text(path.read_text() + FAR.format(url=upstream.url))
        server = start(path)
        working = ask(server, "far", stream=False)
        server.wait(lambda: at_work(server, "far") == (1, 0))
        waiting = ask(server, "far", stream=False)
        server.wait(lambda: at_work(server, "far") == (1, 1))
        one_more = {**COOKFAIL, "model": "far"}
        assert {server.post(CHAT, one_more)[0] for _ in range(20)} == {503}
        (told,) = [line for line in server.log().splitlines() if "WARNING" in line]
        assert "expert far: has no room: 1 requests are being answered and 1 wait" in told
        leave(waiting, "fin")
        server.wait(lambda: at_work(server, "far") == (1, 0))
        leave(working, "fin")
        server.wait(lambda: "expert far: has room again" in server.log())


def test_a_ledger_that_is_gone_is_told_once_not_with_every_request(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(write_registry(tmp_path))
    for file in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (server.folder / "data" / file).unlink()
    assert {server.post(CHAT, COOKFAIL)[0] for _ in range(20)} == {503}
    (told,) = [line for line in server.log().splitlines() if "was deleted or moved while in use" in line]
    assert "ERROR shoal.meter: " in told
