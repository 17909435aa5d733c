"""The control tokens of a GGUF file, read from its header (laid out as ggml's GGUF specification, version 3, says)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

from experts.errors import WeightsError

_TOKENS: Final = "tokenizer.ggml.tokens"
_KINDS: Final = "tokenizer.ggml.token_type"
_CONTROL: Final = (2, 3)
"""UNKNOWN and CONTROL: text that is read as one of them speaks to the model's template, not to the model."""
_NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9
_MAX_KEYS: Final = 100_000


def control_tokens(path: Path) -> tuple[str, ...]:
    """How the control tokens of the model at `path` are written. Raises WeightsError when it is no GGUF file."""
    try:
        with path.open("rb") as file:
            found = _header(file)
    except (OSError, struct.error, ValueError, OverflowError, KeyError, MemoryError):
        raise WeightsError(f"{path}: is not a GGUF file. Remedy: check the source of the weights") from None
    kinds = found.get(_KINDS) or ()
    return tuple(token for token, kind in zip(found.get(_TOKENS) or (), kinds, strict=False) if kind in _CONTROL)


def _header(file: BinaryIO) -> dict[str, Any]:
    magic, version, _, keys = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version < 2 or keys > _MAX_KEYS:
        raise ValueError("no GGUF")
    found: dict[str, Any] = {}
    for _ in range(keys):
        key = _text(file)
        (kind,) = struct.unpack("<I", file.read(4))
        found[key] = _value(file, kind)
        if _TOKENS in found and _KINDS in found:
            break
    return found


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        of, count = struct.unpack("<IQ", file.read(12))
        if of in _NUMBERS:
            return struct.unpack(f"<{count}{_NUMBERS[of]}", file.read(count * struct.calcsize(_NUMBERS[of])))
        return [_value(file, of) for _ in range(count)]
    return struct.unpack(f"<{_NUMBERS[kind]}", file.read(struct.calcsize(f"<{_NUMBERS[kind]}")))[0]


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    raw = file.read(length)
    if len(raw) < length:
        raise ValueError("cut off")
    return raw.decode("utf-8", "replace")
