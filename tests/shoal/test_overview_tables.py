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
from router.meter.units import watt_hours
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


async def test_latency_says_of_how_many_of_the_newest_answers_it_is(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    waits = {"p50": 0.1, "p95": 0.2, "p99": 0.3}
    told = []
    for requests, since_s in ((19_999, None), (20_000, None), (20_000, 1_800_000_000.0)):
        found["latency"]["rows"] = {"all": {"requests": requests, "total_s": waits, "first_byte_s": waits}}
        found["latency"]["rows_since_s"] = since_s
        told += [line.rstrip() for line in printed(found) if line.startswith("Latency")]
    newest = "Latency of the newest 20,000 answers"
    assert told == ["Latency", newest, f"{newest} from 2027-01-15 08:00 UTC on"]


async def test_one_reason_is_told_once_of_all_experts_that_it_is_true_of(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    assert list(found["break_even"]) == ["poet", "cook"]
    notes = [line.rstrip() for line in printed(found) if "each" in line]
    held = found["break_even"]["poet"]["holds"]
    assert notes == [
        f"poet, cook: each holds {held}.",
        "poet, cook: each in energy and in money unknown, nobody asked it in this period.",
    ]
    found["break_even"]["cook"]["money"]["unknown"] = "no price of cook"
    notes = [line.rstrip() for line in printed(found) if "unknown, " in line]
    assert notes == [
        "poet: in energy and in money unknown, nobody asked it in this period.",
        "cook: in energy unknown, nobody asked it in this period.",
        "cook: in money unknown, no price of cook.",
    ]


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
    assert ["by 120 held back, provisional" in rows[0], "by the same tokens, not verified" in rows[1]] == [True, True]


def test_break_even_says_of_which_answers_it_is_known_and_how_far(tmp_path: Path) -> None:
    """Of the poet's answers under a second fallback none is held back; what the first takes varies a lot."""
    book = Book(tmp_path / "ledger.sqlite", make_intent, make_outcome)
    poet = replace(small(energy_uj=1_000_000), expert="poet")
    for number in range(120):
        held = big(energy_uj=1_000_000 + 40_000 * (number % 100))
        book.add([held], arm=Arm.HOLDBACK, shadow=replace(poet, role=Role.SHADOW))
        book.add([poet], arm=Arm.NORMAL)
    for _ in range(30):
        book.add([poet], arm=Arm.NORMAL, fallback="chat2")
    book.write()
    with closing(read_ledger(book.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    row = found["break_even"]["poet"]
    energy = row["energy"]
    assert (row["standing"], row["measured_on"]) == ("provisional", {"requests": 120, "of": 150})
    assert energy["saved_j_low"] < energy["saved_j_per_request"] < energy["saved_j_high"]
    (told,) = (line for line in printed(found) if line.startswith("poet") and "Wh" in line)
    assert "by 120 held back, provisional, on 120 of 150 answers" in told
    low, high = (watt_hours(energy[f"saved_j_{end}"] * 1e6) for end in ("low", "high"))
    assert f"{watt_hours(energy['saved_j_per_request'] * 1e6)} ({low} to {high})" in told


NONE = {"needed_per_day": None, "needed_low": None, "needed_high": None, "pays": None, "undecided": False}
OPEN = {"pays": None, "undecided": True}
SIDES: dict[str, tuple[dict[str, Any], str]] = {
    "guess": ({"needed_per_day": 25.04, "pays": True}, "25 a day"),
    "known": ({"needed_per_day": 1250.0, "needed_low": 1000.0, "needed_high": 2000.0, "pays": True},
              "1,250 a day (1,000 to 2,000)"),
    "open": ({"needed_per_day": 25.0, "needed_low": 20.0, **OPEN}, "25 a day (from 20, perhaps never)"),
    "doubtful": ({"needed_low": 20.0, **OPEN}, "never (perhaps from 20 a day)"),
    "free": ({"needed_per_day": 0.0, "needed_low": 0.0, "needed_high": 0.0, "pays": True}, "the first request"),
    "perhaps": ({"needed_per_day": 0.0, "needed_low": 0.0, **OPEN}, "the first request, perhaps never"),
    "hardly": ({"needed_low": 0.0, **OPEN}, "never (perhaps from the first request)"),
    "never": ({"pays": False}, "never"),
    "unknown": ({"unknown": "no price of poet"}, "-"),
}  # fmt: skip
"""What is known of one side of an expert, and how it is told when it pays; of the dashboard in the same words."""


async def test_from_when_on_it_pays_is_told_with_its_interval(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    (poet, *_) = found["break_even"].values()
    sides = {name: poet["energy"] | NONE | {"unknown": None} | side for name, (side, _) in SIDES.items()}
    found["break_even"] = {name: poet | {"energy": side} for name, side in sides.items()}
    found["paying"]["energy"] = {"experts": 9, "pay": 3, "undecided": 4, "unknown": 1}
    lines = printed(found)
    assert "Break-even in energy: 3 of 9 pay at this pace, of 4 it is undecided, of 1 it is unknown" in lines
    head = next(line for line in lines if line.startswith("expert") and "pays from" in line)
    end = head.index("pays from") + len("pays from")
    for name, (_, told) in SIDES.items():
        row = next(line for line in lines if line.startswith(f"{name} "))
        assert row[:end].endswith(f"  {told}"), row
        pays = {True: "yes", False: "no", None: "undecided" if sides[name]["undecided"] else "-"}
        assert row.rstrip().endswith(f"  {pays[sides[name]['pays']]}"), row
    undecided = ", ".join(name for name, side in sides.items() if side["undecided"])
    assert "open" in undecided.split(", ")
    assert f"{undecided}: each in energy undecided, for its pace is within the interval." in lines


async def test_the_mean_score_of_small_experts_answers_stands_below_the_bins(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    await ledger.aclose()
    with closing(read_ledger(ledger.path)) as connection:
        found = overview(connection, load_registry(write_registry(tmp_path)).registry, None, None)
    told = []
    for n, score in ((0, None), (1, 1.0), (1234, 0.456)):
        found["calibration"]["small_experts"] = {"n": n, "mean_score": score}
        told.append([line.rstrip() for line in printed(found) if "mean score" in line])
    one = "100.0% is the mean score of a small expert's answer that clients rated."
    assert told == [[], [one], ["45.6% is the mean score of 1,234 small experts' answers that clients rated."]]
