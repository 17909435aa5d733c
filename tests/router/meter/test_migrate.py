"""A ledger written by an older Shoal is brought to today's tables, and nothing in it is lost."""

from __future__ import annotations

import os
import pty
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.board.overview import overview
from router.meter import seal
from router.meter.audit import audit
from router.meter.export import rows
from router.meter.ledger import Ledger, read_ledger
from router.meter.migrate import STEPS
from router.meter.record import Arm, Draw, Intent, Role, Status, Trace
from router.meter.report import report
from router.meter.schema import TABLES, VERSION
from router.meter.spans import rows_first
from router.meter.tariff import Tariffs
from router.meter.ulid import ulid_bytes
from router.meter.verified import savings
from tests.router.meter.test_paired import printed
from tests.router.meter.test_rollup import roll_up
from tests.router.meter.traffic import entries, fill, registry, shadow, without_cache_writes, without_method

MakeIntent = Callable[..., Intent]

OLD = Path(__file__).parent / "ledger_v1.sqlite"
"""Made by the Shoal of schema version 1: three requests that went well, and one that its stop interrupted."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    shutil.copy(OLD, path)
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return found


def columns(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    query = """SELECT m.name, c.name, c.type, c."notnull", c.dflt_value, c.pk
               FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'"""
    return set(connection.execute(query)) | set(
        connection.execute("SELECT 'index', name, tbl_name, 0, NULL, 0 FROM sqlite_schema WHERE type = 'index'")
    )


def test_there_is_a_step_from_every_version() -> None:
    assert sorted(STEPS) == list(range(1, VERSION))


async def test_an_old_ledger_goes_on(old: Path, intent: MakeIntent) -> None:
    assert version(old) == 1
    ledger = Ledger.open(old)
    begun = intent(trace=Trace("maker", b"vector", b"surface"))
    await ledger.begin(begun)
    await ledger.aclose()
    assert version(old) == VERSION
    with closing(read_ledger(old)) as connection:
        found = connection.execute("SELECT status, count(*) FROM requests GROUP BY 1").fetchall()
        kept = connection.execute("SELECT request_id FROM vectors").fetchall()
    assert found == [(Status.OK, 3), (Status.INTERRUPTED, 2)]
    assert kept == [(ulid_bytes(begun.request_id),)]


def test_a_report_can_be_the_first_to_open_it(old: Path) -> None:
    with closing(read_ledger(old)) as connection:
        found = report(connection, None, None)
    assert (found.total.requests, found.by_expert["sql"].requests) == (4, 3)
    assert version(old) == VERSION


def test_what_the_fallback_would_have_cost_is_unknown_where_an_old_ledger_has_no_price_of_it(old: Path) -> None:
    with closing(read_ledger(old)) as connection:
        known = report(connection, None, None)
    assert known.savings["counterfactual"]["cost_usd"] == pytest.approx(3 * 54321 / 1e9), "of its own time's price"
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE requests SET counterfactual_cost_nusd = 0")
    with closing(read_ledger(old)) as connection:
        found = report(connection, None, None, "day")
        alone = {
            row["x_counterfactual_cost_nusd"] for row in rows(connection, None, None, {}) if row["x_attempt"] == -1
        }
        curve = overview(connection, registry(), None, None)["series"]["fallback"]["cost_usd"]
    guess, (group,) = found.savings["same_token_guess"], found.groups.values()
    for told in (found.savings, guess, group.compared.to_json()):
        assert (told["cost_usd"], told["counterfactual"]["cost_usd"]) == (None, None)
        assert told["counterfactual"]["energy_j"] > 0
    assert (found.savings["share"]["cost"], found.savings["priced_part"]["requests"]) == (None, 0)
    assert alone == {None}
    assert set(curve) <= {None, 0.0} and None in curve
    text = " ".join(printed(found).split())
    assert "fallback alone unknown" in text
    assert "The fallback had no price, so what it would have cost is unknown." in text


def test_an_upgrade_says_that_it_begins_and_how_long_it_took(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_ledger(old).close()
    before, after = [record.getMessage() for record in caplog.records]
    assert before == f"ledger {old} is of version 1: it is brought to version {VERSION} first, once"
    assert re.fullmatch(rf"ledger {re.escape(str(old))} is of version {VERSION} now, after \d+\.\d s", after)
    caplog.clear()
    read_ledger(old).close()
    assert caplog.records == []


async def test_an_upgrade_tells_how_far_it_is(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "TOLD_EVERY", 3)
    told: list[tuple[int, int]] = []
    with closing(read_ledger(old)) as connection:
        seal.seals_of(connection, lambda done, whole: told.append((done, whole)))
    assert told == [(3, 4), (4, 4)]


def test_an_upgrade_shows_a_bar_on_a_terminal(old: Path) -> None:
    ours, theirs = pty.openpty()
    opening = f"from pathlib import Path; from router.meter.ledger import read_ledger; read_ledger(Path({str(old)!r}))"
    done = subprocess.run([sys.executable, "-c", opening], stderr=theirs, env=os.environ | {"TERM": "xterm"})
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.returncode == 0
    assert shown.index("is of version 1:") < shown.index("upgrading the ledger") < shown.index(f"version {VERSION} now")


def test_steps_lead_to_the_tables_of_a_new_ledger(old: Path) -> None:
    read_ledger(old).close()
    with closing(sqlite3.connect(":memory:")) as fresh, closing(sqlite3.connect(old)) as upgraded:
        fresh.executescript(TABLES)
        assert columns(upgraded) == columns(fresh)


async def test_hours_whose_rows_are_gone_keep_their_sums(old: Path) -> None:
    """Of a ledger from before reasons were kept, what can be added up again is, and the rest stays as it was."""
    with closing(sqlite3.connect(old)) as connection, connection:
        for number in range(1, 5):
            connection.executescript(STEPS[number])
        connection.execute("PRAGMA user_version = 5")
        gone = {"hour": 7, "answered_by": 1, "status": 1, "escalated": 2, "arm": 0, "n": 9}
        columns = [row[1] for row in connection.execute("PRAGMA table_info(hour_requests)")]
        values = [gone.get(name, 0) for name in columns]
        connection.execute(f"INSERT INTO hour_requests VALUES ({','.join('?' * len(values))})", values)  # noqa: S608
        connection.execute("INSERT INTO hours VALUES (7, 9, 2), (8, 5, 0)")
    with closing(read_ledger(old)) as connection:
        found = report(connection, None, None)
        assert connection.execute("SELECT hour FROM hours").fetchall() == [(7,)]
    assert found.total.requests == 4 + 9


async def test_who_was_not_drawn_is_told_apart(old: Path, intent: MakeIntent) -> None:
    drawn = Draw(Arm.NORMAL, 20_000, b"8 bytes.", 1)
    kinds = {
        "drawn": intent(draw=drawn),
        "undrawn": intent(),
        "fallback": intent(expert="chat", role=Role.FALLBACK),
        "named": intent(policy=""),
    }
    ledger = Ledger.open(old)
    for each in kinds.values():
        await ledger.begin(each)
    await ledger.aclose()
    with closing(sqlite3.connect(old)) as connection, connection:
        without_method(connection)
        connection.executescript("DROP TABLE seals; DROP TABLE device_slices")
        connection.execute("INSERT INTO hours VALUES (7, 9, 1), (8, 5, 0)")
        connection.execute("INSERT INTO days VALUES (0, 14)")
        connection.execute("PRAGMA user_version = 6")
    with closing(read_ledger(old)) as connection:
        arms = dict(connection.execute("SELECT request_id, arm FROM requests"))
        assert connection.execute("SELECT hour FROM hours").fetchall() == [(7,)]
        assert connection.execute("SELECT day FROM days").fetchall() == []
    found = {name: arms[ulid_bytes(each.request_id)] for name, each in kinds.items()}
    assert found == {"drawn": Arm.NORMAL, "undrawn": Arm.OFF, "fallback": Arm.NORMAL, "named": Arm.NORMAL}


def as_of_version_8(path: Path) -> None:
    """Make it one of the version before rows were sealed and idle energy was kept by the minute."""
    with closing(sqlite3.connect(path)) as connection, connection:
        without_method(connection)
        connection.executescript("DROP TABLE seals; DROP TABLE device_slices")
        for name in ("rows_hash", "held_hash"):
            connection.execute(f"ALTER TABLE hours ADD COLUMN {name} BLOB")
        connection.execute("PRAGMA user_version = 8")


LATER = ("router_method", "rows_hash", "held_hash", "cache_write_tokens")


def kept(path: Path) -> dict[str, list[str]]:
    """All that version 8 held, but for the hashes that became seals."""
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        for table in ("requests", "attempts", "pairs", "names", "tariffs", "hours", "hour_requests", "hour_attempts"):
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            own = ", ".join(name for name in names if name not in LATER)
            found[table] = sorted(map(repr, connection.execute(f"SELECT {own} FROM {table}")))  # noqa: S608 (constants)
    return found


async def test_an_upgrade_from_version_8_keeps_every_row_and_sum_and_what_they_say_was_saved(tmp_path: Path) -> None:
    path, tariffs, draw = tmp_path / "ledger.sqlite", Tariffs.of_registry(registry()), random.Random(5)  # noqa: S311
    traffic = list(entries(tariffs, 1500, held=True))
    held = [intent for intent, ended in traffic if intent.draw and intent.draw.held and ended.status is Status.OK]
    await fill(path, traffic, [shadow(draw, tariffs, each) for each in held])
    await roll_up(path)
    with closing(read_ledger(path)) as connection:
        before = savings(connection)
    assert before["standing"] == "provisional"
    as_of_version_8(path)
    then = kept(path)
    with closing(read_ledger(path)) as connection:
        assert (savings(connection), savings(connection, divide=rows_first)) == (before, before)
        assert audit(connection).wrong == 0
    assert version(path) == VERSION
    assert kept(path) == then


async def test_an_upgrade_from_version_13_keeps_rows_sums_and_seals(tmp_path: Path) -> None:
    """What a cache took of older requests is not known, and what comes from now on is counted."""
    path, tariffs = tmp_path / "ledger.sqlite", Tariffs.of_registry(registry())
    await fill(path, list(entries(tariffs, 300)))
    await roll_up(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        without_cache_writes(connection)
        sealed = connection.execute("SELECT * FROM seals ORDER BY hour").fetchall()
    with closing(read_ledger(path)) as connection:
        found = audit(connection)
        assert (found.findings, found.sealed_late) == ([], 0)
        assert connection.execute("SELECT * FROM seals ORDER BY hour").fetchall() == sealed
        assert report(connection, None, None).total.cache_write_tokens == 0
    assert version(path) == VERSION
    ((begun, ended),) = entries(tariffs, 1, 5)
    for each in ended.attempts:
        each.cache_write_tokens = each.input_tokens // 2
    await fill(path, [(begun, ended)])
    with closing(read_ledger(path)) as connection:
        assert report(connection, None, None).total.cache_write_tokens == ended.attempts[0].cache_write_tokens > 0
        assert not [each for each in audit(connection).findings if "seal" in each.figure]


def test_a_step_that_fails_leaves_the_old_version(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEPS, 1, STEPS[1] + "; CREATE TABLE feedback (again INTEGER)")
    with pytest.raises(Exception, match="feedback already exists"):
        read_ledger(old)
    assert version(old) == 1
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT count(*) FROM pragma_table_info('vectors')").fetchone() == (2,)
