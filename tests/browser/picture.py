"""make picture: docs/dashboard.png, the default registry's dashboard after requests as apps send them."""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from rich.progress import track

from eval.provenance import origin
from tests.browser.chromium import Browser
from tests.service.server import ROOT, Server

REQUESTS = ROOT / "eval/data/requests.jsonl"
PICTURE = ROOT / "docs/dashboard.png"
RECORD = ROOT / "eval/results/picture.json"
LAST = "How long answers took"
"""The panel that the picture ends with."""
WIDTH = 1280
WORDS = 64
"""Tokens of an answer at most."""


def main() -> int:
    """Ask, take the picture, say how it was made; the exit code."""
    parser = argparse.ArgumentParser(prog="make picture ARGS=", description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="another place for the picture; then no record is written")
    chosen = parser.parse_args()
    try:
        made = take(chosen.out or PICTURE, chosen.requests, chosen.seed)
    except pytest.skip.Exception as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    if chosen.out is None:
        RECORD.write_text(json.dumps(made, indent=1) + "\n")
    print(f"{chosen.out or PICTURE}: {made['requests']} requests, at load {made['load']}")
    return 0


def take(out: Path, requests: int, seed: int) -> dict[str, Any]:
    """Write the picture of a fresh server that was asked so many requests; how it was made."""
    made = origin()  # the picture that is written here would count as a change of the tree
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "chromium").mkdir()
        browser = Browser(Path(folder) / "chromium")
        try:
            server = Server(Path(folder), ROOT / "registry.yaml").start()
            try:
                ask(server, requests, seed)
                load = round(os.getloadavg()[0], 1)
                browser.open(f"{server.base}/dashboard", WIDTH)
                out.write_bytes(shot(browser))
                answered = server.report()["requests"]
            finally:
                server.stop()
        finally:
            browser.close()
    return made | {"load": load, "requests": answered, "seed": seed}


def ask(server: Server, requests: int, seed: int) -> None:
    """Requests drawn from eval/data, one after another; what is refused there (an empty one) is refused here."""
    rows = [json.loads(line) for line in REQUESTS.read_text().splitlines()]
    drawn = random.Random(seed).choices(rows, k=requests)  # noqa: S311
    for row in track(drawn, "Asking", disable=not sys.stderr.isatty()):
        body = {"model": "auto", "messages": row["messages"], "max_tokens": WORDS}
        status, answer, _ = server.post("/v1/chat/completions", body)
        if status not in (200, 400):
            raise AssertionError(f"{row['id']}: {status} {answer}")


def shot(browser: Browser) -> bytes:
    """The page down to the panel `LAST`, as a PNG file, in the light theme."""
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
    titled = (
        "[...document.querySelectorAll('.panel')].find((one) => one.querySelector('h2').textContent === arguments[0])"
    )
    end = browser.js(f"return {titled}.getBoundingClientRect().bottom + scrollY", LAST)
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": round(end) + 16, "scale": 1}
    taken = browser.chrome.execute_cdp_cmd(
        "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True, "clip": clip}
    )
    return base64.b64decode(taken["data"])


if __name__ == "__main__":
    sys.exit(main())
