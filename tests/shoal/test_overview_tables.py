"""What `shoal meter overview` prints of figures that are at hand."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rich.console import Console

from experts.registry import load_registry
from router.board.overview import overview
from router.meter.ledger import Ledger, read_ledger
from shoal.overview_tables import parts
from tests.service.server import write_registry


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
        console = Console(width=200)
        with console.capture() as shown:
            for part in parts(found):
                console.print(*part, sep="\n")
        told += [line.rstrip() for line in shown.get().splitlines() if line.startswith("Escalations")]
    whole = "Escalations: 413 of 3,450, 12.0%"
    assert told == [f"{whole}; for 97 the fallback failed, and a small expert answered", whole]
