"""Which key draws were made with: each has its number, and an audit with another one accuses nobody."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.meter.audit import audit
from router.meter.findings import Audit
from router.meter.ledger import Ledger, read_ledger
from router.meter.seeds import fingerprint
from tests.router.meter.traffic import KEY, unnamed_key

OTHERS = [hashlib.sha256(b"another key %d" % number).digest() for number in range(20)]


def audited(path: Path, key: bytes | None) -> Audit:
    with closing(read_ledger(path)) as connection:
        return audit(connection, key)


async def version_of(path: Path, key: bytes) -> tuple[int, bool]:
    ledger = Ledger.open(path)
    try:
        seed = await ledger.seed(key)
    finally:
        await ledger.aclose()
    return seed.version, seed.is_another


@pytest.fixture
def copy(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(fresh, tmp_path / "ledger.db"))


@pytest.fixture
def older(copy: Path) -> Path:
    """From before the ledger kept which key its draws were made with."""
    unnamed_key(copy)
    return copy


async def test_every_key_has_its_number(path: Path) -> None:
    found = [await version_of(path, key) for key in (KEY, OTHERS[0], KEY, OTHERS[1], OTHERS[0])]
    assert found == [(1, False), (2, True), (1, False), (3, True), (2, False)]
    with closing(read_ledger(path)) as connection:
        kept = dict(connection.execute("SELECT version, fingerprint FROM seeds"))
    assert kept == {1: fingerprint(KEY), 2: fingerprint(OTHERS[0]), 3: fingerprint(OTHERS[1])}
    assert all(each not in key for each in kept.values() for key in (KEY, *OTHERS))
    assert audited(path, KEY).wrong == 0


@pytest.mark.parametrize("old", [False, True], ids=["with a fingerprint", "without"])
def test_another_key_accuses_nobody(copy: Path, old: bool) -> None:
    if old:
        unnamed_key(copy)
    own = audited(copy, KEY)
    drawn = audited(copy, None).undrawn_by_seed
    assert (own.findings, own.undrawn_by_seed) == ([], {})
    assert drawn[1] > 50
    for key in OTHERS:
        found = audited(copy, key)
        assert (found.findings, found.undrawn_by_seed) == ([], drawn)
    assert audited(copy, OTHERS[0]).to_json()["undrawn_by_seed_version"] == dict(drawn)


@pytest.mark.parametrize("old", [False, True], ids=["with a fingerprint", "without"])
def test_a_draw_that_was_changed_is_found_with_its_key_alone(copy: Path, old: bool) -> None:
    if old:
        unnamed_key(copy)
    change = "UPDATE requests SET arm = 0 WHERE request_id = (SELECT request_id FROM requests WHERE arm = 1 LIMIT 1)"
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute(change)
    assert audited(copy, KEY).by_figure["arm"] == 1
    assert audited(copy, OTHERS[0]).by_figure.keys() & {"arm"} == set()


async def test_an_older_ledger_learns_its_key(older: Path) -> None:
    assert await version_of(older, KEY) == (1, False)
    assert audited(older, KEY).findings == []


async def test_an_older_ledger_goes_on_with_another_key_as_another_version(older: Path) -> None:
    assert await version_of(older, OTHERS[0]) == (2, True)
    assert await version_of(older, KEY) == (1, False), "its own comes back"
    for key in (KEY, OTHERS[0]):
        assert audited(older, key).findings == []


def test_a_version_that_nobody_began_is_found(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE requests SET seed_version = 7 WHERE arm = 1")
    assert audited(copy, None).by_figure["seed_version"] > 5
