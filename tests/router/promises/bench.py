"""Evidence whose truth is known."""

from __future__ import annotations

from typing import Literal

import numpy as np

from router.promises.evidence import Evidence


def evidence(n: int, seed: int = 0, source: Literal["outcomes", "examples"] = "examples") -> Evidence:
    """Two small experts and the fallback: the surer one is, the rarer it loses."""
    rng = np.random.default_rng(seed)
    first = rng.random(n)
    probability = np.stack([first, 1 - first, np.full(n, 0.5)], axis=1)
    losses = (rng.random((n, 3)) < 0.3 * (1 - probability)).astype(float)
    losses[:, 2] = 0
    vectors = rng.standard_normal((n, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Evidence(source, ("small", "medium", "big"), "big", probability, rng.random(n), losses, vectors)
