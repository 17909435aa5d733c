"""The dashboard on paper, as browsers print it: without backgrounds."""

from __future__ import annotations

import base64
import re
import zlib

from tests.browser.chromium import Browser
from tests.service.server import Server

STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
FILL = re.compile(rb"([\d.]+) ([\d.]+) ([\d.]+) rg\b")
COLOURS = """
  const shown = [...document.querySelectorAll(".bar-fill, .swatch:not(.dash, .ring, .line, .band)")];
  const parts = shown.map((one) => getComputedStyle(one).backgroundColor.match(/\\d+/g).map(Number));
  return [...new Map(parts.map((one) => [one.join(), one])).values()];
"""


def fills(pdf: bytes) -> set[tuple[int, ...]]:
    """The colours, from 0 to 255, that a document fills shapes with."""
    found: set[tuple[int, ...]] = set()
    for stream in STREAM.findall(pdf):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue  # it is no drawing, or is not compressed
        found |= {tuple(round(255 * float(part)) for part in each) for each in FILL.findall(content)}
    return found


def test_bars_and_the_colours_of_legends_are_printed(browser: Browser, server: Server) -> None:
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
    browser.open(f"{server.base}/dashboard")
    colours = {tuple(each) for each in browser.js(COLOURS)}
    assert len(colours) > 3
    printed = browser.chrome.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert colours - fills(base64.b64decode(printed["data"])) == set()
