"""The pages of a reader who set larger letters in the browser: everything that is read grows, and nothing is cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Browser
from tests.browser.test_playground import WIDER, say
from tests.service.server import Server

USUAL_PX, LARGE_PX = 16, 32


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Browser]:
    """A window whose letters are twice as large as usual."""
    profile = tmp_path / "Default"
    profile.mkdir()
    (profile / "Preferences").write_text(json.dumps({"webkit": {"webprefs": {"default_font_size": LARGE_PX}}}))
    window = Browser(tmp_path)
    yield window
    window.close()


READ = "h2, h3, p, td, th, label, textarea, select, button, a:not(.brand), .label, .value, .said, .chip, dt, dd"
SIZES = f"""
  const found = [...document.querySelectorAll("{READ}")].filter((one) => !one.matches(".figure"));
  return found.map((one) => [one.className || one.localName, parseFloat(getComputedStyle(one).fontSize)]);
"""


@pytest.mark.parametrize("path", ["/dashboard", "/playground"])
def test_all_that_is_read_grows_alike(browser: Browser, large: Browser, server: Server, path: str) -> None:
    found = []
    for window in (browser, large):
        window.open(server.base + path)
        if path == "/playground":
            say(window, "write a poem about the sea")
            window.until(lambda: window.text("#receipt-body table"))  # noqa: B023
        found.append(dict(window.js(SIZES)))
    usual, larger = found
    assert len(usual) > 10 and larger.keys() == usual.keys()
    times = LARGE_PX / USUAL_PX
    assert {name: larger[name] / size for name, size in usual.items() if round(larger[name] / size, 2) != times} == {}


@pytest.mark.parametrize("width", [360, 768, 1440])
@pytest.mark.parametrize("path", ["/dashboard", "/playground"])
def test_large_letters_have_room(large: Browser, server: Server, path: str, width: int) -> None:
    large.open(server.base + path, width=width)
    if path == "/playground":
        say(large, "write a poem about the sea")
        large.until(lambda: large.text("#receipt-body table"))
    assert large.js(WIDER) == []
    assert large.js("return document.documentElement.scrollWidth") == width
    assert large.js("return document.querySelector('.skip').getBoundingClientRect().bottom") <= 0, "out of sight"
