"""What the documents name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
