"""One request judged by the parts of a fitted judge, in fewer and smaller steps than many at once, and just the same.

What its vector is multiplied with lies in one array, read once from end to end: what a judgement costs is the reading
of it, and after it everything else has to be fetched again. The product is one array too, of which every later step
takes the whole or a part: scores of the domains, scores of the tasks where these are told, looks at what is alike, and
a one. A softmax and a likeness are both exponentials, so there is one for all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experts.wire import Vector
from router.cacheline import stacked
from router.calibrate import Floats
from router.judgement import Beliefs, Judgement
from router.learn.domains import Domains
from router.learn.effects import Indices
from router.learn.outcomes import OutcomeModel
from router.learn.tasks import TaskHead


class Glance:
    """Fitted parts, ready for one request at a time; safe to share between tasks."""

    def __init__(
        self,
        names: Sequence[str],
        columns: Indices,
        moved: Indices,
        domains: Domains,
        model: OutcomeModel | None,
        tasks: TaskHead | None,
        by_domain: bool,
    ) -> None:
        """Of experts by `names` (m,); `columns` are the domains of the first of them, `moved` those outcomes move.

        `model` is what was learnt from outcomes, if anything was, by `tasks` if these were told, else by domain or by
        neither.
        """
        self._domains, self._model = domains, model
        self._labels = [str(label) or None for label in domains.classes_]
        self._names = {name: at for at, name in enumerate(names)}
        self._backed, self._moved = _run(columns), _run(moved)
        self._bare = np.zeros(len(names) - len(columns), np.float32)
        read = [domains.rows()]
        if model is not None:
            read += [tasks.rows()] if tasks is not None else []
            read.append(model.rows(domains.head.weights_.shape[1]))
        self._rows, self._less = stacked([rows for rows, _ in read]), np.concatenate([less for _, less in read])
        self._ones = np.ones(len(domains.classes_), np.float32)
        self._task_ones = np.ones(len(tasks.classes_) if model is not None and tasks is not None else 0, np.float32)
        self._first = len(self._ones) + len(self._task_ones)
        self._by_domain = by_domain
        self._tail = slice(0 if by_domain else len(self._ones), None)

    def judge(self, vector: Vector, features: Floats) -> Judgement:
        """Judge by the vector (d,) and the surface numbers (f,)."""
        domains = self._domains
        seen = self._rows.dot(vector)
        seen -= self._less
        scores = seen[: len(self._ones)]
        best, near = domains.settle(vector, scores)
        score = scores.item(best)
        familiarity, known, outside = domains.familiar(vector, score, best, near)
        scores -= score
        if self._model is None:
            np.exp(scores, out=scores)
            probability = self._prior(scores, (1 - outside) / float(scores.dot(self._ones)))
        else:
            probability = self._moved_by_outcomes(self._model, seen, features, score, outside)
        label = self._labels[best] if outside < 0.5 else None
        return Judgement(label, Beliefs(self._names, probability), known, familiarity, outside)

    def _moved_by_outcomes(
        self, model: OutcomeModel, seen: Floats, features: Floats, score: float, outside: float
    ) -> Floats:
        """Probabilities (m,) by what is `seen` (r,), in which the domains' scores are less the greatest, `score`."""
        tasks = seen[len(self._ones) : self._first]
        if len(tasks):
            score = tasks.item(tasks.argmax())
            tasks -= score
        model.look(seen, self._first, features)
        scores = seen[: len(self._ones)]
        total = float(scores.dot(self._ones))
        probability = self._prior(scores, (1 - outside) / total)
        if len(tasks):
            scores, total = tasks, float(tasks.dot(self._task_ones))
        scores *= 1 / total
        sure = (1 / total, score) if len(tasks) or self._by_domain else None
        probability[self._moved] = model.judge_one(seen[self._tail], probability[self._moved], sure)
        return probability

    def _prior(self, shares: Floats, times: float) -> Floats:
        """What examples alone say (m,), nought where an expert has none: so many `times` the domains' shares (k,)."""
        found: Floats = shares[self._backed] * times
        return np.concatenate([found, self._bare]) if len(self._bare) else found


def _run(indices: Indices) -> Indices | slice:
    """The same as a slice where they go up one by one: what it takes is looked at, not copied."""
    first, end = (int(indices[0]), int(indices[-1]) + 1) if len(indices) else (0, 0)
    return slice(first, end) if np.array_equal(indices, np.arange(first, end)) else indices
