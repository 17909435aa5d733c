"""The decoder gives the same payloads however the network cuts the bytes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.http.sse import MAX_EVENT_BYTES, EventTooLong, SseDecoder

FISH = '{"text":"wörld 🐟"}'.encode()

STREAMS = {
    "plain": (b"data: %b\n\ndata: [DONE]\n\n" % FISH, [FISH, b"[DONE]"]),
    "CRLF": (b"data: %b\r\n\r\ndata: b\r\n\r\n" % FISH, [FISH, b"b"]),
    "CR": (b"data: %b\r\rdata: b\r\r" % FISH, [FISH, b"b"]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\rdata: d\n\n", [b"a", b"b", b"c", b"d"]),
    "no space": (b"data:a\n\ndata:  b\n\n", [b"a", b" b"]),
    "comments and fields": (b": hi\n\nevent: x\nid: 1\nretry: 5\ndata: a\n: mid\n\n:\n\ndata: b\n\n", [b"a", b"b"]),
    "several data lines": (b'data: {"a":\ndata: 1}\n\ndata: b\n\n', [b'{"a":\n1}', b"b"]),
    "empty events": (b"\n\n\ndata: a\n\n\n\ndata:\n\ndata\n\ndata: b\n\n", [b"a", b"b"]),
    "byte-order mark": (b"\xef\xbb\xbfdata: a\n\ndata: \xef\xbb\xbf\n\n", [b"a", b"\xef\xbb\xbf"]),
    "half a byte-order mark": (b"\xef\xbbdata: a\n\ndata: b\n\n", [b"b"]),
    "unfinished": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "unfinished line": (b"data: a\n\ndata: b\n", [b"a", b"b"]),
    "unknown fields": (b"database: no\ndata: a\n\ndata-x: no\n\n", [b"a"]),
}


def decode(parts: Iterable[bytes]) -> list[bytes]:
    decoder = SseDecoder()
    payloads = [payload for part in parts for payload in decoder.feed(part)]
    return payloads + decoder.close()


@pytest.mark.parametrize("name", STREAMS)
def test_every_pair_of_cuts_decodes_the_same(name: str) -> None:
    stream, payloads = STREAMS[name]
    for first, second in combinations_with_replacement(range(len(stream) + 1), 2):
        assert decode([stream[:first], stream[first:second], stream[second:]]) == payloads, (first, second)


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte_decodes_the_same(name: str) -> None:
    stream, payloads = STREAMS[name]
    assert decode(stream[at : at + 1] for at in range(len(stream))) == payloads


@given(st.lists(st.sampled_from([b"data: ", b"data:", b"a", b"\n", b"\r", b"\r\n", b":", b"\n\n"])), st.data())
def test_any_stream_decodes_the_same_in_any_pieces(words: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(words)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(parts) == decode([stream])


def test_an_event_is_handed_out_as_soon_as_it_is_whole() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [b"a"], "a CR ends the line, whatever follows"
    assert decoder.feed(b"\ndata: b\n") == []
    assert decoder.feed(b"\n") == [b"b"]
    assert decoder.idle


@pytest.mark.parametrize("size", [1 << 16, 1 << 20])
def test_a_long_event_is_whole_up_to_the_limit(size: int) -> None:
    long = b"x" * (MAX_EVENT_BYTES - 100)
    stream = b"data: a\n\ndata: " + long + b"\n\n"
    assert decode(stream[at : at + size] for at in range(0, len(stream), size)) == [b"a", long]


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_a_longer_event_is_refused(end: bytes) -> None:
    stream = b"data: a\n\ndata: " + b"x" * (MAX_EVENT_BYTES + 1) + end
    with pytest.raises(EventTooLong):
        decode([stream])
    with pytest.raises(EventTooLong):
        decode(stream[at : at + (1 << 20)] for at in range(0, len(stream), 1 << 20))
