"""`shoal eval labels`: fit the product's own judge on a labelled file's train rows, score it on its test rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.drawn import Drawn, interval
from eval.labels_ablation import ablated
from eval.labels_report import Marks, by_class, claims, drawn_figures, out_of_scope, picked
from eval.samples import SPLITS, Labelled, SamplesError, Split, read_labelled
from eval.teaching import Lesson, Teaching, lesson
from experts.alike import near_any
from experts.progress import Stage
from experts.wire import Vector
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge
from router.judgement import Judgement
from router.learn.evidence import Outcomes, unscored
from router.learn.names import vectors_of_names
from router.learn.preamble import preamble
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of

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
    """Rows left out because their text is both taught and asked about, or is that of an earlier row of their split."""
    names: dict[str, Vector]
    """By label, the vector of its name."""
    encoder: Encoder
    """What made the vectors."""
    traffic: Outcomes | None = None
    """Requests whose label was not told."""
    repeats: int = 0
    """Of those left out, the ones that repeat a row of their split."""
    relabelled: int = 0
    """Of these, the ones that give it another label: the first counts."""
    train_null: int = 0
    """Rows of train that belong to no label: neither taught nor asked about."""

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
    progress: Stage,
    tuner: Tune | None = None,
) -> dict[str, Any]:
    """The figures of the contract. `shots` keeps so many training rows a label. Raises as `cut` does."""
    data = cut(path, encoder, cache, Teaching((shots,) if shots else ()), seed, progress, tuner)
    progress(f"judging {path.name}", 0, 1)
    found, _ = evaluate(data, seed)
    progress(f"judging {path.name}", 1, 1)
    said = preamble(path.name, [row.input for part in (data.train, data.validation, data.test) for row in part])
    return {"file": path.name, "preamble": said, "shots": shots, "tuned": tuner is not None, **found}


def cut(
    path: Path,
    encoder: Encoder,
    cache: Path,
    teaching: Teaching,
    seed: int,
    progress: Stage,
    tuner: Tune | None = None,
) -> Cut:
    """Read a file, divide it as `teaching` says and encode it, from `cache` where that was done before.

    With a `tuner` another encoder is made of the training rows that are kept, and of nothing else. Raises
    `SamplesError`, and what the tuner raises.
    """
    rows = read_labelled(path)
    if not rows:
        raise SamplesError(f"{path}: holds no rows. Remedy: one JSON object a line")
    found = lesson(rows, teaching, seed)
    _check(found, path)
    encoder = tuner(found.train) if tuner else encoder
    every = vectors_of([r.input for r in rows], encoder, cache, partial(progress, f"encoding {path.name}"))
    at = {row.input: index for index, row in enumerate(rows)}
    parts: dict[Split, list[Labelled]] = {split: getattr(found, split) for split in SPLITS}
    vectors = {split: every[np.array([at[row.input] for row in part], np.intp)] for split, part in parts.items()}
    names = vectors_of_names((str(row.label) for row in found.train), lambda said: vectors_of(said, encoder, cache))
    asked = [row.input for row in found.unlabelled]
    traffic = unscored(every[[at[text] for text in asked]], surfaces(asked)) if asked else None
    train_null = sum(row.split == "train" and row.label is None for row in rows) if not teaching.left else 0
    dropped, told = found.dropped + found.repeats, (found.repeats, found.relabelled, train_null)
    return Cut(found.train, found.validation, found.test, vectors, dropped, names, encoder, traffic, *told)


def _check(found: Lesson, path: Path) -> None:
    """Raises `SamplesError` where there is nothing to tell apart, or nothing to ask."""
    tested = any(row.label is not None for row in found.test)
    known = {str(row.label) for row in found.train}
    if len(known) > 1 and tested:
        return
    remedy = "set 'split' in the rows"
    if found.dropped and tested:
        remedy = f"rows of train that no other split has; {found.dropped:,} are in train and elsewhere, and left out"
    elif known and tested:
        told = f"the {len(found.train):,} that there are all have {min(known)!r}"
        remedy = f"rows of train with another label too; {told}"
    raise SamplesError(f"{path}: needs train rows of two labels, and test rows with a label. Remedy: {remedy}")


def evaluate(data: Cut, seed: int) -> tuple[dict[str, Any], dict[str, Drawn]]:
    """The figures, and those with draws."""
    judge = Judge({label: label for label in data.labels}, sureness=data.encoder.sureness)
    fitting = time.perf_counter()
    judge.fit([r.input for r in data.train], data.vectors["train"], data.labels, data.traffic, data.names)
    fit_s = time.perf_counter() - fitting
    judged, judge_us = _judged(judge, data.test, data.vectors["test"])
    checked = _judged(judge, data.validation, data.vectors["validation"])[0]
    marks, seen = Marks.of(data.test, judged), Marks.of(data.validation, checked)
    near = near_any(data.vectors["test"], data.vectors["train"])
    found: dict[str, Any] = {
        "train": len(data.train), "test": len(data.test), "seed": seed,
        "dropped": data.dropped, "repeats": data.repeats, "relabelled": data.relabelled,
        "near_duplicates": int(near.sum()), "unlearnt": unlearnt(data), "train_null": data.train_null, **claims(marks),
        "accuracy_apart": float(marks.right[apart].mean()) if (apart := marks.inside & ~near).any() else None,
        "oos": None if marks.inside.all() else out_of_scope(marks, seen),
    }  # fmt: skip
    sure = drawn_figures(marks, None if marks.inside.all() else picked(seen), seed)
    found |= {
        "intervals": {name: interval(each) for name, each in sure.items()},
        **by_class(data.test, judged),
    }
    return found | {"encode_us": _encode_us(data.encoder, data.test), "judge_us": judge_us, "fit_s": fit_s}, sure


def unlearnt(data: Cut) -> int:
    """Test rows whose label no training row has: nobody can be right about them, and they count as wrong."""
    known = {None, *data.labels}
    return sum(row.label not in known for row in data.test)


def without_parts(data: Cut, parts: Sequence[str], seed: int) -> Mapping[str, dict[str, Drawn]]:
    """The figures without each of some parts of the judge, and under "" with all of them."""
    test = data.vectors["test"], [row.label for row in data.test]
    validation = data.vectors["validation"], [row.label for row in data.validation]
    taught = data.vectors["train"], data.labels
    return ablated(parts, taught, data.names, test, validation, seed, data.encoder.sureness)


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
