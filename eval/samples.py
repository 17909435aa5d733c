"""Labelled requests: one JSON object a line, optionally gzipped."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Literal

import orjson

from experts.errors import ShoalError, WrongUsage
from experts.rows import GZIPPED, not_json, wrong_keys

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class SamplesError(ShoalError):
    """An evaluation file is not usable; the message names file, line and remedy."""


class NotInFile(SamplesError, WrongUsage):
    """An option names what the file does not have; the message tells what it has."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A request and its domain; None means out of every domain."""

    input: str
    label: str | None
    split: Split


def read_labelled(path: Path) -> list[Labelled]:
    """Every row of a labelled file; all are `train` where none has a split. Raises `SamplesError`."""
    rows, told = [], set()
    for number, row in json_rows(path):
        rows.append(_labelled(path, number, row))
        told.add("split" in row)
        if len(told) > 1:
            without = "this one has" if "split" in row else "this one lacks"
            remedy = f"one of {', '.join(SPLITS)} in every row, or in none: then all are train"
            raise SamplesError(
                f"{path}:{number}: some rows have a 'split' and some have none; {without} it. Remedy: {remedy}"
            )
    return rows


def _labelled(path: Path, number: int, row: dict[str, object]) -> Labelled:
    text, label, split = row.get("input"), row.get("label"), row.get("split", "train")
    if not isinstance(text, str):
        raise SamplesError(f"{path}:{number}: 'input' must be a text. Remedy: give every row an input")
    if label is not None and not isinstance(label, str):
        raise SamplesError(f"{path}:{number}: 'label' must be a text. Remedy: null for what is out of every domain")
    if label is not None and not label.strip():
        raise SamplesError(
            f"{path}:{number}: 'label' is blank. Remedy: null for what is out of every domain, or its name"
        )
    known: Split | None = next((each for each in SPLITS if split == each), None)
    if known is None:
        raise SamplesError(f"{path}:{number}: split {split!r} is not known. Remedy: one of {', '.join(SPLITS)}")
    if "label" not in row:
        remedy = "name its domain, or null for what is out of every domain"
        raise SamplesError(f"{path}:{number}: has no 'label'. Remedy: {remedy}")
    return Labelled(text, label, known)


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Line number and object of every line that is not blank, one by one. Raises `SamplesError`."""
    try:
        with path.open("rb") as file, _unzipped(path, file) as lines:
            for number, line in enumerate(lines, 1):
                text = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield number, _object(path, number, text)
    except (OSError, EOFError, zlib.error) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        remedy = "check the path; a .gz file must be whole"
        raise SamplesError(f"{path}: cannot be read ({said}). Remedy: {remedy}") from None


def _object(path: Path, number: int, line: bytes) -> dict[str, object]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        remedy = "one JSON object a line, in UTF-8"
        raise SamplesError(f"{path}:{number}: no JSON ({not_json(error)}). Remedy: {remedy}") from None
    if not isinstance(row, dict):
        raise SamplesError(f"{path}:{number}: not an object. Remedy: one JSON object a line")
    if wrong := wrong_keys(line, row):
        raise SamplesError(f"{path}:{number}: {wrong}. Remedy: give every key of an object once")
    return row


def _unzipped(path: Path, file: BufferedReader) -> IO[bytes]:
    """What a file holds, gzipped or not, whatever its name; what is called .gz has to be."""
    return gzip.open(file) if path.suffix == ".gz" or file.peek(2).startswith(GZIPPED) else file  # type: ignore[return-value]
