"""Small JSON files that Shoal writes and reads back: whatever became of one, its reader hears one kind of error."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final, NoReturn

MAX_BYTES = 1_000_000
"""None of ours is a hundredth of that."""

_SEAL: Final = "sha256"
"""The key of a seal: a digit that is another leaves the file one that can be read, and what it says another."""


class StateDamaged(ValueError):
    """A file, or a value in it, is not what was written; the message says in what, without the file's name."""


def sealed(state: dict[str, Any]) -> bytes:
    """A JSON object as `read_state` gives it back, with a hash of what it says."""
    return json.dumps({**state, _SEAL: _hash(state)}).encode()


def read_state(path: Path) -> dict[str, Any]:
    """The JSON object in a file, without its seal; older versions wrote none.

    Raises FileNotFoundError where there is no file, else `StateDamaged`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise StateDamaged(f"it is larger than {MAX_BYTES:,} bytes")
        return _unsealed(json.loads(content, parse_float=_finite, parse_constant=_no_number))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StateDamaged(f"it cannot be read: {error.strerror}") from error
    except RecursionError:
        raise StateDamaged("it is nested too deeply") from None
    except ValueError as error:
        raise error if isinstance(error, StateDamaged) else StateDamaged(f"it is not JSON: {error}") from None


def whole_number(state: dict[str, Any], name: str) -> int:
    """A count under a name: 0 or more, and not as large as to be none. Raises `StateDamaged`."""
    found = state.get(name)
    if type(found) is not int or not 0 <= found < 2**53:  # a bool is an int too
        raise StateDamaged(f"{name!r} is no whole number")
    return found


def number(state: dict[str, Any], name: str) -> float:
    """A finite number under a name. Raises `StateDamaged`."""
    found = state.get(name)
    if type(found) is float or (type(found) is int and abs(found) < 2**53):
        return float(found)
    raise StateDamaged(f"{name!r} is no number")


def _unsealed(found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise StateDamaged("it holds no JSON object")
    if _SEAL in found and found.pop(_SEAL) != _hash(found):
        raise StateDamaged(f"its content does not have the {_SEAL} it was written with")
    return found


def _hash(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _finite(text: str) -> float:
    found = float(text)
    if found - found != 0:
        raise StateDamaged(f"the number {text[:20]} is too large")
    return found


def _no_number(text: str) -> NoReturn:
    raise StateDamaged(f"{text} is no number")
