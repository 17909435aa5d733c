"""What the documents name is there, and what is there is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from router.api.errors import _EXPERT_ERRORS, _STORE_ERRORS
from router.api.operations import OPERATIONS
from shoal.__main__ import app
from tests.house.conftest import ROOT

PATH = re.compile(r"(?<![\w/.<-])(?:deploy|docs|eval|examples|experts|requirements|router|shoal|tests)/[\w./-]*\w")
IN_A_ROOM = re.compile(r"`([a-z_]+\.py|[a-z_]+/)`")
MADE = {"eval/quick", "docs/adr/NNNN-title.md", "tests/experts/test_"}
"""A folder that a command makes, and names with a part to fill in."""


def documents() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", documents())
def test_every_path_is_one(document: str) -> None:
    named = set(PATH.findall((ROOT / document).read_text())) - MADE
    assert [path for path in sorted(named) if not ((ROOT / path).exists() or (ROOT / f"{path}.py").exists())] == []


def test_every_module_of_a_table_is_in_the_room_it_is_told_of() -> None:
    told = (ROOT / "ARCHITECTURE.md").read_text()
    rooms = told[told.index("**The judge**") : told.index("## The command line")].split("**The ledger**")
    for room, text in zip((Path("router/learn"), Path("router/meter")), rooms, strict=True):
        assert [name for name in IN_A_ROOM.findall(text) if not (ROOT / room / name).exists()] == []


def code_spans(section: str) -> list[list[str]]:
    """Of each row of the table in a section of docs/reference.md, what its first cell has in code."""
    text = (ROOT / "docs/reference.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [re.findall(r"`([^`]+)`", row.split("|")[1]) for row in text.splitlines() if row.startswith("| `")]


def commands(group: TyperGroup, words: tuple[str, ...] = ("shoal",)) -> Iterator[str]:
    for name, command in group.commands.items():
        path = (*words, name)
        yield from commands(command, path) if isinstance(command, TyperGroup) else [" ".join(path)]


def test_the_reference_names_every_command_and_no_other() -> None:
    told = []
    for first, *others in (spans for spans in code_spans("Commands") if spans[0].startswith("shoal ")):
        first = re.sub(r" [A-Z].*", "", first)
        told += [first, *(f"{first.rpartition(' ')[0]} {name}" for name in others if not name.startswith("--"))]
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert sorted(told) == sorted(commands(group))


def test_the_reference_names_every_endpoint_and_no_other() -> None:
    told = {span.split()[-1] for spans in code_spans("Endpoints") for span in spans if "/" in span}
    there = {re.sub(r"\{\w+\}", "ID", operation.path) for operation in OPERATIONS}
    assert told == there | {"/openapi.json"}


def test_the_reference_names_every_variable_that_is_read() -> None:
    read = {
        name
        for room in ("shoal", "router", "experts")
        for path in (ROOT / room).rglob("*.py")
        for name in re.findall(r"[\"'](SHOAL_[A-Z_]+)[\"']", path.read_text())
    }
    assert read == {span for spans in code_spans("Settings") for span in spans}


def test_the_reference_names_every_code_of_an_error_beside_its_status() -> None:
    text = (ROOT / "docs/reference.md").read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    told = {
        (status, code)
        for row in text.splitlines()
        if row.startswith("| ") and row[2].isdigit()
        for status in re.findall(r"\d+", row.split("|")[1])
        for code in re.findall(r"`([a-z_]+)`", row.split("|")[2])
    }
    raised = {
        found
        for path in (ROOT / "router").rglob("*.py")
        for found in re.findall(r'ApiError\(\s*(\d{3}),[^()]*?code="(\w+)"', path.read_text())
    }
    raised |= {(str(row[1]), row[2]) for row in _EXPERT_ERRORS} | {("503", row[1]) for row in _STORE_ERRORS}
    assert len(raised) > 15
    assert raised - told == set()
