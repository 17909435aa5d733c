"""The pages on paper, as browsers print them: without backgrounds, and with nothing that could be moved."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Browser
from tests.browser.test_playground import say
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


@pytest.fixture
def paper(browser: Browser) -> Iterator[Browser]:
    """The window, with what is open shown as it is printed."""
    light = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "light"}]}
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
    yield browser
    browser.js("localStorage.clear()")
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


WIDTHS = """
  const plots = [...document.querySelectorAll(".plot")].filter((one) => one.checkVisibility());
  return plots.map((plot) => {
    for (const one of plot.querySelectorAll(".u-wrap, canvas")) one.style.width = "1100px";
    return [Math.round(plot.querySelector("canvas").getBoundingClientRect().width), plot.clientWidth];
  });
"""
"""Of curves that were drawn on a screen wider than the paper: how wide they are, and how much room they have."""


def test_a_curve_leaves_no_panel_on_paper(paper: Browser, server: Server) -> None:
    paper.open(f"{server.base}/dashboard", width=720)
    widths = paper.js(WIDTHS)
    assert len(widths) >= 2
    assert [width for width, room in widths if width != room] == []


CUT = """
  for (const one of document.querySelectorAll("details")) one.open = true;
  const boxes = [...document.querySelectorAll(".scroll, .turns, .said pre")].filter((one) => one.checkVisibility());
  const cut = (one) => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth + 1;
  return [boxes.length, boxes.filter(cut).map((one) => one.ariaLabel ?? one.className)];
"""


def test_no_table_and_no_conversation_is_cut_on_paper(paper: Browser, server: Server) -> None:
    paper.open(f"{server.base}/dashboard", width=720)
    boxes, cut = paper.js(CUT)
    assert boxes >= 8 and cut == []
    paper.open(f"{server.base}/playground", width=720)
    for number in range(5):
        say(paper, "a haiku on autumn, as long as this line, " * 12)
        paper.until(lambda: paper.js("return document.querySelectorAll('.thumbs').length") == number + 1)  # noqa: B023
    assert paper.js(CUT) == [1, []]


def test_a_page_that_was_made_dark_is_printed_dark_on_white(paper: Browser, server: Server) -> None:
    paper.open(f"{server.base}/dashboard")
    ink = tuple(int(part) for part in re.findall(r"\d+", paper.js("return getComputedStyle(document.body).color")))
    paper.js("document.getElementById('theme').click()")
    assert paper.js("return document.documentElement.dataset.theme") == "dark"
    printed = paper.chrome.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert ink in fills(base64.b64decode(printed["data"]))
