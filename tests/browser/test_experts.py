"""Experts as the dashboard shows them: with the longest names, and coming and going while it is open."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browser.chromium import Browser, found
from tests.service.server import Server, write_registry

LONG = "gardener-" + "of-roses-" * 6 + "x"
"""64 characters."""

TIPS = """
  const { right } = document.querySelector(".panels").getBoundingClientRect();
  return [...document.querySelectorAll(".tip:not([hidden])")].map((one) => {
    const box = one.getBoundingClientRect();
    return [one.textContent.includes(arguments[0]), box.left >= 0, box.right <= right];
  });
"""
COLOURS = """
  const named = ".legend li:has(b), .bars .label span, .experts-loaded .name, .pays .name";
  const shown = [...document.querySelectorAll(named)].filter((one) => one.querySelector(":scope > .swatch"));
  return shown.map((one) => [[...one.childNodes].find((node) => node.nodeType === 3 && node.data.trim()).data.trim(),
    getComputedStyle(one.querySelector(".swatch")).backgroundColor]);
"""
"""[name, colour] of every expert, wherever it stands."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Of four experts, each of which has answered."""
    found()
    registry = write_registry(tmp_path)
    told = yaml.safe_load(registry.read_text())
    told["experts"].append(expert(LONG))
    registry.write_text(yaml.safe_dump(told))
    running = Server(tmp_path, registry).start()
    try:
        for name in ("poet", "cook", "big", LONG):
            body = {"model": name, "messages": [{"role": "user", "content": "hello"}]}
            assert running.post("/v1/chat/completions", body)[0] == 200
        yield running
    finally:
        running.stop(signal.SIGKILL)


def expert(name: str) -> dict[str, Any]:
    """One more for a registry."""
    return {"id": name, "kind": "scripted", "script": "big.jsonl", "params_b": 1, "context": 64, "description": "Grows"}


@pytest.mark.parametrize("width", [360, 1280])
def test_what_the_pointer_tells_stays_on_the_page(browser: Browser, server: Server, width: int) -> None:
    browser.open(f"{server.base}/dashboard", width)
    who = "[...document.querySelectorAll('.panel')].find((one) => one.textContent.startsWith('Who answered'))"
    plot = browser.js(f"return {who}.querySelector('.u-over')")
    browser.js("arguments[0].scrollIntoView({ block: 'center' })", plot)
    for part in (0.05, 0.49, 0.95):
        move = """const { left, top, width } = arguments[0].getBoundingClientRect();
          const at = { clientX: left + width * arguments[1], clientY: top + 20, bubbles: true };
          for (const kind of ["mouseenter", "mousemove"]) arguments[0].dispatchEvent(new MouseEvent(kind, at));"""
        browser.js(move, plot, part)
        assert browser.until(lambda: browser.js(TIPS, LONG)) == [[True, True, True]]


def test_an_expert_has_one_colour_everywhere_while_others_come_and_go(browser: Browser, server: Server) -> None:
    browser.open(f"{server.base}/dashboard")
    told = yaml.safe_load(server.registry.read_text())
    told["experts"] = [each for each in told["experts"] if each["id"] != "cook"] + [expert("gardener")]
    server.registry.write_text(yaml.safe_dump(told))
    names = "return [...document.querySelectorAll('.experts-loaded .name')].map((one) => one.textContent).join()"
    browser.until(lambda: "gardenernot loaded" in browser.js(names))
    shown: dict[str, set[str]] = {}
    for name, colour in browser.js(COLOURS):
        shown.setdefault(name, set()).add(colour)
    assert shown.keys() == {"poet", "cook", "big", LONG, "gardener"}
    assert [name for name, colours in shown.items() if len(colours) > 1] == []
    assert len(set.union(*shown.values())) == len(shown)
