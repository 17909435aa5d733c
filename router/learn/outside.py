"""How likely it is that no expert should answer, learnt from requests of which that is known.

A background class (Larson et al., An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction, 2019),
beside the domains and not among them: such requests are of all kinds, and as one more class of the same head they made
it unsure of the domains as well. Three things are seen of a request, and a logistic line through them is the answer:
what a head of two classes says, how near the nearest such requests are, and how near those of the likeliest domain,
against what that domain's own examples see: one that is broad, or has few examples, is not held to be far for that.
Nor is it heard less: how many examples a domain has tells how many were written, not how often it is asked.
"""

from __future__ import annotations

import math
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from experts.head import LinearHead
from router.cacheline import stacked
from router.calibrate import LANDMARKS, Floats, mean_of_greatest

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

OUTSIDE: Final = ""
"""The label of requests that no expert should answer; a domain has a name."""

NEIGHBOURS: Final = 2
"""Nearest such requests that are looked at; 1 to 3 did the same."""

SHARE: Final = 0.1
"""What such requests weigh together, against all others, whatever their number: that is about the list, not about
traffic. On our own validation requests .06 to .1 sent most of them where they belong."""

HEARD: Final = 20
"""Examples with which a domain says half of what it says with very many; they weigh alike otherwise, and what one says
does not fall when another of few examples joins it (ADR 0053)."""

_NOBODY: Final = -1
"""Stands for the domain of a request that no expert should answer."""

_RIDGE: Final = 1e-3
_STEPS: Final = 50


class Outside:
    """Fitted: `left_out_` (n,) is the probability of each request it was fitted on, by what had not seen it."""

    left_out_: Doubles

    def fit(self, vectors: Floats, index: Indices, near: Floats) -> Self:
        """Learn from unit vectors (n, d) of which the first are of domains, `index` (k,); the rest are of none.

        `near` (n,) is how near each is to its likeliest domain.
        """
        index = np.concatenate([index, np.full(len(vectors) - len(index), _NOBODY)])
        outside = index == _NOBODY
        head = LinearHead().fit(vectors, np.where(outside, OUTSIDE, "known"))
        self._bias = float(head.bias_[0])
        rows = np.flatnonzero(outside)
        kept = rows[np.linspace(0, len(rows) - 1, min(len(rows), LANDMARKS)).round().astype(int)]
        self._learnt(vectors[kept], head.weights_[0])
        cosines = vectors @ self._landmarks.T
        own = np.arange(len(vectors))[:, None] == kept
        strange = np.where(own.any(axis=1), _nearest(np.where(own, -1, cosines)), _nearest(cosines))
        seen = _stacked(head.left_out_scores_[:, 0], strange, near)
        self._line = _logistic(seen, outside.astype(float), _weights(index, outside))
        self.left_out_ = _chance(seen @ self._line)
        return self

    def predict_proba(self, vectors: Floats, near: Floats) -> Doubles:
        """Probability (n,) for unit vectors (n, d) that are `near` (n,) to their likeliest domains."""
        seen = _stacked(vectors @ self._weights + self._bias, _nearest(vectors @ self._landmarks.T), near)
        return _chance(seen @ self._line)

    def chance(self, vector: Floats, near: float) -> float:
        """The same for one vector (d,)."""
        product = self._rows.dot(vector)
        strange = mean_of_greatest(product[:-1], NEIGHBOURS)
        score, nearest, domain, always = self._line.tolist()
        odds = score * (float(product[-1]) + self._bias) + nearest * strange + domain * near + always
        return 1 / (1 + math.exp(-min(max(odds, -30.0), 30.0)))

    def state(self) -> State:
        """What was fitted, to be kept."""
        return {"weights": self._weights, "bias": self._bias, "landmarks": self._landmarks, "line": self._line}

    @classmethod
    def of(cls, state: State) -> Self:
        """The same with a kept state; it knows nothing of the requests it was fitted on."""
        found = cls()
        found._learnt(state["landmarks"], state["weights"])
        found._bias, found._line = state["bias"], state["line"]
        return found

    def _learnt(self, landmarks: Floats, weights: Floats) -> None:
        """Keep landmarks (m, d) and the head's weights (d,) in one array, for one request is multiplied with both."""
        self._rows = stacked([landmarks, weights[None]])
        self._landmarks, self._weights = self._rows[:-1], self._rows[-1]


def _nearest(cosines: Floats) -> Floats:
    """Mean of the greatest few (n,) of cosines (n, m)."""
    count = min(NEIGHBOURS, cosines.shape[1])
    found: Floats = np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1)
    return found


def _weights(index: Indices, outside: Bools) -> Doubles:
    """What each request (n,) weighs, one where all domains have as many examples; `index` (n,) is their domain."""
    heard = np.bincount(index[~outside]) + HEARD
    known = heard[index[~outside]].mean() / heard
    found: Doubles = np.where(outside, min(1.0, SHARE * (~outside).sum() / outside.sum()), known[index])
    return found


def _stacked(scores: Floats, strange: Floats, near: Floats) -> Doubles:
    return np.stack([scores, strange, near, np.ones_like(near)], axis=1, dtype=np.float64)


def _chance(odds: Doubles) -> Doubles:
    found: Doubles = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return found


def _logistic(seen: Doubles, true: Doubles, weights: Doubles) -> Doubles:
    """The line (m,) of a ridge-penalised logistic regression on (n, m), by Newton's steps."""
    line = np.zeros(seen.shape[1])
    for _ in range(_STEPS):
        chance = _chance(seen @ line)
        slope = seen.T @ (weights * (chance - true)) + _RIDGE * line
        curve = (seen * (weights * chance * (1 - chance))[:, None]).T @ seen + _RIDGE * np.eye(len(line))
        step = np.linalg.solve(curve, slope)
        line -= step
        if np.abs(step).max() < 1e-8:
            break
    return line
