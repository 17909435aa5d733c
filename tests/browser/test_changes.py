"""What is charged may change often: the page says how often, and the first screen stays what was saved."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from router.meter.hours_schema import HOUR_US
from router.meter.record import Arm
from tests.browser.chromium import Browser
from tests.router.meter.conftest import make_intent, make_outcome
from tests.router.meter.test_paired import Book, small, tariffs
from tests.service.server import Server, write_registry

LISTED = "return [...document.querySelectorAll('#changed li')].map((one) => one.textContent)"
TOP = "return document.querySelector('#tiles').getBoundingClientRect().top"


def test_many_changes_are_folded_and_all_of_them_are_there(browser: Browser, tmp_path: Path) -> None:
    book, now_us = Book(tmp_path / "data" / "ledger.sqlite", make_intent, make_outcome), time.time_ns() // 1000
    for ago in range(12, -1, -1):
        told: dict[str, Any] = {"body": tariffs("chat", sql=f"list {ago}", chat="list"), "version": f"terms {ago}"}
        told["body"] = told["body"].replace(f'[1, 1, 1, "list {ago}"]', f'[{ago + 1}, 1, 1, "list {ago}"]')
        book.add([small()], arm=Arm.NORMAL, ts_us=now_us - ago * HOUR_US, **told)
    book.write()
    server = Server(tmp_path, write_registry(tmp_path)).start()
    try:
        changed = [each["told"] for each in server.report()["changed"]]
        assert len(changed) == 12
        browser.open(f"{server.base}/dashboard", width=390)
        assert browser.js(TOP) < 420, "what was saved is on the first screen of a phone"
        assert "changed" not in browser.text("#period-told")
        assert browser.text("#changed summary") == "What is charged changed 12 times within this period"
        assert browser.js(LISTED) == changed
        browser.js("document.querySelector('#changed summary').click()")
        assert changed[-1] in browser.text("#changed")
        assert browser.js("return document.documentElement.scrollWidth") == 390
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)
