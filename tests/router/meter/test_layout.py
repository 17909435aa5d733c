"""The report's tables, and where a pipe's lines end."""

from __future__ import annotations

from contextlib import closing
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from router.meter.layout import Line, Taken, Titled
from router.meter.ledger import read_ledger
from router.meter.report import render, report
from router.meter.tariff import Tariffs
from tests.router.meter.traffic import entries, fill, registry
from tests.shoal.test_main import shoal

NAMES = ("shoal-help", "support-ticket", "text-to-sql")


def shown(renderable: object, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(renderable, crop=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.fixture
async def kept(path: Path) -> Path:
    """A ledger with some requests, by the name that commands look for."""
    path = path.with_name("ledger.sqlite")
    await fill(path, [*entries(Tariffs.of_registry(registry()), 60)])
    return path


@pytest.mark.parametrize("width", [60, 80, 120, 300])
async def test_names_and_numbers_are_whole_where_sums_are_the_least_they_can_be(kept: Path, width: int) -> None:
    with closing(read_ledger(kept)) as connection:
        found = report(connection, None, None, "key")
    for name, old in zip(NAMES, ("help", "law", "big"), strict=True):
        found.by_expert[name] = found.by_expert.pop(old)
    found.groups["843c0b404b6f"] = found.groups.pop("team-a")
    for group in (found.total, *found.groups.values()):
        group.unmetered += 1
    text = shown(render(found), width)
    first = {line.split()[0] for line in text.splitlines() if line.strip()}
    assert {*NAMES, "843c0b404b6f", "team-b"} <= first
    assert text.count("≥") >= 6
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_what_has_no_room_beside_is_told_below() -> None:
    taken = Taken("Who", "expert", ("answers", "asked"), ("cost", "energy"), "of energy", bar=6)
    taken.lines = [
        Line("support-ticket", ("12,345", "9"), ("$0.0123", "12.3 mWh"), 0.5),
        Line("the router", ("", ""), ("$0.00", "1 mWh"), 0.04),
    ]
    bar, cut, below = (shown(taken, width).splitlines() for width in (57, 56, 44))
    assert bar[2].split() == ["support-ticket", "12,345", "9", "$0.0123", "12.3", "mWh", "50%", "━━━───"]
    assert (len(bar), len(cut)) == (4, 5), "the head without its bar is of two lines"
    assert cut[3].split() == bar[2].split()[:-1]
    assert [line.split()[0] for line in below[1:]] == ["expert", "support-ticket", "expert", "support-ticket", "the"]
    assert "12.3 mWh" in below[4]


def test_a_title_is_as_long_as_its_line() -> None:
    table = Table("a", "b", box=None)
    table.add_row("1", "2")
    title = "1,088 requests against the fallback alone: estimate, unverified"
    assert shown(Titled(title, table), 100).splitlines()[0] == title


def test_a_pipe_gets_lines_that_can_be_searched(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOAL_DATA_DIR", str(kept.parent))
    monkeypatch.delenv("COLUMNS", raising=False)
    assert shoal(monkeypatch, "meter", "report", "--group-by", "key") == 0
    piped = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("COLUMNS", "70")
    assert shoal(monkeypatch, "meter", "report", "--group-by", "key") == 0
    narrow = capsys.readouterr().out.splitlines()
    assert max(map(len, narrow)) <= 70 < max(map(len, piped))
    assert "\n".join(piped).split()[-40:] == "\n".join(narrow).split()[-40:], "the same words"
    assert any(line.startswith("The fallback's figures are") and line.endswith(".") for line in piped)
    (law,) = (line for line in piped if line.startswith("law "))
    assert "Wh" in law
