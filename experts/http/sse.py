"""Server-sent events, decoded: bytes in whatever pieces the network gives -> whole `data` payloads.

Follows the WHATWG event stream rules (LF, CR and CRLF line ends, a leading byte-order mark, comments, several `data`
lines joined by a newline). Payloads stay bytes, and are handed out only when whole, so UTF-8 is never split.
"""

from __future__ import annotations

MAX_EVENT_BYTES = 10 * 1024 * 1024
"""A longer event is taken for an attack or a fault."""

_BOM = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event, finished or not, is longer than `MAX_EVENT_BYTES`."""


class SseDecoder:
    """Feed it reads; it gives back the payloads they completed."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._begun = False
        self._ended_with_cr = False

    @property
    def idle(self) -> bool:
        """True between events: the next read starts one."""
        return self._begun and not self._rest and not self._ended_with_cr

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of all events that `data` completes, in order. Raises EventTooLong."""
        if self.idle and data.endswith(b"\n\n") and b"\r" not in data:
            return _payloads(data[:-2].split(b"\n\n"))  # what nearly every read is: whole events
        data = self._with_newlines(data)
        self._rest += data
        if not self._begun and not self._begin():
            return []
        end = self._rest.rfind(b"\n\n", self._searched)
        if end < 0:
            if len(self._rest) > MAX_EVENT_BYTES:
                raise EventTooLong
            self._searched = max(0, len(self._rest) - 1)
            return []
        blocks = bytes(self._rest[:end]).split(b"\n\n")
        del self._rest[: end + 2]
        self._searched = 0
        return _payloads(blocks)

    def close(self) -> list[bytes]:
        """The payload of an event that lacks only its closing empty line, if there is one."""
        rest, self._rest = bytes(self._rest), bytearray()
        return _payloads([rest])

    def _with_newlines(self, data: bytes) -> bytes:
        """`data` with every line end as LF, also when a CRLF was torn apart by the network."""
        if self._ended_with_cr and data.startswith(b"\n"):
            data = data[1:]
            self._ended_with_cr = False
        if data:
            self._ended_with_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _begin(self) -> bool:
        """Drop a byte-order mark. False while it cannot be told yet whether there is one."""
        if len(self._rest) < len(_BOM) and _BOM.startswith(bytes(self._rest)):
            return False
        if self._rest.startswith(_BOM):
            del self._rest[: len(_BOM)]
        self._begun = True
        return True


def _payloads(blocks: list[bytes]) -> list[bytes]:
    payloads = []
    for block in blocks:
        payload = block[6:] if block.startswith(b"data: ") and b"\n" not in block else _join(block)
        if len(payload) > MAX_EVENT_BYTES:
            raise EventTooLong
        if payload:
            payloads.append(payload)
    return payloads


def _join(block: bytes) -> bytes:
    """The `data` lines of one event; comments and other fields are dropped."""
    lines = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)
