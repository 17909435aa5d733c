"""Evidence whose truth is known."""

from __future__ import annotations

from typing import Literal

import numpy as np

from router.promises.evidence import Evidence


def evidence(
    n: int, seed: int = 0, source: Literal["outcomes", "examples"] = "examples", *, equal: bool = False
) -> Evidence:
    """Two small experts, perhaps equally small, and the fallback: the surer one is, the rarer it loses."""
    rng = np.random.default_rng(seed)
    first = rng.random(n)
    probability = np.stack([first, 1 - first, np.full(n, 0.5)], axis=1)
    losses = (rng.random((n, 3)) < 0.5 * (1 - probability)).astype(float)
    losses[:, 2] = 0
    vectors = rng.standard_normal((n, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    bulks = ((0.0, 1.0), (0.0, 1.0 if equal else 3.0), (18.0, 70.0))
    return Evidence(source, ("small", "medium", "big"), bulks, "big", probability, rng.random(n), losses, vectors)
