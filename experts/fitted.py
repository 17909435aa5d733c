"""Fitted things on disk: one safetensors file, its JSON header says what they were fitted on. Nothing is pickled.

What is fitted is worth nothing with another encoder's vectors, so a file made with another is refused. So is one of
which a bit has flipped: the header holds a sha256 over everything else in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from experts.errors import WeightsError
from experts.whole import write_whole

State = dict[str, Any]
"""What `fit` found: numpy arrays of numbers, values that JSON can hold, and further states, each under its name."""

_FORMAT: Final = "shoal-fitted-2"


def save_fitted(path: Path, kind: str, state: State, *, encoder: str, data: str) -> None:
    """Write `state` whole or not at all. `encoder` and `data` are hashes of what it was fitted on. Raises OSError."""
    arrays: dict[str, np.ndarray] = {}
    plain: State = {}
    for name, value in _flat(state, ""):
        if isinstance(value, np.ndarray):
            arrays[name] = np.ascontiguousarray(value)
        else:
            plain[name] = value
    said = {"format": f"{_FORMAT}/{kind}", "encoder": encoder, "data": data, "plain": json.dumps(plain)}
    said["sha256"] = digest(said, arrays)
    write_whole(path, save(arrays, said))


def load_fitted(path: Path, kind: str, *, encoder: str, data: str) -> State:
    """What `save_fitted` wrote. Raises WeightsError when it is not that, or fitted on other vectors or other data.

    Also when it is no longer what was written.
    """
    try:
        with safe_open(path, "numpy") as file:
            said: dict[str, Any] = file.metadata() or {}
            _same(path, said, {"format": f"{_FORMAT}/{kind}", "encoder": encoder, "data": data})
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        kept = said.pop("sha256")
        if digest(said, arrays) != kept:
            raise ValueError("it is damaged: its content does not have the sha256 it was written with")
        flat = json.loads(said["plain"]) | arrays
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not a fitted {kind} ({error}). Remedy: delete it and fit again.") from error
    return _nested(flat)


def reason(error: WeightsError) -> str:
    """What is wrong with what was kept, for one who fits it again at once: that is the remedy, and it says so."""
    return f"{str(error).partition(' Remedy: ')[0]} Nothing is to be done."


def _same(path: Path, said: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raises WeightsError when something else was said than is wanted, KeyError when nothing was."""
    for what, value in wanted.items():
        if said[what] != value:
            raise WeightsError(
                f"{path}: fitted on {what} {said[what]!r}, but {value!r} is in use. Remedy: restore the {what} it was "
                "fitted on, or delete the file and fit again."
            )


def digest(said: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over every value of the header, and name, type, shape and numbers of every array."""
    shapes = {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()}
    found = hashlib.sha256(json.dumps([dict(said), shapes], sort_keys=True).encode())
    for name in sorted(arrays):
        found.update(np.ascontiguousarray(arrays[name]).data)
    return found.hexdigest()


def _flat(state: State, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in state.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _nested(flat: State) -> State:
    found: State = {}
    for name, value in flat.items():
        *rooms, last = name.split(".")
        room = found
        for each in rooms:
            room = room.setdefault(each, {})
        room[last] = value
    return found
