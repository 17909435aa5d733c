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
        known, told = len(domains.classes_), len(tasks.classes_) if model is not None and tasks is not None else 0
        self._ones, self._task_ones = np.ones(known, np.float32), np.ones(told, np.float32)
        self._scores, self._tasks, self._first = slice(known), slice(known, known + told), known + told
        self._told, self._by_domain = told > 0, by_domain
        self._all_moved = isinstance(self._moved, slice) and len(moved) == len(names)

    def judge(self, vector: Vector, features: Floats) -> Judgement:
        """Judge by the vector (d,) and the surface numbers (f,)."""
        domains = self._domains
        seen = self._rows.dot(vector)
        seen -= self._less
        scores = seen[self._scores]
        best, near = domains.settle(vector, scores)
        score = scores.item(best)
        familiarity, known, outside = domains.familiar(vector, score, best, near)
        scores -= scores[best]
        if self._model is None:
            np.exp(scores, out=scores)
            scores *= np.array((1 - outside) / float(scores.dot(self._ones)), np.float32)
            probability = self._prior(scores)
        else:
            probability = self._moved_by_outcomes(self._model, seen, features, score, outside)
        label = self._labels[best] if outside < 0.5 else None
        return Judgement(label, Beliefs(self._names, probability), known, familiarity, outside)

    def _moved_by_outcomes(
        self, model: OutcomeModel, seen: Floats, features: Floats, score: float, outside: float
    ) -> Floats:
        """Probabilities (m,) by what is `seen` (r,), in which the domains' scores are less the greatest, `score`."""
        scores = seen[self._scores]
        if self._told:
            tasks = seen[self._tasks]
            likeliest = tasks.argmax()
            score = tasks.item(likeliest)
            tasks -= tasks[likeliest]
        model.look(seen, self._first, features)
        total = float(scores.dot(self._ones))
        both = self._by_domain and outside > 0  # Domains weigh less as a prior than as tasks.
        shares = scores * np.array((1 - outside) / total, np.float32) if both else scores
        scores *= np.array(1 / total if both else (1 - outside) / total, np.float32)
        if self._told:
            total = float(tasks.dot(self._task_ones))
            tasks *= np.array(1 / total, np.float32)
        sure = (1 / total, score) if self._told or self._by_domain else None
        prior, known = self._prior(shares), seen if self._by_domain else seen[len(self._ones) :]
        if self._all_moved:
            found = model.judge_one(known, prior, sure)
        else:
            found = prior.copy()
            found[self._moved] = model.judge_one(known, prior[self._moved], sure)
        if outside > 0 and len(self._bare):
            found[-len(self._bare) :] *= np.array(1 - outside, np.float32)
        return found

    def _prior(self, shares: Floats) -> Floats:
        """What examples alone say (m,), nought where an expert has none, by the domains' `shares` (k,)."""
        found: Floats = shares[self._backed]
        return np.concatenate([found, self._bare]) if len(self._bare) else found


def _run(indices: Indices) -> Indices | slice:
    """The same as a slice where they go up one by one: what it takes is looked at, not copied."""
    first, end = (int(indices[0]), int(indices[-1]) + 1) if len(indices) else (0, 0)
    return slice(first, end) if np.array_equal(indices, np.arange(first, end)) else indices
