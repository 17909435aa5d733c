"""Expected scores -> probabilities that hold, learnt from what fits said of requests they had not seen.

Platt, Probabilistic Outputs for Support Vector Machines, 2000, with scores between nought and one as soft labels; twice
where tasks are known: once on requests of known tasks, once on requests whose whole task was left out, because there a
fit is as sure of itself as ever and less often right. How much a request looks like the second kind blends the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

Numbers = TypeVar("Numbers", Floats, Doubles)

UNKNOWN: Final = 1 / 3
"""Share of requests that is taken to come from tasks never seen, before looking at them."""

_EDGE: Final = 0.03
"""Expected scores nearer to nought or one than this are taken to be this near; a ridge does not tell them apart."""

_LEAST, _MOST, _HALF, _ONE = (np.array(number, np.float32) for number in (_EDGE, 1 - _EDGE, 0.5, 1))
"""Arrays without axes: on one request, a step with such takes half as long as one with a Python number."""

NOT_STRANGE: Final = np.zeros((), np.float32)
"""How strange a request is of which nothing tells."""

_PENALTY: Final = 5.0
"""Pull, as of about so many rows' word, towards what would be believed without data."""

_STEPS: Final = 25
_ENOUGH: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Held:
    """What fits said of n requests they had not seen, and what was true."""

    expected: Floats
    """(n, m)."""
    scores: Floats
    """(n, m), NaN where unknown."""
    signs: Floats
    """(n, k), how sure the task head was."""
    rows: NDArray[np.intp]
    """(n,), which of the rows they are."""

    def take(self, which: NDArray[np.bool_]) -> Held:
        """Some of the requests."""
        return Held(self.expected[which], self.scores[which], self.signs[which], self.rows[which])


class Platt:
    """Fitted: `weights_` (2, m), the offset and slope of every model."""

    weights_: Floats

    def fit(self, held: Held) -> Self:
        """Learn every model's line from expected to true log-odds."""
        odds = _log_odds(held.expected).astype(np.float64)
        lines = [_line(own, score) for own, score in zip(odds.T, held.scores.T, strict=True)]
        return self._with(np.array(lines, np.float32).T)

    @classmethod
    def of(cls, weights: Floats) -> Self:
        """Lines with kept weights (2, m)."""
        return cls()._with(weights)

    def leaning(self, log_odds: Floats) -> Floats:
        """Twice the probabilities (..., m) less one, for the log-odds (..., m) of expected scores."""
        found: Floats = log_odds * self._half_slope
        found += self._half_offset
        return np.tanh(found, out=found)

    def _with(self, weights: Floats) -> Self:
        self.weights_ = weights
        self._half_offset, self._half_slope = np.ascontiguousarray(weights / 2)
        return self


class Calibration:
    """Platt for known tasks, Platt for unknown ones, and which of the two a request looks like."""

    def fit(self, known: Held, unknown: Held | None) -> Self:
        """Learn from requests of known tasks, and from the same as if their tasks were not known."""
        self._known = Platt().fit(known)
        self._unknown = Platt().fit(unknown) if unknown is not None else None
        if unknown is not None:
            signs = np.concatenate([known.signs, unknown.signs])
            mean, spread = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-6)
            strange = np.repeat([0.0, 1.0], [len(known.signs), len(unknown.signs)])
            design = np.hstack([np.ones((len(signs), 1)), (signs - mean) / spread])
            found = _logistic(design, strange, np.zeros(1 + signs.shape[1]))
            found[1:] /= spread
            found[0] += np.log(UNKNOWN / (1 - UNKNOWN)) - np.log(len(unknown.signs) / len(known.signs))
            found[0] -= found[1:] @ mean
            self._gate = found.astype(np.float32)
        return self

    def state(self) -> State:
        """What was fitted, to be kept."""
        state: State = {"known": self._known.weights_}
        if self._unknown is not None:
            state |= {"unknown": self._unknown.weights_, "gate": self._gate}
        return state

    @classmethod
    def of(cls, state: State) -> Self:
        """Calibration with a kept state."""
        found = cls()
        found._known = Platt.of(state["known"])
        found._unknown = Platt.of(state["unknown"]) if "unknown" in state else None
        if found._unknown is not None:
            found._gate = state["gate"]
        return found

    def strange(self, signs: Floats) -> Floats:
        """How much requests with signs (n, k) look as if their tasks were not known: (n, 1)."""
        if self._unknown is None:
            return np.zeros((len(signs), 1), np.float32)
        found: Floats = _chance(self._gate[0] + signs @ self._gate[1:])[:, None]
        return found

    def strange_of(self, likeliest: float, score: float) -> Floats:
        """The same of one request, without axes, by the probability and the score of its likeliest task."""
        if self._unknown is None:
            return NOT_STRANGE
        always, by_likeliest, by_score = self._gate.tolist()
        odds: float = always + by_likeliest * likeliest + by_score * score
        return np.array(1 / (1 + math.exp(min(-odds, 80.0))), np.float32)

    def transform(self, expected: Floats, strange: Floats) -> Floats:
        """Probabilities (..., m) for expected scores (..., m) of requests that are so `strange`."""
        log_odds = _log_odds(expected)
        found = known = self._known.leaning(log_odds)
        if self._unknown is not None:
            found = self._unknown.leaning(log_odds)
            found -= known
            found *= strange
            found += known
        found *= _HALF
        found += _HALF
        return found


def _log_odds(expected: Floats) -> Floats:
    """Of expected scores (..., m), none of them too near to nought or one."""
    found: Floats = np.maximum(expected, _LEAST)
    np.minimum(found, _MOST, out=found)
    found /= _ONE - found
    return np.log(found, out=found)


def _line(log_odds: Doubles, scores: Floats) -> Doubles:
    """Offset and slope (2,) of one model, from its requests (n,) whose score is known."""
    told = ~np.isnan(scores)
    design = np.stack([np.ones(int(told.sum())), log_odds[told]], axis=1)
    return _logistic(design, scores[told], np.array([0.0, 1.0]))


def _chance(logits: Numbers) -> Numbers:
    chance: Numbers = np.reciprocal(1 + np.exp(np.minimum(-logits, 80)))
    return chance


def _logistic(design: Doubles, targets: Floats | Doubles, believed: Doubles) -> Doubles:
    """Newton's method on the cross-entropy with a quadratic pull towards what is `believed`, starting there."""
    found = believed
    for _ in range(_STEPS):
        chance = _chance(design @ found)
        slope = design.T @ (chance - targets) + _PENALTY * (found - believed)
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + _PENALTY * np.eye(len(found))
        step = np.linalg.solve(bend, slope)
        found = found - step
        if np.abs(step).max() < _ENOUGH:
            break
    return found
