"""A label for a request: triage, moderation, intent. A linear head on the request vector; nothing is generated.

The answer is the bare label. A client that asks for `logprobs` gets the calibrated log-probability of the label as that
of a single token, and those of the next likely labels as `top_logprobs`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Self

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from experts.by_vector import ByVector
from experts.errors import RegistryError
from experts.head import LinearHead
from experts.reply import CountTokens, Spoken, limited
from experts.rows import Row, read_rows
from experts.spec import LabelsSpec
from experts.wire import Call, Embed, Vector

_LEAST = 1e-9
"""Probabilities below are written as this one: their logarithm must stay finite."""


class LabelsExpert(ByVector):
    """The likeliest label, as a single token."""

    def __init__(self, spec: LabelsSpec, head: LinearHead, count_tokens: CountTokens | None) -> None:
        super().__init__(spec.id, count_tokens)
        self._head = head

    @classmethod
    def load(cls, spec: LabelsSpec, embed: Embed, count_tokens: CountTokens | None = None) -> Self:
        """Fit on the labels file: rows of input and label. Raises RegistryError, also for one label only."""
        rows = labelled_rows(spec.labels)
        head = LinearHead().fit(embed([row["input"] for row in rows]), [row["label"] for row in rows])
        return cls(spec, head, count_tokens)

    def _said(self, vector: Vector, call: Call) -> Spoken:
        """The label as one token: it can be stopped, not cut by a limit."""
        label, logprobs = self._label(vector, call)
        said = limited([label], call, None)
        return replace(said, logprobs=[logprobs] * len(said.parts) if logprobs else None)

    def _label(self, vector: Vector, call: Call) -> tuple[str, dict[str, Any] | None]:
        probabilities = self._head.predict_proba(vector[None, :])[0]
        best = str(self._head.classes_[probabilities.argmax()])
        if not call.body.get("logprobs"):
            return best, None
        likely = self._tokens(probabilities, max(1, call.body.get("top_logprobs") or 0))
        top = likely[: call.body.get("top_logprobs") or 0]
        return best, {"content": [{**likely[0], "top_logprobs": top}], "refusal": None}

    def _tokens(self, probabilities: NDArray[np.float32], count: int) -> list[dict[str, Any]]:
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [
            {
                "token": str(self._head.classes_[at]),
                "logprob": math.log(max(float(probabilities[at]), _LEAST)),
                "bytes": list(str(self._head.classes_[at]).encode()),
            }
            for at in order
        ]


def labelled_rows(path: Path) -> list[Row]:
    """The rows of a labels file. Raises RegistryError, also for one label only: there would be nothing to choose."""
    rows = read_rows(path, {"input": str, "label": str})
    labels = [row["label"] for row in rows]
    if len(set(labels)) < 2:
        raise RegistryError([f"{path}: every row has the label {labels[0]!r}. Remedy: add rows of another."])
    return rows
