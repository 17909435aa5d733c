"""What each API key saved, opened below the figure of all: the report's figures by key, or why there are none."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from router.meter.record import Arm, Role
from tests.browser.chromium import Browser
from tests.browser.test_dashboard import in_page
from tests.browser.test_figures import CHOOSE
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, big, small
from tests.service.server import Server, write_registry

MARKUP = "<img src=x onerror=alert(1)>"
OPEN = "document.querySelector('.by-key summary').click()"
ROWS = """
  const rows = [...document.querySelectorAll(".by-key tbody tr")];
  return rows.map((row) => [...row.children].map((cell) => cell.textContent));
"""
ROOM = """
  const [table, cell] = [".scroll", "tbody td:last-child"].map((one) => document.querySelector(`.by-key ${one}`));
  const within = cell.getBoundingClientRect().right - table.getBoundingClientRect().right;
  return [table.scrollWidth - table.clientWidth, cell.scrollWidth - cell.clientWidth, Math.max(0, Math.round(within))];
"""
"""How far the table is wider than its place, the last cell's words than the cell, and that cell beyond the table."""


def test_who_pays_sees_what_each_key_saved(browser: Browser, tmp_path: Path) -> None:
    book = Book(tmp_path / "data" / "ledger.sqlite", make_intent, make_outcome)
    for number in range(120):
        held = big(90 + number % 17, energy_uj=9000 + 31 * number % 700)
        beside = small(50 + number % 23, role=Role.SHADOW)
        book.add([held], arm=Arm.HOLDBACK, shadow=beside, key_id="shop")
        book.add([small(50 + number % 29)], arm=Arm.NORMAL, key_id="shop")
        book.add([small(50)], arm=Arm.NORMAL, key_id=MARKUP)
    book.write()
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        told = json.loads(server.shoal("meter", "report", "--group-by", "key", "--json").stdout)["groups"]
        browser.open(f"{server.base}/dashboard")
        assert browser.js(ROWS) == [], "a report by key is made for those who ask"
        browser.js(OPEN)
        rows = {row[0]: row[1:] for row in browser.until(lambda: browser.js(ROWS))}
        assert rows.keys() == {"shop", MARKUP}
        assert rows[MARKUP] == ["120", "unknown", "", told[MARKUP]["savings"]["why_not"]]
        assert rows[MARKUP][-1] == "0 conversations were held back, 100 are needed"
        assert rows["shop"] == shown(browser, told["shop"]["savings"], "energy")
        browser.js(CHOOSE, in_page(browser, "MEASURES.co2.label"))
        of_carbon = ["240", "unknown", "", "the fallback alone would have taken nothing"]  # no attempt here has any
        browser.until(lambda: {row[0]: row[1:] for row in browser.js(ROWS)}["shop"] == of_carbon)
        assert "Each is estimated by itself" in browser.text(".by-key")
        for width in (1440, 1280, 1024, 375):
            browser.open(f"{server.base}/dashboard", width=width)
            browser.js(OPEN)
            browser.until(lambda: browser.js(ROWS))
            assert browser.js(ROOM) == [0, 0, 0], f"at {width} pixels the standing is out of sight"
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)


def shown(browser: Browser, savings: dict[str, Any], unit: str) -> list[str]:
    """The row of a key whose savings are measured, as the page writes such figures."""
    share, low, high = (savings[end][unit] for end in ("share", "low", "high"))
    return [
        "240", in_page(browser, "percent(arguments[0], f.places(arguments[1], arguments[2]))", share, low, high),
        in_page(browser, "interval(arguments[0], arguments[1])", low, high), savings["standing"],
    ]  # fmt: skip


def test_keys_of_one_name_are_told_apart_by_their_ids(browser: Browser, tmp_path: Path) -> None:
    server = Server(tmp_path, write_registry(tmp_path))
    made = [server.shoal("keys", "create", name).stdout.strip() for name in ("shop", "shop", "other")]
    ids = [each.split()[0] for each in server.shoal("keys", "list").stdout.splitlines()[1:]]
    figures = server.shoal("keys", "create", "finance", "--figures").stdout.strip()
    server.start()
    try:
        for key in made:
            bearer = {"authorization": f"Bearer {key}"}
            body = {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]}
            assert server.post("/v1/chat/completions", body, bearer)[0] == 200
        browser.chrome.get(f"{server.base}/healthz")
        browser.js("sessionStorage.setItem('shoal-figures-key', arguments[0])", figures)
        browser.open(f"{server.base}/dashboard")
        browser.js(OPEN)
        names = [row[0] for row in browser.until(lambda: browser.js(ROWS))]
        assert sorted(names) == sorted([f"shop {ids[0]}", f"shop {ids[1]}", "other"])
    finally:
        server.stop(signal.SIGKILL)
