from __future__ import annotations

from experts.process.tail import Tail


def test_keeps_the_newest_and_shows_it_harmlessly() -> None:
    tail = Tail(kept_bytes=40)
    tail.feed(b"forgotten " * 10)
    tail.feed(b"\none\r\n\n\x1b[31mred\x07\nlast \xff\n")
    assert tail.text(2) == "?[31mred?\nlast \N{REPLACEMENT CHARACTER}"
    assert len(tail.text()) <= 40 and "one" in tail.text()
    tail.clear()
    assert tail.text() == ""
