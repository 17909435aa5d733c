"""From the registry's examples, and from outcomes, to a fitted judge."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Self

import numpy as np

from experts.answers import answer_rows
from experts.digest import digest_of, sha256_of
from experts.disk import unkept
from experts.errors import RegistryError, WeightsError
from experts.fitted import State, load_fitted, reason, save_fitted
from experts.labels import labelled_rows
from experts.rows import read_rows
from experts.scripted import rules_of
from experts.spec import AnswersSpec, AnySpec, LabelsSpec, Registry, ScriptedSpec
from experts.wire import Vector
from router.calibrate import Floats
from router.encode import Encoder
from router.judge import Judge
from router.learn.editions import Editions, learnt, serving
from router.learn.evidence import Outcomes, joined
from router.learn.names import vectors_of_names
from router.learn.outcome_rows import outcome_rows, read_outcomes
from router.learn.outside import OUTSIDE
from router.learn.trace import maker
from router.learn.vectors import vectors_of
from router.meter.carbon import BadGridHours, Grids, UnknownZone

log = logging.getLogger("shoal.judge")

KIND: Final = "judge-2"
"""Of fitted thing, in the names of files and in their headers."""

FIT: Final = "22"
"""Counts the ways of fitting there have been; a judge kept by an earlier one is not used."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A judge, and the hash of everything it was fitted on: the encoder, every example with its label, the outcomes."""

    judge: Judge
    key: str
    edition: int = 0
    """What of the learnt from use is in it; 0 for nothing."""
    refused: str | None = None
    """Why the edition that should be in it cannot be used; None when it is, or there is none."""


def fit_judge(
    registry: Registry,
    encoder: Encoder,
    cache: Path,
    last: Fitted | None = None,
    heads: Path | None = None,
    editions: Editions | None = None,
    *,
    keep: bool = True,
) -> Fitted:
    """The judge of a registry and of what was learnt from use, the edition of `editions` that serves.

    It is `last` itself, or the one kept in the folder `heads`, when nothing has changed. Raises `RegistryError` when a
    row of an examples or outcomes file is unusable. Nothing learnt is in it, and `refused` says why, where the edition
    is damaged, gone, or made by another encoder; but beside a `last` with something learnt in it that is raised as a
    `RegistryError` too. Without `keep`, `heads` is only read.
    """
    examples = {spec.id: (spec.label, examples_of(spec)) for spec in registry.experts}
    made_by = maker(encoder.fingerprint)
    number, refused = serving(editions, made_by, strict=last is not None and last.edition > 0)
    edition = editions.path(number) if editions is not None and number else None
    outside = outside_of(registry)
    data = digest_of([FIT, json.dumps([examples, outside]), _file_digest(registry.outcomes), _file_digest(edition)])
    key = digest_of([encoder.fingerprint, data])
    if last is not None and last.key == key:
        return last if last.refused == refused else replace(last, refused=refused)
    lessons = Lessons.of(examples, outside, encoder, cache)
    state = _kept(heads, encoder, data)
    if state is not None:
        judge = lessons.judge().restore(lessons.texts, lessons.vectors, lessons.labels, state)
        return Fitted(judge, key, number, refused)
    judge = lessons.fit([*outcomes_of(registry, encoder, cache), *learnt(editions, number, made_by)])
    if heads is not None and keep:
        _keep(judge, heads, encoder, data)
    return Fitted(judge, key, number, refused)


@dataclass(frozen=True, slots=True)
class Lessons:
    """The examples of a registry, encoded: what every judge of it is fitted on before any outcome."""

    experts: Mapping[str, str]
    """Domain label by expert id."""
    texts: list[str]
    labels: list[str]
    """`OUTSIDE` where no expert should answer."""
    vectors: Floats
    names: Mapping[str, Vector]
    """By label, the vector of its name."""
    sureness: float
    """The encoder's."""

    @classmethod
    def of(
        cls, examples: Mapping[str, tuple[str, list[str]]], outside: Sequence[str], encoder: Encoder, cache: Path
    ) -> Self:
        """From each expert's label and example texts, and the texts that no expert should answer."""
        told = [*examples.values()]
        if any(own for _, own in told):  # outside of what, otherwise
            told.append((OUTSIDE, list(outside)))
        texts = [text for _, own in told for text in own]
        labels = [label for label, own in told for _ in own]
        parts = [vectors_of(own, encoder, cache) for _, own in told if own]
        vectors = np.concatenate(parts) if parts else np.empty((0, encoder.dimensions), np.float32)
        names = vectors_of_names(labels, lambda said: vectors_of(said, encoder, cache))
        experts = {expert: label for expert, (label, _) in examples.items()}
        return cls(experts, texts, labels, vectors, names, encoder.sureness)

    def judge(self) -> Judge:
        """A judge of these experts, to be fitted."""
        return Judge(self.experts, sureness=self.sureness)

    def fit(self, outcomes: list[Outcomes]) -> Judge:
        """A judge fitted on the examples and on outcomes of several sources."""
        return self.judge().fit(self.texts, self.vectors, self.labels, joined(outcomes), self.names)


def head_path(heads: Path, data: str) -> Path:
    """Where the judge fitted on `data` is kept."""
    return heads / f"{KIND}-{data}.safetensors"


def _keep(judge: Judge, heads: Path, encoder: Encoder, data: str) -> None:
    """Keep a judge in place of those of other data, where the disk lets us."""
    path = head_path(heads, data)
    with unkept(heads, "the judge is fitted again at the next start"):
        save_fitted(path, KIND, judge.state(), encoder=encoder.fingerprint, data=data)
        for other in heads.glob(head_path(heads, "*").name):
            if other != path:
                other.unlink(missing_ok=True)


def _kept(heads: Path | None, encoder: Encoder, data: str) -> State | None:
    """The state of the judge kept for `data`; None when there is none, or one of another encoder: the log says so."""
    path = head_path(heads, data) if heads is not None else None
    if path is None or not os.access(path, os.F_OK):
        return None
    try:
        return load_fitted(path, KIND, encoder=encoder.fingerprint, data=data)
    except WeightsError as error:
        log.warning("a kept judge is not used, a new one is fitted: %s", reason(error))
        return None


def outcomes_of(registry: Registry, encoder: Encoder, cache: Path) -> list[Outcomes]:
    """The outcomes the registry names, if it does. Raises `RegistryError`."""
    return [] if registry.outcomes is None else [outcomes_in(registry.outcomes, registry, encoder, cache)]


def outcomes_in(path: Path, registry: Registry, encoder: Encoder, cache: Path) -> Outcomes:
    """The outcomes in a file, of the registry's experts. Raises `RegistryError`."""
    ids = {spec.id for spec in registry.experts}
    return read_outcomes(path, ids, lambda texts: vectors_of(texts, encoder, cache))


def examples_of(spec: AnySpec) -> list[str]:
    """The requests an expert is known to answer well: from its examples file, and from its answers or labels."""
    texts: list[str] = []
    if spec.examples is not None:
        texts += [row["input"] for row in read_rows(spec.examples, {"input": str})]
    if isinstance(spec, AnswersSpec):
        texts += [question for row in read_rows(spec.answers, {"questions": list}) for question in row["questions"]]
    if isinstance(spec, LabelsSpec):
        texts += [row["input"] for row in read_rows(spec.labels, {"input": str, "label": str})]
    return list(dict.fromkeys(texts))


def outside_of(registry: Registry) -> list[str]:
    """The requests that no expert of a registry should answer. Raises `RegistryError`."""
    if registry.outside is None:
        return []
    return list(dict.fromkeys(row["input"] for row in read_rows(registry.outside, {"input": str})))


def check_expert(spec: AnySpec) -> None:
    """Read the files of rows that an expert names. Raises `RegistryError`, also where it could not be made of them."""
    examples_of(spec)
    match spec:
        case AnswersSpec():
            answer_rows(spec.answers)
        case LabelsSpec():
            labelled_rows(spec.labels)
        case ScriptedSpec():
            rules_of(spec.script)


def check_experts(registry: Registry) -> None:
    """Read the files of rows that all experts name. Raises `RegistryError` with every unusable line."""
    _read_all([partial(check_expert, spec) for spec in registry.experts])


def check_rows(registry: Registry) -> None:
    """Read all files of rows that a registry names, the grid too. Raises `RegistryError` with every unusable line."""
    reads: list[Callable[[], object]] = [partial(check_experts, registry)]
    reads += [partial(outside_of, registry), partial(_check_grid, registry)]
    if registry.outcomes is not None:
        reads.append(partial(outcome_rows, registry.outcomes))
    _read_all(reads)


def _read_all(reads: Sequence[Callable[[], object]]) -> None:
    """Raises `RegistryError` with the problems of all of them."""
    problems: list[str] = []
    for read in reads:
        try:
            read()
        except RegistryError as error:
            problems += error.problems
    if problems:
        raise RegistryError(list(dict.fromkeys(problems)))


def _check_grid(registry: Registry) -> None:
    """Raises `RegistryError`."""
    try:
        Grids.of(registry.grid_zone, registry.grid_hours)
    except (UnknownZone, BadGridHours) as error:
        raise RegistryError([f"{error}."]) from None


def _file_digest(path: Path | None) -> str:
    """Hash of a file. Raises `RegistryError` when it cannot be read."""
    if path is None:
        return ""
    try:
        return sha256_of(path)
    except OSError as error:
        raise RegistryError([f"{path}: cannot be read ({error.strerror}). Remedy: correct the path."]) from error
