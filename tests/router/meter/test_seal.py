"""Rows that somebody changed, added or took out are found, in hours that are added up and in those that are not."""

# ruff: noqa: S608 (statements are made of constants)

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.audit import audit
from router.meter.errors import MeterUnavailable
from router.meter.findings import Audit
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger, read_ledger
from router.meter.seal import _hashed
from router.meter.store import Store
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import HOUR_US, KEY, START_US, entries, fill, registry, unsealed, without_method

ROWS = "seal of requests and attempts"
BESIDE = "seal of what ran beside, and of pairs"
DEVICES = "seal of devices"
WORDS = "seal of names, tariffs, runs and draws' keys"
FAILED = "(SELECT request_id FROM requests WHERE status = 3 LIMIT 1)"
ANY = "(SELECT request_id FROM requests LIMIT 1)"
HOUR = "(SELECT min(ts_us) / 3600000000 FROM requests)"
COPIED = "x'01A1B2C3D4E5F60718293A4B5C6D7E8F'"


def set_to(change: str, where: str = "1") -> tuple[str, str]:
    return f"UPDATE requests SET {change} WHERE {where}", ROWS


TAMPERINGS: dict[str, tuple[str, str]] = {
    "an attempt of a failed request is gone": (f"DELETE FROM attempts WHERE request_id = {FAILED} AND n = 1", ROWS),
    "no attempt of a failed request is left": (f"DELETE FROM attempts WHERE request_id = {FAILED}", ROWS),
    "the router took nothing": set_to("router_cpu_us = 0, router_energy_uj = 0, router_co2_ug = 0"),
    "an expert took nothing": (
        "UPDATE attempts SET cpu_us = 0, energy_uj = 0, co2_ug = 0 WHERE energy_method = 1", ROWS
    ),
    "a word was shorter everywhere": (
        "UPDATE attempts SET reasoning_tokens = 0, token_source = NULL, finish_reason = NULL", ROWS
    ),
    "nothing was written into a cache": ("UPDATE attempts SET cache_write_tokens = 0", ROWS),
    "more was written into a cache": ("UPDATE attempts SET cache_write_tokens = cache_write_tokens + 1", ROWS),
    "a client left later": ("UPDATE attempts SET total_us = total_us + 1 WHERE status = 4", ROWS),
    "no pairs": ("DELETE FROM pairs", BESIDE),
    "all pairs are the same": ("UPDATE pairs SET same = 1", BESIDE),
    "a grade": ("UPDATE pairs SET small_ppm = 1000000, fallback_ppm = 0", BESIDE),
    "nothing ran beside": ("DELETE FROM pairs; DELETE FROM attempts WHERE n >= 253", BESIDE),
    "why": set_to(
        "why = (SELECT id FROM names WHERE name = 'too_long')", "escalated IS NOT NULL AND role = 2"
    ),
    "how probable": set_to("probability_ppm = probability_ppm + 1"),
    "how probable it had to be": set_to("threshold_ppm = 700000"),
    "how known": set_to("known_ppm = known_ppm + 1"),
    "streamed": set_to("stream = 1 - stream"),
    "asked again": set_to("retry_count = retry_count + 1"),
    "by another registry": set_to("registry_version = registry_version + 1"),
    "by another policy": set_to("policy = policy + 1"),
    "by another key": set_to("key = (SELECT id FROM names WHERE name = 'team-a')"),
    "of another domain": set_to("label = (SELECT id FROM names WHERE name = 'law')"),
    "another question": set_to("requested_model = 1"),
    "at another door": set_to("endpoint = endpoint + 1"),
    "by a grid of a file": set_to("grid_version = (SELECT id FROM names WHERE name = 'team-a')"),
    "by a grid of a file, twice as clean": set_to(
        "grid_version = (SELECT id FROM names WHERE name = 'team-a'), ci_mg_per_kwh = ci_mg_per_kwh / 2"
    ),
    "the share of those held back": set_to("pi_ppm = 999999", "arm = 1"),
    "the share of those not held back": set_to("pi_ppm = 1", "pi_ppm IS NOT NULL AND arm = 0"),
    "one conversation": set_to("conversation = (SELECT conversation FROM requests WHERE arm = 1 LIMIT 1)", "arm = 1"),
    "never drawn": set_to("pi_ppm = NULL, seed_version = NULL, conversation = NULL, arm = 2", "arm = 0 AND role = 0"),
    "half an hour later": set_to("ts_us = ts_us + 1800000000", "arm = 1"),
    "half an hour earlier": set_to("ts_us = ts_us - 1800000000", "arm = 0"),
    "a minute later": set_to("ts_us = ts_us + 60000000", "arm = 0"),
    "encoded faster": set_to("encode_us = 1"),
    "idle twice, with its counter": (
        "UPDATE device_hours SET counter_uj = counter_uj + idle_uj, idle_uj = 2 * idle_uj", DEVICES
    ),
    "no idle": ("UPDATE device_hours SET counter_uj = counter_uj - idle_uj, idle_uj = 0", DEVICES),
    "more by the router, without its counter": ("UPDATE device_hours SET router_uj = router_uj + 1", DEVICES),
    "cleaner idle": ("UPDATE device_hours SET idle_co2_ug = idle_co2_ug + 1", DEVICES),
    "a device of another run": ("UPDATE device_hours SET missed = 9, samples = 9, pue_ppm = 1000000", DEVICES),
    "idle at another time": (
        "UPDATE device_slices SET since_us = since_us + 1000000, until_us = until_us + 1000000", DEVICES
    ),
    "no idle by the minute": ("DELETE FROM device_slices", DEVICES),
    "a request is gone with all that is of it": (
        "".join(
            f"DELETE FROM {table} WHERE request_id = {ANY};"
            for table in ("attempts", "pairs", "feedback", "vectors", "texts", "requests")
        ),
        ROWS,
    ),
    "a request that never was": (
        f"INSERT INTO attempts SELECT {COPIED}, n, expert, role, status, input_tokens, output_tokens, cached_tokens,"
        " reasoning_tokens, token_source, cpu_us, cost_nusd, price_version, energy_uj, energy_method, co2_ug,"
        " first_byte_us, total_us, finish_reason, error_code, cache_write_tokens FROM attempts"
        f" WHERE request_id = {ANY};"
        f"CREATE TEMP TABLE one AS SELECT * FROM requests WHERE request_id = {ANY};"
        f"UPDATE one SET request_id = {COPIED}, ts_us = 1793545035493000; INSERT INTO requests SELECT * FROM one",
        ROWS,
    ),
    "a request is under way again": set_to("status = 0", "status = 3"),
    "a rating": ("UPDATE feedback SET score_ppm = 0", "seal of feedback"),
    "no rating": ("DELETE FROM feedback", "seal of feedback"),
    "a rating that nobody gave": (
        "INSERT INTO feedback SELECT request_id, ts_us, 1000000 FROM requests WHERE ts_us > 1793520000000000 "
        "AND request_id NOT IN (SELECT request_id FROM feedback) LIMIT 1",
        "seal of feedback",
    ),
    "a key has another name": ("UPDATE names SET name = 'team-c' WHERE name = 'team-a'", WORDS),
    "a word that is no text": ("UPDATE names SET name = CAST(x'FF' AS TEXT) WHERE name = 'team-a'", WORDS),
    "no tariffs": ("DELETE FROM tariffs", WORDS),
    "a longer run": ("UPDATE boots SET started_us = started_us - 1", WORDS),
    "a run of another process": ("UPDATE boots SET pid = pid + 1, ended_us = ended_us + 1", WORDS),
    "no seals": ("DELETE FROM seals", "seal of everything"),
    "an hour is gone with its seal": (
        f"CREATE TEMP TABLE gone AS SELECT {HOUR} AS hour;"
        + "".join(
            f"DELETE FROM {table} WHERE request_id IN (SELECT request_id FROM requests JOIN gone"
            " ON ts_us / 3600000000 = hour);"
            for table in ("attempts", "pairs", "feedback", "vectors", "texts", "requests")
        )
        + "".join(
            f"DELETE FROM {table} WHERE hour IN (SELECT hour FROM gone);"
            for table in ("seals", "hours", "hour_requests", "hour_attempts")
        )
        + "DELETE FROM days; DELETE FROM day_requests; DELETE FROM day_attempts",
        "rows",
    ),
    "sealed late": (f"UPDATE seals SET late = 1 WHERE hour = {HOUR}", "late"),
}  # fmt: skip
"""What somebody does to a ledger, and one of the figures that tell."""


GONE = "IN (SELECT hour FROM hours WHERE pruned > 0)"
OF_OLD_HOURS = {
    "UPDATE requests SET pi_ppm = 999999 WHERE arm = 1": ROWS,
    "DELETE FROM pairs": BESIDE,
    f"UPDATE hour_attempts SET cost_nusd = 2 * cost_nusd WHERE hour {GONE};"
    "UPDATE day_attempts SET cost_nusd = 2 * cost_nusd": "seal of the sums of rows that are gone",
    f"UPDATE hour_attempts SET cache_write_tokens = 0 WHERE hour {GONE};"
    "UPDATE day_attempts SET cache_write_tokens = 0": "seal of the sums of rows that are gone",
}
"""What somebody does to one whose rows were old and are gone, but for those held back."""


def copied(ledger: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "ledger.db"
    shutil.copy(ledger, path)
    return path


def changed(path: Path, statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        before = connection.total_changes
        connection.executescript(statements)
        assert connection.total_changes > before, "nothing was changed"


def audited(path: Path) -> Audit:
    with closing(read_ledger(path)) as connection:
        return audit(connection, KEY)


async def test_seals_from_before_the_router_could_be_measured_hold(everything: Path, tmp_path: Path) -> None:
    path = copied(everything, tmp_path)
    ledger = Ledger.open(path)
    assert await ledger.prune(START_US + DAY_US)
    await ledger.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM hours WHERE pruned > 0").fetchone()[0] > 3
        without_method(connection)
        before = connection.execute("SELECT * FROM seals").fetchall()
    found = audited(path)
    assert (found.findings, found.sealed_late) == ([], 0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM seals").fetchall() == before
    changed(path, "UPDATE requests SET router_method = 2 WHERE request_id = (SELECT min(request_id) FROM requests)")
    assert ROWS in audited(path).by_figure


@pytest.mark.parametrize("ledger", ["fresh", "everything"], ids=["open hours", "hours added up"])
@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_is_changed_is_found(what: str, ledger: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = copied(request.getfixturevalue(ledger), tmp_path)
    statements, figure = TAMPERINGS[what]
    changed(path, statements)
    assert figure in audited(path).by_figure


NONSENSE = [
    "UPDATE requests SET ts_us = 9223372036854775807",
    "UPDATE requests SET ts_us = -9223372036854775807 WHERE arm = 1",
    "UPDATE requests SET request_id = CAST(request_id || x'00' AS BLOB)",
    "UPDATE requests SET router_energy_uj = 9223372036854775807",
    "UPDATE requests SET arm = 77",
    "UPDATE attempts SET cost_nusd = 9223372036854775807",
    "UPDATE attempts SET n = n - 9223372036854775807",
    "UPDATE hour_requests SET arm = NULL",
    "UPDATE day_attempts SET energy_uj = 9223372036854775807",
    "UPDATE device_hours SET counter_uj = 9223372036854775807, hour = 9223372036854775807",
    "UPDATE hours SET pruned = 3",
    "UPDATE tariffs SET body = '{}'",
    "UPDATE tariffs SET body = CAST(x'FF' AS TEXT)",
    "UPDATE seals SET rows = -9223372036854775807, hour = hour - 9223372036854775807",
]


@pytest.mark.parametrize("statements", NONSENSE)
def test_what_nothing_can_be_computed_with_does_not_add_up(statements: str, everything: Path, tmp_path: Path) -> None:
    path = copied(everything, tmp_path)
    changed(path, statements)
    assert audited(path).wrong


def test_what_the_ledger_does_itself_is_no_change(fresh: Path, everything: Path) -> None:
    for path in (fresh, everything):
        found = audited(path)
        assert (found.findings, found.sealed_late) == ([], 0)


async def test_what_is_left_of_old_hours_is_sealed(everything: Path, tmp_path: Path) -> None:
    path = copied(everything, tmp_path)
    ledger = Ledger.open(path)
    assert await ledger.prune(START_US + DAY_US)
    await ledger.purge(*[START_US + DAY_US] * 3)
    await ledger.aclose()
    found = audited(path)
    assert (found.findings, found.sealed_late) == ([], 0)
    assert found.only_sums > 50
    for number, (change, figure) in enumerate(OF_OLD_HOURS.items()):
        again = copied(path, tmp_path / str(number))
        changed(again, change)
        assert figure in audited(again).by_figure


async def test_rows_from_before_there_were_seals_are_sealed_at_the_upgrade(everything: Path, tmp_path: Path) -> None:
    path = copied(everything, tmp_path)
    unsealed(path)
    with closing(sqlite3.connect(path)) as connection:
        (hours,) = connection.execute("SELECT count(DISTINCT ts_us / 3600000000) FROM requests").fetchone()
    found = audited(path)
    assert (found.findings, found.sealed_late) == ([], hours)
    traffic = list(entries(Tariffs.of_registry(registry()), 10, 7, START_US + 40 * HOUR_US, hours=1.0))
    await fill(path, traffic)
    found = audited(path)
    assert (found.findings, found.sealed_late) == ([], hours)
    changed(path, "UPDATE requests SET label = NULL")
    assert ROWS in audited(path).by_figure


async def test_an_end_that_was_written_though_the_disk_refused_is_sealed_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit can fail when all of it is on the disk already; its outcomes are written again."""
    traffic = list(entries(Tariffs.of_registry(registry()), 12))
    ledger, commit, left = Ledger.open(path), Store._commit, [1]

    def refused(store: Store, *told: object) -> None:
        commit(store, *told)  # type: ignore[arg-type]
        if left:
            left.pop()
            raise sqlite3.OperationalError("disk I/O error")

    for begun, _ in traffic:
        await ledger.begin(begun)
    monkeypatch.setattr(Store, "_commit", refused)
    written = [ledger.finish(ended) for _, ended in traffic]
    for each in written:
        try:
            await each
        except MeterUnavailable as error:
            assert "disk I/O error" in str(error)
    await ledger.aclose()
    assert not left
    found = audited(path)
    assert (found.requests, found.findings) == (12, [])


async def test_requests_of_a_run_that_died_are_sealed_as_they_are_closed(path: Path) -> None:
    traffic = list(entries(Tariffs.of_registry(registry()), 5))
    ledger = Ledger.open(path)
    for begun, _ in traffic:
        await ledger.begin(begun)
        ledger.checkpoint(begun.request_id, 64)
    await ledger.aclose()
    found = audited(path)
    assert (found.requests, found.attempts, found.findings) == (5, 5, [])
    changed(path, "UPDATE attempts SET output_tokens = 1; UPDATE requests SET checkpoint_tokens = 1")
    assert ROWS in audited(path).by_figure


async def test_a_request_under_way_is_of_a_run_that_is(fresh: Path, tmp_path: Path) -> None:
    path = copied(fresh, tmp_path)
    begun, _ = next(entries(Tariffs.of_registry(registry()), 1, 9))
    ledger = Ledger.open(path)
    await ledger.begin(begun)
    assert audited(path).findings == []
    await ledger.aclose()
    changed(path, "UPDATE requests SET status = 0 WHERE status = 5")
    assert "run of a request under way" in audited(path).by_figure


def test_anybody_can_hash_a_row_again() -> None:
    """A ledger outlives what wrote it: plain JSON, and nothing of ours."""
    told = b'["6964",null,7,-1,1099511627776,[["6964",0,"word"]]]'
    whole = int(hashlib.sha256(told).hexdigest(), 16)
    assert _hashed((b"id", None, 7, -1, 1 << 40, [(b"id", 0, "word")])) == whole >> 194
