"""A ledger that is damaged, or holds what cannot be added up: each command says so in a line, with the remedy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from experts.registry import load_registry
from router.board.overview import overview
from router.meter.audit import audit
from router.meter.errors import MeterUnavailable
from router.meter.export import rows
from router.meter.ledger import reading
from router.meter.record import Arm
from router.meter.report import report
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, small
from tests.service.server import Server, write_registry

COMMANDS = (("report",), ("report", "--group-by", "key"), ("audit",), ("export",), ("overview",))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """None that runs: a registry and a folder for a ledger."""
    return Server(tmp_path, write_registry(tmp_path))


def ledger(server: Server, count: int, energy_uj: int) -> Path:
    """One with so many requests."""
    book = Book(server.folder / "data" / "ledger.sqlite", make_intent, make_outcome)
    for _ in range(count):
        book.add([replace(small(), energy_uj=energy_uj)], arm=Arm.NORMAL)
    book.write()
    return book.path


def test_a_damaged_ledger_is_told_in_a_line(server: Server) -> None:
    path = ledger(server, 300, 1000)
    whole = bytearray(path.read_bytes())
    half = len(whole) // 2
    whole[half:] = b"\xff" * (len(whole) - half)
    path.write_bytes(whole)
    for command in (*(("meter", *each) for each in COMMANDS), ("learn", "export"), ("learn", "show")):
        done = server.shoal(*command)
        assert done.returncode == 1, (command, done.stdout)
        assert done.stderr.startswith(f"shoal: ledger {path}: "), (command, done.stderr)
        assert "Remedy: stop Shoal, keep a copy of the file, and put a backup in its place" in done.stderr, command
        assert len(done.stderr.splitlines()) == 1, (command, done.stderr)


@pytest.mark.parametrize(
    ("damage", "told_by"),
    [
        ("UPDATE requests SET status = 99", {"report", "rows", "overview"}),
        ("UPDATE attempts SET energy_method = 77", {"report", "rows", "overview"}),
        ("UPDATE attempts SET expert = 99999", {"report", "overview"}),
        ("UPDATE requests SET ts_us = 1 << 60", {"rows", "overview"}),
    ],
)
def test_a_number_that_stands_for_nothing_is_told_as_what_it_is(server: Server, damage: str, told_by: set[str]) -> None:
    path = ledger(server, 3, 1000)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    registry = load_registry(server.registry).registry
    ways: dict[str, Callable[[sqlite3.Connection], object]] = {
        "report": lambda connection: report(connection, None, None),
        "rows": lambda connection: list(rows(connection, None, None, {})),
        "overview": lambda connection: overview(connection, registry, None, None),
    }
    told = {}
    for name, way in ways.items():
        try:
            with reading(path) as connection:
                way(connection)
        except MeterUnavailable as error:
            told[name] = str(error)
    assert set(told) == told_by
    for line in told.values():
        assert line.startswith(f"ledger {path}: what is written in it cannot be used (")
        assert ". Remedy: `shoal meter audit` says where" in line
    with reading(path) as connection:
        assert audit(connection).wrong


def test_such_a_number_is_one_line_of_a_command(server: Server) -> None:
    path = ledger(server, 3, 1000)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE requests SET status = 99")
    done = server.shoal("meter", "report")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert f"ledger {path}: what is written in it cannot be used (ValueError at line " in done.stderr


def test_amounts_that_cannot_be_added_up_are_told_in_a_line(server: Server) -> None:
    """Of an older Shoal, which believed an upstream that counted more tokens than there are."""
    path = ledger(server, 3, 4 * 10**18)
    for command in (("report",), ("overview",)):
        done = server.shoal("meter", *command)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), (command, done.stderr)
        assert f"ledger {path}: integer overflow. Remedy: ask for a period without the request" in done.stderr
    assert server.shoal("meter", "audit").stderr == ""
    assert "4000000000000000000" in server.shoal("meter", "export").stdout
