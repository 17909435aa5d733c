"""One edition as a file: outcomes, vectors in bytes as the ledger keeps them, and what was known when it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from experts.errors import ShoalError
from experts.fitted import digest
from router.learn.evidence import Outcomes
from router.learn.trace import pack, unpack

_FORMATS: Final = "shoal-edition-"
_FORMAT: Final = f"{_FORMATS}2"

Days = NDArray[np.int32]
"""(n,) UTC days since 1970 a request was made on; 0 for what comes from a file and is never too old."""

Tensors = dict[str, NDArray[Any]]
"""The numbers of an edition by name."""


class EditionError(ShoalError):
    """An edition that is not there, or cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One of the files, without its numbers."""

    number: int
    rows: int
    """Requests, those that nobody scored included."""
    scored: int
    said: Mapping[str, Any]
    """What was known when it was made: experts, date, registry, sources, figures."""


def read_edition(path: Path, maker: str | None = None) -> tuple[Edition, Tensors]:
    """An edition and its numbers.

    Raises `EditionError` when it is damaged or of another format, or not made by `maker` where one is named.
    """
    try:
        with safe_open(path, "numpy") as file:
            header = dict(file.metadata() or {})
            _same_format(path, header)
            tensors = {name: file.get_tensor(name) for name in ("vectors", "features", "scores", "days")}
        kept = header.pop("sha256")
        if digest(header, tensors) != kept:
            raise ValueError("its content does not have the sha256 it was written with")
        said = json.loads(header[_FORMAT])
        own = said["maker"]
        edition = Edition(int(path.stem), len(tensors["days"]), _scored(tensors), {"replaces": 0, **said})
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise EditionError(
            f"{path}: no edition, or a damaged one ({error}). Remedy: restore it, or delete it and let another "
            "serve: shoal learn rollback NUMBER, 0 for nothing learnt; shoal learn list tells them"
        ) from error
    if maker not in (None, own):
        raise EditionError(
            f"{path}: its vectors were made by {own}, but {maker} is in use. Remedy: shoal learn apply, "
            "to learn anew, with --outcomes FILE where no request came since; shoal learn rollback 0, to use "
            "nothing learnt; or restore the encoder"
        )
    return edition, tensors


def edition_bytes(outcomes: Outcomes, days: Days, said: Mapping[str, Any]) -> bytes:
    """What is written of an edition."""
    tensors = tensors_of(outcomes, days)
    header = {_FORMAT: json.dumps({**said, "experts": list(outcomes.experts)})}
    return save(tensors, header | {"sha256": digest(header, tensors)})


def tensors_of(outcomes: Outcomes, days: Days) -> Tensors:
    """Outcomes as an edition keeps them."""
    packed = b"".join(map(pack, outcomes.vectors))
    return {
        "vectors": np.frombuffer(packed, np.int8).reshape(outcomes.vectors.shape),
        "features": outcomes.features.astype(np.float16),
        "scores": outcomes.scores.astype(np.float32),
        "days": days.astype(np.int32),
    }


def outcomes_of(edition: Edition, tensors: Tensors) -> Outcomes:
    """What an edition tells."""
    vectors = unpack([row.tobytes() for row in tensors["vectors"]]) if edition.rows else tensors["vectors"]
    features = tensors["features"].astype(np.float32)
    return Outcomes(tuple(edition.said["experts"]), vectors.astype(np.float32), features, tensors["scores"])


def _scored(tensors: Tensors) -> int:
    return int((~np.isnan(tensors["scores"])).any(axis=1).sum())


def _same_format(path: Path, header: Mapping[str, str]) -> None:
    """Raises `EditionError` for a file that another version of Shoal wrote in its own way."""
    others = sorted(name for name in header if name.startswith(_FORMATS))
    if others and _FORMAT not in header:
        raise EditionError(
            f"{path}: was made by another version of Shoal ({others[0]}, this one reads {_FORMAT}). Remedy: shoal "
            "learn apply, to learn anew, with --outcomes FILE where no request came since; or shoal learn "
            "rollback 0, to use nothing learnt. The file can then be deleted"
        )
