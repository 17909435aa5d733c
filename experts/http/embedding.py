"""What a server's /v1/embeddings sends -> vectors. Pure."""

from __future__ import annotations

import numpy as np
import orjson
from numpy.typing import NDArray

from experts.errors import ExpertFailed
from experts.wire import Usage


def vectors_in(expert: str, raw: bytes, count: int) -> tuple[NDArray[np.float32], Usage]:
    """The `count` vectors of an answer, by their index, and its usage. Raises ExpertFailed when it is none."""
    try:
        body = orjson.loads(raw)
        rows = sorted(body["data"], key=lambda row: row["index"])
        vectors = np.array([row["embedding"] for row in rows], np.float32)
        usage = body.get("usage")
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        raise ExpertFailed(expert, "the upstream sent no embeddings") from None
    if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
        raise ExpertFailed(expert, f"the upstream sent no {count} vectors of numbers and one length")
    return vectors, Usage.read({**usage, "completion_tokens": 0} if isinstance(usage, dict) else None)
