"""What `shoal meter overview` prints of figures that are at hand."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from experts.registry import load_registry
from router.board.overview import overview
from router.meter.ledger import Ledger, read_ledger
from router.meter.record import Arm, Role
from shoal.overview_tables import parts
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small
from tests.service.server import write_registry


def printed(found: dict[str, Any]) -> list[str]:
    """The lines of the tables."""
    console = Console(width=200)
    with console.capture() as shown:
        for part in parts(found):
            console.print(*part, sep="\n")
    return shown.get().splitlines()


async def test_the_share_of_escalations_is_that_of_their_number(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    found["totals"]["requests"] = 3450
    told = []
    for failed in (97, 0):
        found["escalations"] |= {"requests": 413 + failed, "to_fallback": 413, "from_fallback": failed}
        found["escalations"]["share"] = 413 / 3450
        told += [line.rstrip() for line in printed(found) if line.startswith("Escalations")]
    whole = "Escalations: 413 of 3,450, 12.0%"
    assert told == [f"{whole}; for 97 the fallback failed, and a small expert answered", whole]


def test_break_even_goes_by_those_held_back_and_says_where_it_cannot(tmp_path: Path) -> None:
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    poet, cook = (replace(small(energy_uj=1_000_000), expert=name) for name in ("poet", "cook"))
    for _ in range(120):
        book.add([big(energy_uj=3_000_000)], arm=Arm.HOLDBACK, shadow=replace(poet, role=Role.SHADOW))
    for answer in (poet, poet, cook):
        book.add([answer], arm=Arm.NORMAL)
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    even = found["break_even"]
    saved_j = {name: round(even[name]["energy"]["saved_j_per_request"], 2) for name in ("poet", "cook")}
    assert saved_j == {"poet": 2.0, "cook": 1.29}, "by the same tokens 1.29 for both"
    rows = [line for line in printed(found) if line.startswith(("poet", "cook")) and "Wh" in line]
    assert ["by 120 held back" in rows[0], "by the same tokens, not verified" in rows[1]] == [True, True], rows
