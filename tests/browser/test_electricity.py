"""What the router's own work cost is on both pages, and where no price of it was given that is said once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.browser.chromium import Browser
from tests.browser.test_dashboard import in_page
from tests.browser.test_playground import say
from tests.service.server import Server, write_registry


@pytest.mark.parametrize("priced", [True, False])
def test_the_routers_electricity_is_on_the_pages(browser: Browser, tmp_path: Path, priced: bool) -> None:
    registry = write_registry(tmp_path)
    if priced:
        registry.write_text(registry.read_text().replace("power: {", "power: {usd_per_kwh: 0.30, "))
    server = Server(tmp_path, registry).start()
    try:
        browser.open(f"{server.base}/playground")
        say(browser, "write a poem about the sea")
        browser.until(lambda: browser.chrome.find_elements("css selector", ".thumbs"))
        receipt, router = browser.text("#receipt-body"), server.report()["router"]
        browser.open(f"{server.base}/dashboard")
        notes = " ".join(
            browser.js("return [...document.querySelectorAll('.aftermath')].map((one) => one.textContent)")
        )
        cost = in_page(browser, "dollars(arguments[0])", router["cost_usd"])
        assert browser.complaints() == []
    finally:
        server.stop(signal.SIGKILL)
    assert (router["cost_usd"] > 0) is priced
    assert (f"{cost} of the money is for the electricity of the router's own work." in receipt) is priced
    assert ("electricity" in receipt) is priced
    assert (f" of it, which cost {cost}. " in notes) is priced
    assert notes.count("no electricity price was given for it, so in money it counts as $0") == (not priced)
