"""Tables keep names and numbers whole on a terminal of any width."""

from __future__ import annotations

import pytest
from rich.table import Column

from shoal.tables import show_table, table_of

ROWS = [
    ("support-ticket", "2026-11-26 09:00", "1,234,567", "llama_cpp and openai"),
    ("sql", "2026-11-26 10:30", "8", "a-name-that-never-ends and a few more words that may go on below"),
]


@pytest.mark.parametrize("columns", [20, 60, 80, 100, 200])
def test_what_is_too_wide_goes_on_below(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    table = table_of("domain", Column("made, UTC", no_wrap=True), "requests", "who answered")
    for row in ROWS:
        table.add_row(*row)
    assert show_table(table).width == columns, "what is said below is as wide as the terminal"
    shown = capsys.readouterr().out
    for row in ROWS:
        assert {word for cell in row for word in cell.split()} <= set(shown.split())
        assert row[1] in shown, "a column of its own mind is never wrapped"
    needed = len("support-ticket") + len(ROWS[0][1]) + len("1,234,567") + len("a-name-that-never-ends")
    widest = max(map(len, shown.splitlines()))
    assert widest <= max(columns, needed + 3), "three gaps of one blank where there is no room for more"
    if columns == 200:
        assert len(shown.splitlines()) == 1 + len(ROWS), "nothing is wrapped without need"


def test_a_table_without_rows_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(table_of("one", "other"))
    assert capsys.readouterr().out.split() == ["one", "other"]
