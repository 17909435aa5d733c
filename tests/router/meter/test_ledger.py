from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from router.meter.errors import EntryRefused, MeterUnavailable
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Attempt, Draw, EnergyMethod, Intent, Outcome, Role, Status
from router.meter.schema import TABLES
from router.meter.ulid import ulid_bytes, ulid_text

MakeIntent = Callable[..., Intent]
MakeOutcome = Callable[..., Outcome]
MakeAttempt = Callable[..., Attempt]

MOST_BYTES = 260
"""A request may take on disk, without its prompt."""


def rows(path: Path, query: str, *values: object) -> list[tuple[object, ...]]:
    with closing(read_ledger(path)) as connection:
        return connection.execute(query, values).fetchall()


async def test_a_begun_request_is_on_disk(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    begun = intent()
    await ledger.begin(begun)
    assert rows(path, "SELECT request_id, status, ts_us FROM requests") == [
        (ulid_bytes(begun.request_id), Status.STARTED, begun.ts_us)
    ]
    await ledger.aclose()


async def test_every_field_comes_back_as_it_went_in(
    path: Path, intent: MakeIntent, outcome: MakeOutcome, attempt: MakeAttempt
) -> None:
    ledger = Ledger.open(path)
    begun = intent(stream=True, retry_count=2, draw=Draw(Arm.HOLDBACK, 20_000, b"8 bytes.", 3))
    failed = attempt(status=Status.ERROR, error_code="timed_out", finish_reason=None, first_byte_us=None)
    answered = attempt(
        expert="chat",
        role=Role.FALLBACK,
        cached_tokens=7,
        cache_write_tokens=3,
        reasoning_tokens=9,
        energy_method=EnergyMethod.TABLE,
    )
    ended = outcome(begun.request_id, answered_by="chat", escalated="after", attempts=[failed, answered])
    await ledger.begin(begun)
    await ledger.finish(ended)
    with closing(ledger.read()) as connection:
        connection.row_factory = sqlite3.Row
        names = dict(connection.execute("SELECT id, name FROM names").fetchall())
        request = dict(connection.execute("SELECT * FROM requests").fetchone())
        attempts = [dict(row) for row in connection.execute("SELECT * FROM attempts ORDER BY n")]
    await ledger.aclose()

    assert ulid_text(request["request_id"]) == begun.request_id
    assert [request[name] for name in ("arm", "pi_ppm", "seed_version", "conversation")] == [1, 20_000, 3, b"8 bytes."]
    asked = begun.request
    entered = {"endpoint": asked.endpoint, "requested_model": asked.model, "key": asked.key_id, "stream": asked.stream}
    entered["retry_count"] = asked.retry_count
    assert {name: as_stored(value, names) for name, value in entered.items()} == {
        name: request[name] for name in entered
    }
    for record in (begun, ended):
        for field in record.__slots__:
            if field not in (
                "request",
                "request_id",
                "attempts",
                "trace",
                "draw",
                "decision",
                "grid",
                "terms",
                "electricity",
                "arm",
                "router_awaits_counter",
            ):  # the arm: above and below
                assert as_stored(getattr(record, field), names) == request[field], field
    ppm = ("probability_ppm", "threshold_ppm", "known_ppm", "ci_mg_per_kwh")
    assert [request[name] for name in ppm] == [930_000, 810_000, 512_345, 458_290]
    named = {name: names[request[name]] for name in ("policy", "expert", "label", "fallback")}
    assert named == {"policy": "balanced", "expert": "sql", "label": "text-to-sql", "fallback": "chat"}
    versions = [names[request[name]] for name in ("grid_version", "coefficient_version")]
    assert versions == [begun.grid.version, begun.terms.version]
    assert [row["n"] for row in attempts] == [0, 1]
    for record, row in zip(ended.attempts, attempts, strict=True):
        kept = set(record.__slots__) - {"awaits_counter"}  # said while the request is under way, to nobody later
        assert {field: as_stored(getattr(record, field), names) for field in kept} == {
            field: row[field] for field in kept
        }


async def test_an_arm_told_at_the_end_takes_the_place_of_the_first(
    path: Path, intent: MakeIntent, outcome: MakeOutcome
) -> None:
    ledger = Ledger.open(path)
    begun = [intent(draw=Draw(Arm.NORMAL, 20_000, b"8 bytes.", 3)) for _ in range(2)]
    for each, arm in zip(begun, (None, Arm.FAILED), strict=True):
        await ledger.begin(each)
        await ledger.finish(outcome(each.request_id, arm=arm))
    with closing(ledger.read()) as connection:
        found = dict(connection.execute("SELECT request_id, arm FROM requests").fetchall())
    await ledger.aclose()
    assert {ulid_text(key): arm for key, arm in found.items()} == {
        begun[0].request_id: Arm.NORMAL,
        begun[1].request_id: Arm.FAILED,
    }


def as_stored(value: object, names: dict[int, str]) -> object:
    """A field as its column holds it: strings as their numbers, empty ones as NULL."""
    if not isinstance(value, str):
        return value
    return next((number for number, name in names.items() if name == value), "not interned") if value else None


async def test_many_at_once_all_arrive(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)

    async def serve() -> None:
        begun = intent()
        await ledger.begin(begun)
        await ledger.finish(outcome(begun.request_id))

    await asyncio.gather(*[serve() for _ in range(1500)])
    await ledger.aclose()
    assert rows(path, "SELECT status, count(*) FROM requests GROUP BY 1") == [(Status.OK, 1500)]
    assert rows(path, "SELECT count(*) FROM attempts") == [(1500,)]
    assert rows(path, "SELECT count(*) FROM names WHERE name = 'text-to-sql'") == [(1,)]


async def test_a_wait_that_is_cancelled_loses_nothing(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    begun = intent()
    await ledger.begin(begun)
    leaving = ledger.finish(outcome(begun.request_id, status=Status.CANCELLED))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await ledger.aclose()
    assert rows(path, "SELECT status FROM requests") == [(Status.CANCELLED,)]


async def test_what_follows_a_commit_may_fail_and_nothing_is_lost(
    path: Path, intent: MakeIntent, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = Ledger.open(path)
    seen: list[str] = []

    def afterwards() -> None:
        seen.append("called")
        raise RuntimeError("no matter")

    ledger.afterwards(afterwards)
    for _ in range(2):
        await ledger.begin(intent())
    await ledger.aclose()
    assert len(seen) == 2
    assert "no matter" in caplog.text
    assert rows(path, "SELECT count(*) FROM requests") == [(2,)]


async def test_an_id_is_used_once(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    begun = intent()
    others = [intent() for _ in range(20)]
    results = await asyncio.gather(
        ledger.begin(begun), *map(ledger.begin, others), ledger.begin(begun), return_exceptions=True
    )
    await ledger.aclose()
    assert [type(result) for result in results] == [type(None)] * 21 + [EntryRefused]
    assert rows(path, "SELECT count(*) FROM requests") == [(21,)]


@pytest.mark.parametrize(
    "bad",
    [
        {"request_id": "no-ulid"},
        {"probability": 1e70},
        {"retry_count": 0.93},
        {"ts_us": None},
    ],
)
async def test_an_impossible_entry_is_refused_alone(path: Path, intent: MakeIntent, bad: dict[str, object]) -> None:
    ledger = Ledger.open(path)
    good = [intent() for _ in range(8)]
    results = await asyncio.gather(*map(ledger.begin, [*good, intent(**bad)]), return_exceptions=True)
    await ledger.aclose()
    assert [type(result) for result in results] == [type(None)] * 8 + [EntryRefused]
    assert rows(path, "SELECT count(*) FROM requests") == [(8,)]


async def test_a_finish_without_a_begin_is_refused(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    begun = intent()
    await ledger.begin(begun)
    stranger = ledger.finish(outcome(intent().request_id))
    results = await asyncio.gather(stranger, ledger.finish(outcome(begun.request_id)), return_exceptions=True)
    await ledger.aclose()
    assert [type(result) for result in results] == [EntryRefused, type(None)]
    assert rows(path, "SELECT count(*) FROM attempts") == [(1,)]


async def test_finishing_twice_keeps_the_later(path: Path, intent: MakeIntent, outcome: MakeOutcome) -> None:
    ledger = Ledger.open(path)
    begun = intent()
    await ledger.begin(begun)
    await ledger.finish(outcome(begun.request_id))
    await ledger.finish(outcome(begun.request_id, status=Status.PARTIAL))
    await ledger.aclose()
    assert rows(path, "SELECT status FROM requests") == [(Status.PARTIAL,)]
    assert rows(path, "SELECT count(*) FROM attempts") == [(1,)]


async def test_strings_from_outside_can_be_anything(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    for name in ("\ud800 alone", "nul \x00 inside", "x" * 10_000, "'; DROP TABLE requests; --", "日本"):
        await ledger.begin(intent(requested_model=name))
    await ledger.aclose()
    assert rows(path, "SELECT count(*), max(length(name)) FROM requests JOIN names ON id = requested_model") == [
        (5, 200)
    ]


async def test_more_names_than_are_remembered(path: Path, intent: MakeIntent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.meter.store.MOST_NAMES", 20)
    ledger = Ledger.open(path)
    await asyncio.gather(*[ledger.begin(intent(label=f"label {i % 40}")) for i in range(200)])
    await ledger.aclose()
    query = "SELECT count(*), count(DISTINCT n.id) FROM requests r JOIN names n ON n.id = r.label"
    assert rows(path, query) == [(200, 40)]


async def test_a_closed_ledger_takes_nothing(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    await ledger.aclose()
    await ledger.aclose()
    with pytest.raises(MeterUnavailable, match="closed"):
        await ledger.begin(intent())
    ledger.checkpoint(intent().request_id, 3)


async def test_what_is_open_at_the_end_is_interrupted(path: Path, intent: MakeIntent) -> None:
    ledger = Ledger.open(path)
    begun = intent()
    await ledger.begin(begun)
    ledger.checkpoint(begun.request_id, 16)
    ledger.checkpoint(begun.request_id, 32)
    await ledger.aclose()
    assert rows(path, "SELECT status FROM requests") == [(Status.INTERRUPTED,)]
    assert rows(path, "SELECT status, output_tokens FROM attempts") == [(Status.INTERRUPTED, 32)]
    assert rows(path, "SELECT count(*) FROM boots WHERE ended_us IS NULL") == [(0,)]
    assert list(path.parent.glob("*.boots/*")) == []


async def test_what_was_counted_of_one_held_back_is_the_fallbacks(path: Path, intent: MakeIntent) -> None:
    """It was asked in the place of the small expert that the decision names."""
    ledger = Ledger.open(path)
    begun = intent(draw=Draw(Arm.HOLDBACK, 10_000, bytes(8), 1), role=Role.FALLBACK)
    await ledger.begin(begun)
    ledger.checkpoint(begun.request_id, 64)
    await ledger.aclose()
    query = "SELECT n.name, a.role, a.output_tokens FROM attempts a JOIN names n ON n.id = a.expert"
    assert rows(path, query) == [(begun.terms.fallback, Role.FALLBACK, 64)]


async def test_nothing_can_be_written_through_a_reader(path: Path) -> None:
    ledger = Ledger.open(path)
    with closing(ledger.read()) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM requests")
    await ledger.aclose()


async def test_a_request_takes_little_room(
    path: Path, intent: MakeIntent, outcome: MakeOutcome, attempt: MakeAttempt
) -> None:
    ledger = Ledger.open(path)
    count = 20_000

    async def serve(i: int) -> None:
        begun = intent(label=f"label {i % 150}", key_id=f"key {i % 200}", probability=0.5 + i / 1e6)
        await ledger.begin(begun)
        tries = [replace(attempt(), cost_nusd=i * 7, energy_uj=1_000_000 + i * 997, total_us=900_000 + i)]
        await ledger.finish(outcome(begun.request_id, attempts=tries, total_us=1_000_000 + i))

    for start in range(0, count, 500):
        await asyncio.gather(*map(serve, range(start, start + 500)))
    await ledger.aclose()
    assert path.stat().st_size / count <= MOST_BYTES


def test_every_column_counts() -> None:
    """No floats; text only in names, in what tariffs said, and in `texts`, which is empty unless asked for."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        found = connection.execute(
            """SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
               WHERE m.type = 'table' AND c.type <> 'INTEGER' ORDER BY 1"""
        ).fetchall()
    assert [name for (name,) in found] == [
        "attempts.request_id",
        "boots.name",
        "feedback.request_id",
        "names.name",
        "pairs.request_id",
        "rejected.request_id",
        "requests.conversation",
        "requests.request_id",
        "seeds.fingerprint",
        "tariffs.body",
        "texts.comment",
        "texts.expected",
        "texts.request_id",
        "texts.text",
        "vectors.request_id",
        "vectors.surface",
        "vectors.vector",
    ]
