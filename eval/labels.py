"""`shoal eval labels`: fit the product's own judge on a labelled file's train rows, score it on its test rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from eval.drawn import Drawn, interval
from eval.labels_ablation import ablated
from eval.labels_report import Marks, by_class, claims, drawn_figures, out_of_scope, picked
from eval.samples import Labelled, SamplesError, Split, read_labelled
from eval.splits import near_any
from experts.wire import Vector
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge
from router.judgement import Judgement
from router.learn.domains import Domains
from router.learn.names import vectors_of_names
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of

Progress = Callable[[str, int, int], None]
"""What is done, how much of it, of how much."""

Tune = Callable[[Sequence[Labelled]], Encoder]
"""An encoder made of labelled rows."""

TIMED = 200
"""Texts encoded one by one for the timing figures."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A labelled file, cut as it says, without leaks, and its vectors (n, d) beside each part."""

    train: list[Labelled]
    validation: list[Labelled]
    test: list[Labelled]
    vectors: dict[Split, Floats]
    dropped: int
    """Training rows left out because their text stands among the others."""
    names: dict[str, Vector]
    """By label, the vector of its name."""
    encoder: Encoder
    """What made the vectors."""

    @property
    def labels(self) -> list[str]:
        """Those of the training rows."""
        return [str(row.label) for row in self.train]


def evaluate_labels(
    path: Path,
    encoder: Encoder,
    cache: Path,
    shots: int | None,
    seed: int,
    progress: Progress,
    tuner: Tune | None = None,
) -> dict[str, Any]:
    """The figures of the contract. `shots` keeps so many training rows a label. Raises as `cut` does."""
    data = cut(path, encoder, cache, shots, seed, progress, tuner=tuner)
    progress(f"judging {path.name}", 0, 1)
    found, _ = evaluate(data, seed)
    progress(f"judging {path.name}", 1, 1)
    return {"file": path.name, "shots": shots, "tuned": tuner is not None, **found}


def cut(
    path: Path,
    encoder: Encoder,
    cache: Path,
    shots: int | None,
    seed: int,
    progress: Progress,
    untaught: float = 0.0,
    tuner: Tune | None = None,
) -> Cut:
    """Read a file and encode it, from `cache` where that was done before; a share of its labels is never taught.

    With a `tuner` another encoder is made of the training rows that are kept, and of nothing else. Raises
    `SamplesError`, and what the tuner raises.
    """
    rows = _untaught(read_labelled(path), untaught, seed)
    test, validation = _of(rows, "test"), _of(rows, "validation")
    known = [row for row in rows if row.split == "train" and row.label is not None]
    unseen = _unseen(known, [*test, *validation])
    train = _shots(unseen, shots, seed)
    if len({r.label for r in train}) < 2 or not any(row.label is not None for row in test):
        needed = "train rows of two labels, and test rows with a label"
        raise SamplesError(f"{path}: needs {needed}. Remedy: set 'split' in the rows")
    encoder = tuner(train) if tuner else encoder
    every = vectors_of([r.input for r in rows], encoder, cache, partial(progress, f"encoding {path.name}"))
    at = {id(row): index for index, row in enumerate(rows)}
    parts: dict[Split, list[Labelled]] = {"train": train, "validation": validation, "test": test}
    vectors = {split: every[[at[id(row)] for row in part]] for split, part in parts.items()}
    names = vectors_of_names((str(row.label) for row in train), lambda said: vectors_of(said, encoder, cache))
    return Cut(train, validation, test, vectors, len(known) - len(unseen), names, encoder)


def evaluate(data: Cut, seed: int) -> tuple[dict[str, Any], dict[str, Drawn]]:
    """The figures, and those with draws."""
    judge = Judge({label: label for label in data.labels})
    fitting = time.perf_counter()
    judge.fit([r.input for r in data.train], data.vectors["train"], data.labels, names=data.names)
    fit_s = time.perf_counter() - fitting
    judged, judge_us = _judged(judge, data.test, data.vectors["test"])
    checked = _judged(judge, data.validation, data.vectors["validation"])[0]
    marks, seen = Marks.of(data.test, judged), Marks.of(data.validation, checked)
    near = near_any(data.vectors["test"], data.vectors["train"])
    found: dict[str, Any] = {
        "train": len(data.train), "test": len(data.test), "seed": seed,
        "dropped": data.dropped, "near_duplicates": int(near.sum()), "unlearnt": unlearnt(data), **claims(marks),
    }  # fmt: skip
    if (marks.inside & ~near).any():
        found["accuracy_apart"] = float(marks.right[marks.inside & ~near].mean())
    if not marks.inside.all():
        found["oos"] = out_of_scope(marks, seen)
    sure = drawn_figures(marks, None if marks.inside.all() else picked(seen), seed)
    found |= {"intervals": {name: interval(each) for name, each in sure.items()}, **by_class(data.test, judged)}
    return found | {"encode_us": _encode_us(data.encoder, data.test), "judge_us": judge_us, "fit_s": fit_s}, sure


def unlearnt(data: Cut) -> int:
    """Test rows whose label no training row has: nobody can be right about them, and they count as wrong."""
    known = {None, *data.labels}
    return sum(row.label not in known for row in data.test)


def without_parts(data: Cut, seed: int) -> Mapping[str, dict[str, Drawn]]:
    """The figures without each part of the judge, and under "" with all of them."""
    taught = data.vectors["train"], data.labels
    domains = Domains.of_examples(*taught, data.names)
    test = data.vectors["test"], [row.label for row in data.test]
    validation = data.vectors["validation"], [row.label for row in data.validation]
    return ablated(domains, taught, test, validation, seed)


def _untaught(rows: list[Labelled], share: float, seed: int) -> list[Labelled]:
    """The rows with a `share` of the labels, drawn by `seed`, taken away: theirs are of none, and tested."""
    names = sorted({row.label for row in rows if row.label is not None})
    hidden = {names[at] for at in np.random.default_rng(seed).permutation(len(names))[: round(share * len(names))]}
    return [replace(row, label=None, split=_TESTED[row.split]) if row.label in hidden else row for row in rows]


_TESTED: Final[Mapping[Split, Split]] = {"train": "test", "validation": "validation", "test": "test"}


def _unseen(train: list[Labelled], others: list[Labelled]) -> list[Labelled]:
    """Training rows whose text is not among the others, case and spacing aside: those would be known by heart."""
    there = {" ".join(row.input.casefold().split()) for row in others}
    return [row for row in train if " ".join(row.input.casefold().split()) not in there]


def _judged(judge: Judge, rows: list[Labelled], vectors: Floats) -> tuple[list[Judgement], dict[str, float]]:
    judged, taken = [], []
    for vector, features in zip(vectors, surfaces([row.input for row in rows]), strict=True):
        begun = time.perf_counter_ns()
        judged.append(judge.judge(vector, features))
        taken.append((time.perf_counter_ns() - begun) / 1000)
    return judged, _percentiles(taken)


def _encode_us(encoder: Encoder, test: list[Labelled]) -> dict[str, float]:
    taken = []
    for row in test[:TIMED]:
        begun = time.perf_counter_ns()
        encoder.encode(row.input)
        taken.append((time.perf_counter_ns() - begun) / 1000)
    return _percentiles(taken)


def _percentiles(taken: list[float]) -> dict[str, float]:
    return {"p50": float(np.percentile(taken, 50)), "p99": float(np.percentile(taken, 99))} if taken else {}


def _shots(rows: list[Labelled], shots: int | None, seed: int) -> list[Labelled]:
    if shots is None:
        return rows
    taken: dict[str | None, int] = {}
    kept = []
    for index in np.random.default_rng(seed).permutation(len(rows)):
        row = rows[index]
        taken[row.label] = taken.get(row.label, 0) + 1
        if taken[row.label] <= shots:
            kept.append(row)
    return kept


def _of(rows: list[Labelled], split: Split) -> list[Labelled]:
    return [row for row in rows if row.split == split]
