"""Which known task a request belongs to, as a probability: what is said of a task is then said of a request.

Task labels are read when fitting only. Deciding knows the request vector alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from experts.fitted import State
from experts.head import LinearHead

Floats = NDArray[np.float32]
Labels = NDArray[np.str_]
Indices = NDArray[np.intp]

MANY: Final = 10_000
"""Rows a head is fitted on; more make it slower, not better."""

MOST: Final = 500
"""Tasks that are told apart; of more, most have too few rows to be known by."""


class TaskHead:
    """Fitted: `classes_` (t,), `index_` (n,) a row's task, `left_out_` (n, t) scores of heads that had not seen it.

    `head_` is the head under it, `rows_` (r,) the rows that it was fitted on.
    """

    classes_: Labels
    index_: Indices
    left_out_: Floats
    head_: LinearHead
    rows_: Indices
    log_share_: Floats

    def fit(self, vectors: Floats, tasks: Sequence[str] | Labels) -> Self:
        """Learn from unit vectors (n, d) and their task labels (n,)."""
        self.classes_, self.index_ = np.unique(np.asarray(tasks, np.str_), return_inverse=True)
        self.rows_ = some = _thinned(self.index_)
        self.head_ = LinearHead().fit(vectors[some], self.classes_[self.index_[some]])
        # The head weighs every task the same; a request comes from a large one more often.
        self.log_share_ = np.log(np.bincount(self.index_) / len(self.index_)).astype(np.float32)
        self.left_out_ = self.scores(vectors)
        self.left_out_[some] = self.head_.left_out_scores_ + self.log_share_
        return self

    def members(self) -> Floats:
        """One for the task of each row it was fitted on (n, t)."""
        return np.eye(len(self.classes_), dtype=np.float32)[self.index_]

    def state(self) -> State:
        """What was fitted, to be kept."""
        return {"head": self.head_.state(), "log_share": self.log_share_}

    @classmethod
    def of(cls, state: State) -> Self:
        """The task head with a kept state; it knows nothing of the rows it was fitted on."""
        found = cls()
        found.head_, found.log_share_ = LinearHead.of(state["head"]), state["log_share"]
        found.classes_ = found.head_.classes_
        return found

    def rows(self) -> tuple[Floats, Floats]:
        """What the vector (d,) of one request is multiplied with, (t, d), and what is less, (t,), for its scores."""
        return self.head_.weights_, -self.head_.bias_ - self.log_share_

    def scores(self, vectors: Floats) -> Floats:
        """Scores (n, t) of the known tasks, or those of one request, of which the probabilities are the softmax."""
        found: Floats = self.head_.decision_function(vectors) + self.log_share_
        return found


def grouped(tasks: Labels | None) -> Labels | None:
    """Tasks (n,) as they are learnt: those that one row names, and all but the `MOST` largest, are one, named "".

    Some files number their rows there. A task of one row tells of no other request, and a class for each is too much.
    """
    if tasks is None:
        return None
    names, index, rows = np.unique(tasks, return_inverse=True, return_counts=True)
    kept = rows > 1
    kept[np.argsort(-rows, kind="stable")[MOST:]] = False
    return np.where(kept, names, "")[index]


def _thinned(index: Indices) -> Indices:
    """At most about `MANY` rows, evenly taken from every task, at least one of each."""
    if len(index) <= MANY:
        return np.arange(len(index))
    order = np.argsort(index, kind="stable")
    firsts = np.flatnonzero(np.diff(index[order], prepend=-1))
    return np.sort(order[np.union1d(firsts, np.arange(0, len(index), -(-len(index) // MANY)))])
