"""The rows of an export as a file: CSV that no spreadsheet takes for formulas, lines of JSON, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any, Final, Literal

from experts.errors import ShoalError
from experts.extras import install
from router.meter.export import COLUMNS, MOMENTS, MONEY, NUMBERS

Form = Literal["csv", "jsonl", "parquet"]

_BLOCK: Final = 2000


class NoParquet(ShoalError):
    """The library that writes Parquet is not installed; the message holds the remedy."""


def exported(found: Iterator[dict[str, Any]], form: Form) -> Iterator[bytes]:
    """The rows as a file, in blocks. Raises NoParquet with the first of them."""
    return _WRITERS[form](found)


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula may begin with, the signs in full width too, which some spreadsheets read alike."""


def harmless(value: Any) -> Any:
    """A text a spreadsheet will not take for a formula: those that could be one get a quote before them (OWASP)."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _csv(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    head = True
    while (block := list(islice(found, _BLOCK))) or head:
        text = io.StringIO()
        writer = csv.writer(text)
        if head:
            writer.writerow(COLUMNS)
            head = False
        money = frozenset(MONEY)
        writer.writerows([[row[c] if c in money else harmless(row[c]) for c in COLUMNS] for row in block])
        yield text.getvalue().encode()


def _jsonl(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    while block := list(islice(found, _BLOCK)):
        yield "".join(json.dumps(row) + "\n" for row in block).encode()


class _Sink(io.RawIOBase):
    """A file that is read while it is written, and remembers how long it is."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._length = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._length += len(part)
        return len(part)

    def tell(self) -> int:
        return self._length

    def writable(self) -> bool:
        return True

    def taken(self) -> bytes:
        """What was written since the last time."""
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole


def _parquet(found: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    """Money as decimals to the yocto-dollar, counts as whole numbers, moments as such; written block by block."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise NoParquet(f"Parquet needs pyarrow. Remedy: {install('parquet')}, or choose csv or jsonl") from None
    types = {**dict.fromkeys(MONEY, pa.decimal128(38, 24)), **dict.fromkeys(NUMBERS, pa.int64())}
    types |= dict.fromkeys(MOMENTS, pa.timestamp("us", tz="UTC"))
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    sink = _Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), schema) as writer:
        while block := list(islice(found, _BLOCK)):
            writer.write_table(pa.Table.from_pylist(list(map(_typed, block)), schema))
            yield sink.taken()
    yield sink.taken()


def _typed(row: dict[str, Any]) -> dict[str, Any]:
    """A row as Parquet's types have it."""
    moments = {name: datetime.fromisoformat(row[name]) for name in MOMENTS}
    return {**row, **moments, **{name: Decimal(row[name]) if row[name] else None for name in MONEY}}


_WRITERS: Final[dict[Form, Callable[[Iterator[dict[str, Any]]], Iterator[bytes]]]] = {
    "csv": _csv, "jsonl": _jsonl, "parquet": _parquet,
}  # fmt: skip
