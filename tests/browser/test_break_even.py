"""The panel on break-even: its words are the command's, its numbers were sent, and a phone has room for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml

from router.meter.record import Arm, Role
from router.meter.units import watt_hours
from shoal.overview_tables import _from
from tests.browser.chromium import Browser
from tests.browser.test_dashboard import rows
from tests.browser.test_figures import AS_SHOWN, KEEP, NO_FIGURE, numbers
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small
from tests.service.server import Server, write_registry
from tests.shoal.test_overview_tables import NONE, SIDES

TITLE = "From when on each expert pays"
OWN: dict[str, Any] = {
    "id": "own", "kind": "openai", "url": "http://127.0.0.1:9/v1", "model": "m", "description": "A machine of its own",
    "params_b": 1, "context": 4096, "capacity": "fixed",
    "hardware": {"capex_usd": 8.8, "life_years": 10, "power_w": 5, "idle_w": 0.1, "usd_per_kwh": 0.2,
                 "tokens_per_s": 10, "source": "made up", "as_of": "2026-11-01"},
}  # fmt: skip

SHOW = """
  const [found, done] = arguments;
  import("/web/js/routing.js").then(({ breakEvenPanel }) => {
    const { panel, show } = breakEvenPanel();
    show(found);
    const chips = [...panel.element.querySelectorAll(".chip")];
    const cells = (row) => [...row.children].map((cell) => cell.textContent);
    const table = [...panel.element.querySelectorAll("tbody tr")].map(cells);
    done([chips.map((chip) => [chip.textContent, chip.className]), panel.summary.textContent, table]);
  });
"""
CARDS = "return [...document.querySelectorAll('.pays .quiet')].map((text) => text.textContent)"


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A ledger in which one expert surely saves, one may save nothing, and of one too few are held back."""
    folder = tmp_path_factory.mktemp("measured")
    book, rng = Book(folder / "data" / "ledger.sqlite", make_intent, make_outcome), np.random.default_rng(1)
    for expert, energy_uj, spread in (("poet", 2 * 10**9, 0.1), ("own", 7 * 10**8, 0.9), ("cook", 10**9, 0.1)):
        answer = replace(small(energy_uj=10**9), expert=expert)
        for number in range(30 if expert == "cook" else 450):
            held = big(energy_uj=int(energy_uj * rng.lognormal(0, spread)))
            if number % 3 == 0:
                book.add([held], arm=Arm.HOLDBACK, shadow=replace(answer, role=Role.SHADOW))
            else:
                book.add([answer], arm=Arm.NORMAL, fallback="chat2" if number % 30 == 1 else "chat")
    book.write()
    path = write_registry(folder)
    registry = yaml.safe_load(path.read_text())
    registry["experts"].append(OWN)
    path.write_text(yaml.safe_dump(registry))
    server = Server(folder, path).start()
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


@pytest.mark.parametrize("name", SIDES)
def test_the_panel_says_it_in_the_words_of_the_command(browser: Browser, server: Server, name: str) -> None:
    browser.open(f"{server.base}/dashboard")
    known, words = SIDES[name]
    side = {**NONE, "unknown": None, **{f"saved_j_{end}": None for end in ("per_request", "low", "high")}, **known}
    money = {**side, **NONE, **{f"saved_usd_{end}": None for end in ("per_request", "low", "high")}}
    money |= {"unknown": "the fallback had no price", "undecided": False, "held_usd_per_day": None}
    row = {"holds": "its memory", "idle_w": 1.0, "requests_per_day": 25.0, "saved_by": "by 1,200 held back"}
    side["saved_j_per_request"] = None if name == "unknown" else 2.0
    paying = {"energy": {"experts": 3, "pay": 0, "undecided": 1, "unknown": 1}}
    shown = {"break_even": {"poet": {**row, "energy": side, "money": money}}, "paying": paying}
    (energy, other), summary, table = browser.chrome.execute_async_script(SHOW, shown)
    lead = "undecided, " * side["undecided"] + "pays from " * (side["needed_per_day"] is not None)
    told = "unknown" if name == "unknown" else f"{lead}{words}"
    assert plain(energy[0]) == f"energy: {told}"
    mood = "warn" if side["undecided"] else {True: "good", False: "bad", None: ""}[side["pays"]]
    assert energy[1].split() == ["chip", *mood.split()]
    assert other == ["money: unknown", "chip "]
    assert summary.startswith("In energy 0 of 3 pay at this pace, of 1 it is undecided, of 1 it is unknown. ")
    assert [row[:2] for row in table] == [["poet", "energy"], ["poet", "money"]]
    pays = {True: "yes", False: "no", None: "undecided" if side["undecided"] else "unknown"}
    assert table[0][-2] == pays[side["pays"]]


@pytest.mark.parametrize("width", [1280, 375])
def test_what_is_measured_is_told_with_its_interval_and_fits(browser: Browser, measured: Server, width: int) -> None:
    kept = browser.chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": KEEP})
    browser.open(f"{measured.base}/dashboard", width=width)
    browser.chrome.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", kept)
    sent = browser.js("return window.sent")
    even = sent["break_even"]
    assert even["own"]["energy"]["undecided"], even["own"]
    assert even["own"]["energy"]["needed_high"] is None
    assert even["own"]["saved_by"] == "by 150 held back, provisional, on 285 of 300 answers"
    chips = browser.js("return [...document.querySelectorAll('.pays .chip')].map((chip) => chip.textContent)")
    own = even["own"]["energy"]
    assert f"energy: undecided, pays from {_from(own)}" in [plain(chip) for chip in chips]
    shown = {*browser.chrome.execute_async_script(AS_SHOWN, numbers(sent)), *NO_FIGURE}
    shown |= {row["saved_by"] for row in even.values() if row["saved_by"]}
    table = rows(browser, TITLE)
    assert {cell for row in table for cell in row[1:]} - shown == set()
    assert len(table) == 2 * len(even)
    cards = [plain(text) for text in browser.js(CARDS)]
    sure, doubtful = (
        [watt_hours(even[who]["energy"][f"saved_j_{end}"] * 1e6) for end in ("per_request", "low", "high")]
        for who in ("poet", "own")
    )
    by = ", by 150 held back, provisional, on 285 of 300 answers;"
    for mean, low, high in (sure, doubtful):
        assert sum(card.startswith(f"An answer saves {mean} ({low} to {high}){by}") for card in cards) == 1
    assert (
        sum(card.startswith("An answer takes 277 mWh more, by the same tokens, not verified;") for card in cards) == 1
    )
    browser.js("for (const one of document.querySelectorAll('.panel details')) one.open = true")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []
