"""Vector and surface -> for every expert the calibrated probability that it answers this well, and how familiar it is.

From labelled examples alone: an expert answers well what belongs to its domain. With outcomes that is where belief
starts, and they move it: by task, by what is alike, and the less the fewer there are of an expert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import partial
from typing import Final

import numpy as np

from experts.fitted import State
from experts.regression import softmax
from experts.wire import Vector
from router.calibrate import Doubles, Floats
from router.glance import Glance
from router.judgement import NOTHING_KNOWN, Judgement, Near, Reasons
from router.learn.domains import Domains
from router.learn.effects import Indices, Rows
from router.learn.estimator import Estimator
from router.learn.evidence import Labels, LeftOut, Outcomes, said_by
from router.learn.intake import check_evidence, check_requests, check_somebody
from router.learn.joined import domains_of, domains_of_examples
from router.learn.outcomes import OutcomeModel, Parts
from router.learn.repeats import praised_once, repeated, written_once
from router.learn.surface import surfaces
from router.learn.tasks import TaskHead, grouped

REMEMBERED: Final = 1024
"""Judgements kept by request, the oldest given up first: a repeated request is not judged twice."""

ALL: Final = Parts()
_LEFT_OUT: Final = ("examples", "outcomes")


class Judge(Estimator):
    """A classifier of requests with a column for every expert that something is known of: `classes_` (m,), their ids.

    Of scikit-learn's contract it keeps parameters, `clone`, tags (`check_is_fitted`), a `fit` that starts anew, what it
    learnt in names that end in `_`, and `predict_proba`. A request is more than a row of numbers: `fit` takes texts
    beside vectors, the rest surfaces, so `check_estimator` and what is made of `fit(X, y)` do not apply.
    Cheap to ask, safe to share between tasks.
    """

    classes_: Labels

    def __init__(self, experts: Mapping[str, str], *, seed: int = 0, parts: Parts = ALL, sureness: float = 1.0) -> None:
        """`experts`: domain labels by id; outcomes of any other expert are ignored. `sureness` is the encoder's."""
        self.experts, self.seed, self.parts, self.sureness = experts, seed, parts, sureness
        self._remembered: dict[tuple[bytes, bytes], Judgement] = {}

    def fit(
        self,
        texts: Sequence[str],
        vectors: Floats,
        labels: Sequence[str],
        outcomes: Outcomes | None = None,
        names: Mapping[str, Vector] | None = None,
    ) -> Judge:
        """Learn from examples, texts (n), their vectors (n, d) and domain labels (n), and from outcomes. Both may lack.

        `names` are vectors of what the domains are called, by label: few examples are one more with them. Examples
        labelled "" are what no expert should answer (`router.learn.outside`), and there must be others. Requests nobody
        scored tell where domains lie. The same evidence gives the same judge. Raises `ValueError`, and stays as it was.
        """
        check_evidence(texts, vectors, labels, outcomes, names)
        self._take(texts, vectors, labels)
        self._outcomes = outcomes.of(self.experts) if outcomes is not None else None
        heard = outcomes.rest(self.experts).vectors if outcomes is not None else None
        rivals = self._parts.rivals
        fitted = partial(Domains.of_examples, names=names, sureness=self.sureness, unlabelled=heard, rivals=rivals)
        self._domains = domains_of_examples(vectors, self._labels, fitted) if len(texts) else None
        self._left_out: tuple[LeftOut, LeftOut] | None = None
        self._tasks: TaskHead | None = None
        self._model: OutcomeModel | None = None
        named = list(self._domains.classes_) if self._domains else []
        backed = [expert for expert, label in self.experts.items() if label in named]
        asked = self._outcomes.experts if self._outcomes is not None else ()
        ids = [*backed, *(expert for expert in asked if expert not in backed)]
        columns = np.array([named.index(self.experts[expert]) for expert in backed], np.intp)
        self._name(ids, columns, np.array([ids.index(expert) for expert in asked], np.intp))
        if self._outcomes is not None and len(self._outcomes):
            self._learn(self._outcomes)
        return self._prepared()

    def predict(self, vectors: Floats, features: Floats) -> Labels:
        """The id of the expert (n,) that is likeliest to answer each of the requests (n, d), (n, f) well."""
        check_somebody(self.classes_)
        likeliest: Labels = self.classes_[self.predict_proba(vectors, features).argmax(axis=1)]
        return likeliest

    def predict_proba(self, vectors: Floats, features: Floats) -> Floats:
        """Calibrated probability (n, m) that each expert answers requests (n, d), (n, f) well."""
        return self._beliefs(vectors, features)[1]

    def decision_function(self, vectors: Floats, features: Floats) -> Floats:
        """Expected scores (n, m), not held to [0, 1]: what experts are compared by."""
        return self._beliefs(vectors, features)[0]

    def judge(self, vector: Vector, features: Floats) -> Judgement:
        """Judge one request by its vector (d,) and surface numbers (f,); remembered, for the serving thread alone."""
        key = vector.tobytes(), features.tobytes()
        if (known := self._remembered.get(key)) is None:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.pop(next(iter(self._remembered)))
            known = self._remembered[key] = self.judge_anew(vector, features)
        return known

    def judge_anew(self, vector: Vector, features: Floats) -> Judgement:
        """The same without memory, in any thread: for what was asked before, and by nobody who waits."""
        return NOTHING_KNOWN if self._domains is None else self._glance.judge(vector, features)

    def reasons(self, vector: Vector, features: Floats) -> Reasons:
        """Why one request is judged as it is: for those who ask, so not in a hurry."""
        if self._domains is None:
            return Reasons({}, ())
        vectors = vector[None, :]
        scores = self._domains.scores(vectors)
        domains = softmax(scores)
        outside = self._domains.outside(vectors, scores)
        prior = self._prior(domains, outside)
        moved = {name: {"domain": share} for name, share in zip(self._names, prior[0].tolist(), strict=True)}
        if self._model is not None:
            likely = self._task_scores(vectors, scores, domains)
            parts = self._model.parts(vectors, features[None, :], prior[:, self._moved], *likely)
            for part, values in parts.items():
                for at, value in zip(self._moved, values[0].tolist(), strict=True):
                    moved[self._names[at]][part] = value
            for bare in self._names[len(self._columns) :] if outside[0] > 0 else ():
                moved[bare]["outside"] = -float(outside[0]) * sum(moved[bare].values())
        return Reasons(moved, self._domains.looks(vector, scores[0]))

    def left_out(self) -> tuple[LeftOut, LeftOut]:
        """What judges say, each without the request, of examples and of `outcomes_`: at most ten thousand of these."""
        if self._left_out is None:
            self._left_out = self._left_out_examples(), self._left_out_outcomes()
        return self._left_out

    def state(self) -> State:
        """What was fitted, to be kept; neither texts nor examples are in it."""
        state: State = {"classes": self._names, "columns": self._columns, "moved": self._moved}
        state["left_out"] = {name: each.state() for name, each in zip(_LEFT_OUT, self.left_out(), strict=True)}
        del state["left_out"]["examples"]["vectors"]  # who restores it has them
        parts = ("domains", self._domains), ("tasks", self._tasks), ("model", self._model)
        return state | {name: part.state() for name, part in parts if part is not None}

    def restore(self, texts: Sequence[str], vectors: Floats, labels: Sequence[str], state: State) -> Judge:
        """Become the judge that was fitted on these examples and has this state; `outcomes_` stay unknown."""
        self._take(texts, vectors, labels)
        self._outcomes = None
        self._domains = domains_of(state["domains"]) if "domains" in state else None
        self._tasks = TaskHead.of(state["tasks"]) if "tasks" in state else None
        self._model = OutcomeModel.of(state["model"], seed=self._seed, parts=self._parts) if "model" in state else None
        examples, outcomes = (state["left_out"][name] for name in _LEFT_OUT)
        self._left_out = LeftOut(**examples, vectors=vectors[examples["rows"]]), LeftOut(**outcomes)
        self._name(state["classes"], state["columns"], state["moved"])
        return self._prepared()

    @property
    def outcomes_(self) -> Outcomes | None:
        """The outcomes it was fitted on, those of its own experts only."""
        return self._outcomes

    def known(self) -> tuple[Floats, Labels]:
        """The examples it was fitted on: unit vectors (n, d) and domain labels (n,), "" where there is no domain."""
        return self._vectors, self._labels

    def nearest(self, vector: Vector, count: int) -> list[Near]:
        """The known examples most like a request vector (d,), nearest first."""
        if not len(self._texts):
            return []
        cosines = self._vectors @ vector
        order = np.argsort(-cosines, kind="stable")[:count]
        return [Near(self._texts[i], str(self._labels[i]) or None, float(cosines[i])) for i in order]

    def _take(self, texts: Sequence[str], vectors: Floats, labels: Sequence[str]) -> None:
        """Examples, and the parameters as they are now: those set later are for the next fit alone."""
        self._texts, self._labels, self._vectors = texts, np.asarray(labels, np.str_), vectors
        self._seed, self._parts = self.seed, self.parts

    def _name(self, names: list[str], columns: Indices, moved: Indices) -> None:
        """Whose columns there are, the domains of the first of them, and which of them outcomes move."""
        self._names, self.classes_ = names, np.array(names, np.str_)
        self._columns, self._moved = columns, moved
        self._remembered.clear()

    def _prepared(self) -> Judge:
        """Be ready for requests that come one by one."""
        if self._domains is not None:
            by_domain = self._tasks is None and self._parts.tasks and len(self._texts) > 0
            parts = self._names, self._columns, self._moved, self._domains, self._model, self._tasks
            self._glance = Glance(*parts, by_domain=by_domain)
        return self

    def _learn(self, outcomes: Outcomes) -> None:
        tasks, vectors = grouped(outcomes.tasks), outcomes.vectors
        if self._parts.tasks and tasks is not None and len(set(tasks)) > 1:
            self._tasks = TaskHead().fit(vectors, tasks)
        if self._domains is None:
            self._domains = Domains.of_tasks(self._tasks, vectors)
        scores = self._domains.scores(vectors)
        domains = softmax(scores)
        if self._tasks is not None:
            left_out, members = self._tasks.left_out_, self._tasks.members()
        else:
            left_out, members = self._task_scores(vectors, scores, domains)
        prior = self._prior(domains, self._domains.outside(vectors, scores))[:, self._moved]
        rows = Rows(vectors, outcomes.features, outcomes.scores, members, left_out, prior)
        self._model = OutcomeModel(seed=self._seed, parts=self._parts).fit(rows, self._moved < len(self._columns))

    def _prior(self, domains: Floats, outside: Doubles) -> Floats:
        """What examples alone say (n, m), nought where there are none, by domains (n, k) and `outside` (n,)."""
        prior = np.zeros((len(domains), len(self._names)), np.float32)
        prior[:, : len(self._columns)] = domains[:, self._columns] * (1 - outside[:, None])
        return prior

    def _task_scores(self, vectors: Floats, scores: Floats, domains: Floats) -> tuple[Floats, Floats]:
        """Scores (..., t) and probabilities of the tasks outcomes are told by; domains, where no tasks are told."""
        if self._tasks is not None:
            tasks = self._tasks.scores(vectors) if len(self._texts) else scores + self._tasks.log_share_
            return tasks, softmax(tasks)
        if self._parts.tasks and len(self._texts):
            return scores, domains
        return scores[..., :0], scores[..., :0]

    def _beliefs(self, vectors: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Expected scores and probabilities (n, m)."""
        check_requests(vectors, features, self._domains, self._model)
        if self._domains is None:
            nothing = np.zeros((len(vectors), len(self._names)), np.float32)
            return nothing, nothing
        scores = self._domains.scores(vectors)
        return self._moved_by_outcomes(vectors, features, scores, self._domains.outside(vectors, scores))

    def _moved_by_outcomes(
        self, vectors: Floats, features: Floats, scores: Floats, outside: Doubles
    ) -> tuple[Floats, Floats]:
        domains = softmax(scores)
        prior = self._prior(domains, outside)
        if self._model is None:
            return prior, prior
        tasks = self._task_scores(vectors, scores, domains)
        moved = self._model.judge(vectors, features, prior[:, self._moved], *tasks)
        expected, probability = (self._in_place(prior, each, outside) for each in moved)
        return expected, probability

    def _in_place(self, prior: Floats, moved: Floats, outside: Doubles) -> Floats:
        """Of all experts (n, m) by what outcomes move; without a prior, less what no expert should answer (n,)."""
        found = prior.copy()
        found[:, self._moved] = moved
        found[:, len(self._columns) :] *= 1 - outside[:, None]
        return found

    def _left_out_examples(self) -> LeftOut:
        if self._domains is None or not len(self._texts):
            return LeftOut.of_nobody(len(self._names), self._vectors.shape[1])
        rows, known = self._domains.rows_, self._domains.left_out_known_
        scores = said_by(self._labels[rows], self._domains.classes_[self._columns], len(self._names))
        once = written_once(self._vectors[rows], self._labels[rows])
        return LeftOut(rows, self._left_out_beliefs(self._domains), known, scores, once, self._vectors[rows])

    def _left_out_beliefs(self, domains: Domains) -> Floats:
        """Probabilities (r, m) of the examples as serving gives them, learnt from everything but themselves."""
        vectors, scores, outside = self._vectors[domains.rows_], domains.left_out_scores_, domains.left_out_outside_
        if self._outcomes is None or self._model is None:
            return self._prior(softmax(scores), outside)
        features = surfaces([self._texts[row] for row in domains.rows_])
        found = self._moved_by_outcomes(vectors, features, scores, outside)[1]
        for both, apart in repeated(vectors, self._outcomes.vectors):
            judge = self._with(self._outcomes.take(apart))
            found[both] = judge._moved_by_outcomes(vectors[both], features[both], scores[both], outside[both])[1]
        return found

    def _with(self, outcomes: Outcomes) -> Judge:
        """A judge of the same examples that has learnt from these outcomes instead of its own."""
        other = copy(self)
        other._tasks = other._model = None
        if len(outcomes):
            other._learn(outcomes)
        return other

    def _left_out_outcomes(self) -> LeftOut:
        if self._model is None or self._outcomes is None or self._domains is None:
            return LeftOut.of_nobody(len(self._names), self._vectors.shape[1])
        rows, domains = self._model.left_out_rows_, self._domains
        vectors = self._outcomes.vectors[rows]
        found = domains.scores(vectors)
        outside = domains.outside(vectors, found)
        probability = self._in_place(self._prior(softmax(found), outside), self._model.left_out_, outside)
        scores = np.full((len(rows), len(self._names)), np.nan, np.float32)
        scores[:, self._moved] = self._outcomes.scores[rows]
        known = domains.p_values(vectors, found, without=None if len(self._texts) else rows)
        said = said_by(self._labels, domains.classes_[self._columns], len(self._names))
        once = praised_once(vectors, scores, self._vectors, said)
        return LeftOut(rows, probability, known, scores, once, vectors.astype(np.float16))
