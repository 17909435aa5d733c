"""Some thousand mixed requests against an upstream that keeps its own books. `make books` asks for ten thousand."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from router.meter.money import exact_usd
from router.meter.record import Status
from router.meter.ulid import ulid_text
from tests.service.books import USD_PER_KWH, Books, Entry, drive, plans, totals, write_registry
from tests.service.server import Server
from tests.upstream import running

AUSD_PER_J = round(USD_PER_KWH * 10**18 / 3_600_000)
"""The price of electricity as the ledger charges it: whole atto-dollars a joule."""

COUNT = int(os.environ.get("BOOKS", "2000"))


def kept(server: Server) -> tuple[dict[str, Status], dict[str, list[Entry]]]:
    """The ledger's requests by how they ended, and the attempts of each as the upstream would have noted them.

    An expert that failed five times in a row is left alone for a while; attempts that never reached it are no business
    of the upstream's, and must have cost nothing.
    """
    statuses: dict[str, Status] = {}
    attempts: dict[str, list[Entry]] = defaultdict(list)
    with closing(sqlite3.connect(server.ledger)) as connection:
        names = dict(connection.execute("SELECT id, name FROM names"))
        for request_id, status in connection.execute("SELECT request_id, status FROM requests"):
            statuses[ulid_text(request_id)] = Status(status)
        query = """SELECT request_id, expert, status, input_tokens, output_tokens, cached_tokens, reasoning_tokens,
                          cache_write_tokens, cost_nusd, error_code FROM attempts ORDER BY request_id, n"""
        for request_id, expert, status, given, made, *parts, cost, error in connection.execute(query):
            if names.get(error) == "upstream_unavailable":
                assert (given, made, cost) == (0, 0, 0)
                continue
            entry = Entry(0, names[expert], Status(status).name.lower(), given, made, *parts)
            assert entry.nusd == cost, "money is tokens times the upstream's own price list"
            attempts[ulid_text(request_id)].append(entry)
    return statuses, attempts


@pytest.mark.timeout(120 + COUNT // 5)
async def test_the_upstreams_books_and_the_ledger_agree(start: Callable[..., Server], tmp_path: Path) -> None:
    books = Books()
    async with running() as upstream:
        for model in ("poet-m", "cook-m", "big-m"):
            upstream.behave(model)(books.answer)
        server = await asyncio.to_thread(start, write_registry(tmp_path, upstream))
        await drive(books, server.base, plans(COUNT))
        assert len(books.seen) > COUNT
        while Status.STARTED in (await asyncio.to_thread(kept, server))[0].values():
            await asyncio.sleep(0.05)
        statuses, attempts = await asyncio.to_thread(kept, server)
        report = await asyncio.to_thread(server.report)
        audit = await asyncio.to_thread(server.shoal, "meter", "audit")

    # Counts, tokens and money, in all.
    assert len(statuses) == len(books.seen)
    assert totals([each for own in attempts.values() for each in own]) == totals(books.entries)
    used_uj = router_uj(server)
    billed = sum(entry.nusd for entry in books.entries)
    assert report["cost_usd"] == exact_usd(billed * 10**15 + sum(used_uj.values()) * AUSD_PER_J)
    kwh = Decimal(sum(used_uj.values())) / (3_600_000 * 10**6)
    assert report["router"]["cost_usd"] == pytest.approx(float(kwh * USD_PER_KWH), rel=1e-11)
    assert report["input_tokens"] == sum(entry.input for entry in books.entries)
    assert report["output_tokens"] == sum(entry.output for entry in books.entries)
    assert report["requests"] == len(books.seen)
    assert audit.returncode == 0, audit.stdout

    # The same of every request, and what its client was told.
    noted: dict[int, list[Entry]] = defaultdict(list)
    for entry in books.entries:
        noted[entry.tag].append(entry)
    sources = Counter[str]()
    for tag, seen in books.seen.items():
        if not seen.request_id:
            continue  # it left before it was told an id
        assert seen.request_id in statuses
        own = attempts[seen.request_id]
        assert [bare(entry) for entry in own] == [bare(entry) for entry in noted[tag]]
        if seen.usage is not None:
            last = own[-1]
            assert (seen.usage["prompt_tokens"], seen.usage["completion_tokens"]) == (last.input, last.output)
        if seen.shoal is not None:
            router_yusd = used_uj[seen.request_id] * AUSD_PER_J
            assert seen.shoal["router_cost_usd"] == exact_usd(router_yusd) > 0
            assert seen.shoal["cost_usd"] == exact_usd(sum(entry.nusd for entry in own) * 10**15 + router_yusd)
            assert statuses[seen.request_id] is Status.OK
            sources[seen.shoal["token_source"]] += seen.usage is not None

    assert set(sources) == {"upstream", "estimate"}
    assert sources["estimate"] > COUNT / 100, "of these too the client was told what is charged"

    # What was only told again is in no books.
    assert len(books.replays) > COUNT / 100
    for first, again in books.replays:
        assert (again.replayed, again.usage, again.shoal) == (True, first.usage, first.shoal)
        assert again.request_id not in statuses

    # Every kind of end was there.
    ends = Counter(statuses.values())
    assert set(ends) == {Status.OK, Status.PARTIAL, Status.ERROR, Status.CANCELLED}
    assert report["escalated"]["before"] > COUNT / 100
    assert any(len(own) > 1 for own in attempts.values())


def router_uj(server: Server) -> dict[str, int]:
    """What the router's own work took for each request, by the ledger's rows."""
    with closing(sqlite3.connect(server.ledger)) as connection:
        query = "SELECT request_id, router_energy_uj FROM requests"
        return {ulid_text(request_id): energy_uj for request_id, energy_uj in connection.execute(query)}


def bare(entry: Entry) -> tuple[object, ...]:
    """Without the tag, which the ledger does not know."""
    return entry.expert, entry.status, entry.input, entry.output, entry.cached, entry.reasoning, entry.written
