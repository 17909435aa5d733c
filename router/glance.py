"""One request judged by the parts of a fitted judge, in fewer and smaller steps than many at once, and just the same.

What its vector is multiplied with lies in few arrays, each read once from end to end: what a judgement costs is the
reading of them, and after it everything else has to be fetched again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from experts.wire import Vector
from router.calibrate import Floats
from router.judgement import Judgement
from router.learn.domains import Domains
from router.learn.effects import Indices
from router.learn.outcomes import OutcomeModel

TaskScores = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]
"""Of a vector (d,), its domain scores (k,) and their probabilities: scores (t,) and probabilities of tasks."""


class Glance:
    """Fitted parts, ready for one request at a time; safe to share between tasks."""

    def __init__(
        self,
        names: Sequence[str],
        columns: Indices,
        moved: Indices,
        domains: Domains,
        model: OutcomeModel | None,
        task_scores: TaskScores,
    ) -> None:
        """Of experts by `names` (m,); `columns` are the domains of the first of them, `moved` those outcomes move.

        `model` is what was learnt from outcomes, if anything was.
        """
        self._domains, self._model, self._task_scores = domains, model, task_scores
        heads = domains.head.weights_
        self._rows = heads if model is None else np.concatenate([heads, model.rows(heads.shape[1])])
        self._ones = np.ones(len(heads), np.float32)
        self._names, self._nobody = names, dict.fromkeys(names, 0.0)
        self._backed, self._moved = _run(columns), _run(moved)
        self._bare = np.zeros(len(names) - len(columns), np.float32)

    def judge(self, vector: Vector, features: Floats) -> Judgement:
        """Judge by the vector (d,) and the surface numbers (f,)."""
        domains, count = self._domains, len(self._ones)
        product = self._rows.dot(vector)
        scores = product[:count] + domains.head.bias_
        best, seen = domains.settle(vector, scores)
        familiarity, known, outside = domains.familiar(vector, float(scores[best]), best, seen)
        shares = np.exp(scores - scores[best : best + 1])
        shares /= shares.dot(self._ones)
        probability = self._prior(shares, outside)
        if self._model is not None:
            prior, tasks = probability[self._moved], self._task_scores(vector, scores, shares)
            probability[self._moved] = self._model.judge_one(product[count:], features, prior, *tasks)
        label = str(domains.classes_[best]) if outside < 0.5 else ""
        believed = self._nobody.copy()
        believed.update(zip(self._names, probability.tolist(), strict=True))
        return Judgement(label or None, believed, known, familiarity, outside)

    def _prior(self, shares: Floats, outside: float) -> Floats:
        """What examples alone say (m,), nought where an expert has none, of the domains' probabilities (k,)."""
        found: Floats = shares[self._backed] * (1 - outside)
        return np.concatenate([found, self._bare]) if len(self._bare) else found


def _run(indices: Indices) -> Indices | slice:
    """The same as a slice where they go up one by one: what it takes is looked at, not copied."""
    first, end = (int(indices[0]), int(indices[-1]) + 1) if len(indices) else (0, 0)
    return slice(first, end) if np.array_equal(indices, np.arange(first, end)) else indices
