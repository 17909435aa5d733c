"""Responses kept for later: to go on from, to read again, to delete. A file of its own in the data folder."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from router.api.responses.answer import Cut, response_of
from router.api.responses.items import Item
from router.async_store import AsyncStore
from router.store import Format

MAX_CHAIN: Final = 512
"""Responses one conversation may be made of; a longer one has to be sent whole."""

MOST_BYTES: Final = 32 * 1024 * 1024
"""Read of one conversation at most: three bodies of the usual limit, for each response repeats its tools."""

DAY_S: Final = 86_400

TABLES: Final = """
CREATE TABLE responses (
    id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    expires_s INTEGER NOT NULL,
    previous TEXT,
    input BLOB NOT NULL,
    response BLOB NOT NULL,
    cuts BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX responses_by_expiry ON responses (expires_s)
"""

STEPS: Final = {1: "ALTER TABLE responses ADD COLUMN cuts BLOB"}

RESPONSES: Final = Format("response file", 0x53484F52, 2, TABLES, steps=STEPS)

_CHAIN: Final = """
WITH RECURSIVE chain (id, previous, depth, size) AS (
    SELECT id, previous, 1, length(input) + length(response) FROM responses
    WHERE id = :id AND key_id = :key AND expires_s > :now
    UNION ALL
    SELECT r.id, r.previous, depth + 1, size + length(r.input) + length(r.response)
    FROM responses r JOIN chain ON r.id = chain.previous
    WHERE r.key_id = :key AND r.expires_s > :now AND depth < :most AND size <= :most_bytes
)
SELECT id, previous, size FROM chain ORDER BY depth DESC
"""
"""The links of a conversation, oldest first, as far as they may be read; no word of it is read for this."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A response as it was answered, and the items that asked for it."""

    input: list[Item]
    response: dict[str, Any]
    cuts: list[list[Cut]]
    """Where a streamed one was cut into deltas; empty for a whole one."""


class Broken(Exception):
    """A conversation that cannot be gone on from: a response of it is gone."""


class TooLong(Exception):
    """What is asked for is of more than `MAX_CHAIN` responses or `MOST_BYTES`."""


class ResponseStore:
    """The file. Every method raises `StoreUnavailable` when it cannot be used; no key sees what another has stored."""

    def __init__(self, path: Path, days: int, now_s: Callable[[], float] = time.time) -> None:
        self._file = AsyncStore(path, RESPONSES)
        self._now_s = now_s
        self.days = days
        """How long responses are kept; with 0 none is."""

    async def save(
        self, key_id: str, items: list[Item], response: dict[str, Any], cuts: Sequence[Sequence[Cut]] = ()
    ) -> None:
        """Keep a response; what is past its time goes for good."""
        now_s = int(self._now_s())
        row = (
            response["id"], key_id, now_s + self.days * DAY_S, response.get("previous_response_id"),
            orjson.dumps(items), orjson.dumps(response), orjson.dumps(cuts) if cuts else None,
        )  # fmt: skip

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM responses WHERE expires_s <= ?", (now_s,))
            connection.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", row)

        await self._file.run(write)

    async def find(self, key_id: str, response_id: str) -> Kept | None:
        """The response with this id that this key stored, or None."""
        query = "SELECT input, response, cuts FROM responses WHERE id = ? AND key_id = ? AND expires_s > ?"
        asked = (response_id, key_id, int(self._now_s()))
        row = await self._file.run(lambda connection: connection.execute(query, asked).fetchone())
        return None if row is None else Kept(orjson.loads(row[0]), orjson.loads(row[1]), orjson.loads(row[2] or b"[]"))

    async def conversation(self, key_id: str, response_id: str) -> list[Item]:
        """All items up to and with the response, oldest first. Raises `Broken`, `TooLong`."""
        now_s = int(self._now_s())
        return await self._file.run(lambda connection: _conversation(connection, key_id, response_id, now_s))

    async def said(self, key_id: str, wanted: Sequence[str]) -> dict[str, Item]:
        """Those of the output items with these ids that this key stored, by id. Raises `TooLong`."""
        now_s = int(self._now_s())
        return await self._file.run(lambda connection: _named(connection, key_id, wanted, now_s))

    async def delete(self, key_id: str, response_id: str) -> bool:
        """Forget a response; False when this key has none of this id."""
        query = "DELETE FROM responses WHERE id = ? AND key_id = ?"
        return bool(await self._file.run(lambda c: c.execute(query, (response_id, key_id)).rowcount))

    async def aclose(self) -> None:
        """Close the file."""
        await self._file.aclose()


def _conversation(connection: sqlite3.Connection, key_id: str, response_id: str, now_s: int) -> list[Item]:
    asked = {"id": response_id, "key": key_id, "now": now_s, "most": MAX_CHAIN, "most_bytes": MOST_BYTES}
    links = connection.execute(_CHAIN, asked).fetchall()
    if not links:
        raise Broken
    _, before, size = links[0]
    if size > MOST_BYTES or (before is not None and len(links) == MAX_CHAIN):
        raise TooLong
    if before is not None:
        raise Broken
    items: list[Item] = []
    for link, _, _ in links:
        given, response = connection.execute("SELECT input, response FROM responses WHERE id = ?", (link,)).fetchone()
        items += [*orjson.loads(given), *_said(response)]
    return items


def _named(connection: sqlite3.Connection, key_id: str, wanted: Sequence[str], now_s: int) -> dict[str, Item]:
    query = "SELECT response FROM responses WHERE id = ? AND key_id = ? AND expires_s > ?"
    found: dict[str, Item] = {}
    size = 0
    responses = dict.fromkeys(map(response_of, wanted))
    if len(responses) > MAX_CHAIN:
        raise TooLong
    for response_id in responses:
        row = connection.execute(query, (response_id, key_id, now_s)).fetchone()
        if row is not None:
            size += len(row[0])
            if size > MOST_BYTES:
                raise TooLong
            found |= {item["id"]: item for item in _said(row[0])}
    return {identity: found[identity] for identity in wanted if identity in found}


def _said(response: bytes) -> list[Item]:
    """What a response adds to its conversation; one that failed may have stopped in the middle of a call."""
    told = orjson.loads(response)
    output: list[Item] = [] if told.get("status") == "failed" else told["output"]
    return output
