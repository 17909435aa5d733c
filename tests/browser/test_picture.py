"""The picture in the README can be taken again."""

from __future__ import annotations

from pathlib import Path

from tests.browser.chromium import found
from tests.browser.picture import LAST, WIDTH, take


def test_a_picture_is_taken_of_the_default_registry(tmp_path: Path) -> None:
    found()  # nothing is started where there is no browser
    path = tmp_path / "dashboard.png"
    made = take(path, requests=4, seed=3)
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    assert width == WIDTH
    assert height > 1200, f"it ends below {LAST!r}"
    assert made["requests"] == 4
