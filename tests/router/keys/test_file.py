"""Keys as an older Shoal left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from router.keys.file import create, keys, names, revoke
from router.keys.key import Key


def test_a_name_that_a_terminal_would_obey_is_shown_and_not_obeyed(tmp_path: Path) -> None:
    """Older versions took any: it would clear the screen of who lists keys, or forge lines of a report."""
    path = tmp_path / "keys.sqlite"
    _, made = create(path, Key(b"", "shop"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE keys SET name = ?", ("\x1b[2Jshop\nall  9,999\u202e é",))
    told = "\\x1b[2Jshop\\nall  9,999\\u202e é"
    assert [key.name for key in keys(path)] == [told]
    assert names(path) == {made.id: told}
    assert revoke(path, made.id).name == told
