"""`shoal eval labels`: fit the product's own judge on a labelled file's train rows, score it on its test rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics import abstain_at, auroc, best_threshold, ece, fpr_at
from eval.samples import Labelled, SamplesError, Split, read_labelled
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge, Judgement
from router.learn.fit import vectors_of
from router.learn.surface import surfaces

TIMED = 200
"""Texts encoded one by one for the timing figures."""


def evaluate_labels(
    path: Path, encoder: Encoder, cache: Path, shots: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """The figures of the contract. `shots` keeps so many training rows a label. Raises `SamplesError`."""
    rows = read_labelled(path)
    train = _shots([r for r in rows if r.split == "train" and r.label is not None], shots, seed)
    test, validation = _of(rows, "test"), _of(rows, "validation")
    if len({r.label for r in train}) < 2 or not test:
        raise SamplesError(f"{path}: needs train rows of two labels and test rows. Remedy: set 'split' in the rows")
    labels = [str(r.label) for r in train]
    judge = Judge({label: label for label in labels})
    vectors = vectors_of([r.input for r in train], encoder, cache)
    fitting = time.perf_counter()
    judge.fit([r.input for r in train], vectors, labels)
    fit_s = time.perf_counter() - fitting
    judged, judge_us = _judged(judge, test, vectors_of([r.input for r in test], encoder, cache))
    right = np.array([j.label == r.label for j, r in zip(judged, test, strict=True)])
    inside = np.array([r.label is not None for r in test])
    best = np.array([max(j.probability.values()) for j in judged])
    found: dict[str, Any] = {
        "file": path.name, "train": len(train), "test": len(test), "seed": seed, "shots": shots,
        "accuracy": float(right[inside].mean()), "ece": ece(best[inside], right[inside]),
    }  # fmt: skip
    if not inside.all():
        known = _judged(judge, validation, vectors_of([r.input for r in validation], encoder, cache))[0]
        found["oos"] = _out_of_scope(judged, right, inside, known, validation)
    found |= {"encode_us": _encode_us(encoder, test), "judge_us": judge_us, "fit_s": fit_s}
    return found


def _out_of_scope(
    judged: list[Judgement], right: np.ndarray, inside: np.ndarray, known: list[Judgement], validation: list[Labelled]
) -> dict[str, Any]:
    scores = np.array([j.familiarity for j in judged])
    found: dict[str, Any] = {"auroc": auroc(scores, inside), "fpr95": fpr_at(scores, inside)}
    seen = np.array([j.familiarity for j in known])
    seen_right = np.array([j.label == r.label for j, r in zip(known, validation, strict=True)], bool)
    seen_inside = np.array([r.label is not None for r in validation], bool)
    if not len(validation) or seen_inside.all():
        return found
    for name, balanced in (("overall", False), ("balanced", True)):
        at = abstain_at(best_threshold(seen, seen_right, seen_inside, balanced=balanced), scores, right, inside)
        found[name] = {"threshold": at.threshold, "in_scope_accuracy": at.in_scope_accuracy, "recall": at.recall}
    return found | {key: found["overall"][key] for key in ("in_scope_accuracy", "recall")}


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
