"""Chromium without a screen, driven by selenium; every request it makes and every word of its console is kept."""

from __future__ import annotations

import gc
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 30

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync",
)  # fmt: skip


def found() -> tuple[str, str]:
    """Chromium and its driver; the test is skipped where there are none, except where CI must have them."""
    browser = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    driver = shutil.which("chromedriver") or ""
    if browser and driver:
        return browser, driver
    remedy = "needs Chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("CI"):
        pytest.fail(remedy)
    pytest.skip(remedy)


class Browser:
    """One window."""

    def __init__(self, folder: Path) -> None:
        browser, driver = found()
        options = Options()
        options.binary_location = browser
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.chrome = Chrome(options=options, service=Service(driver))
        self.chrome.set_page_load_timeout(PATIENCE_S)
        self.requested: list[str] = []

    def open(self, address: str, width: int = 1280) -> None:
        """Load a page and wait until it has drawn what it first asked for."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.chrome.get("about:blank")
        self.complaints()
        self.outside("")  # both of the page before, perhaps of a server that is gone
        self.chrome.get(address)
        self.until(lambda: self.js("return document.documentElement.dataset.ready"))

    def until(self, check: Callable[[], Any]) -> Any:
        """Wait for something that is about to be true."""
        return WebDriverWait(self.chrome, PATIENCE_S, 0.05).until(lambda _: check())

    def js(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        return self.chrome.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """The text of the first element; empty when there is none."""
        return str(self.js("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def complaints(self) -> list[str]:
        """What the console said since the last call: errors, and violations of the security policy."""
        return [entry["message"] for entry in self.chrome.get_log("browser") if entry["level"] != "INFO"]

    def outside(self, base: str) -> list[str]:
        """Addresses asked for since the last call that do not begin with `base`."""
        events = [json.loads(entry["message"])["message"] for entry in self.chrome.get_log("performance")]
        asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        self.requested += asked
        return [url for url in asked if not url.startswith((base, "data:", "about:", "chrome:"))]

    def close(self) -> None:
        """End it."""
        with warnings.catch_warnings():  # selenium asks its driver to stop and never closes that connection
            warnings.simplefilter("ignore", ResourceWarning)
            self.chrome.quit()
            gc.collect()
