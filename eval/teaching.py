"""Which rows of a labelled file are taught, and which are asked about. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from eval.samples import Labelled


@dataclass(frozen=True, slots=True)
class Teaching:
    """What is taken of a file, beside its own split."""

    shots: tuple[int, ...] = ()
    """Training rows taught of each label, all when empty; of several numbers labels take one each, in turn."""
    untaught: float = 0.0
    """Share of the labels that is drawn and never taught: their rows are of no label."""
    left: bool = False
    """Whether no test row is asked about but all that is left of training and validation rows."""
    unlabelled: int = 0
    """Of the training rows that are not taught, those that are drawn as traffic: requests whose label is not told."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """Rows by what they are for."""

    train: list[Labelled]
    validation: list[Labelled]
    test: list[Labelled]
    dropped: int
    """Rows left out because their text is both taught and asked about."""
    unlabelled: list[Labelled] = field(default_factory=list)
    """Rows whose label is not to be looked at."""
    repeats: int = 0
    """Rows left out because an earlier one of their split has their text, blanks at the end aside."""
    relabelled: int = 0
    """Those of them that give it another label: the first counts."""


def lesson(rows: list[Labelled], teaching: Teaching, seed: int) -> Lesson:
    """The rows of a file, divided without leaks or repeats; what is drawn is drawn by `seed`.

    Blanks at the end make no other row. Those at the start do: BANKING77 has two such rows, which its figures count.
    """
    first: dict[tuple[str, str], Labelled] = {}
    for row in rows:
        first.setdefault((row.split, row.input.rstrip()), row)
    relabelled = sum(first[row.split, row.input.rstrip()].label != row.label for row in rows)
    divided = _divided(list(first.values()), teaching, seed)
    return replace(divided, repeats=len(rows) - len(first), relabelled=relabelled)


def _divided(rows: list[Labelled], teaching: Teaching, seed: int) -> Lesson:
    if teaching.left:
        rows = [row for row in rows if row.split != "test"]
    rows = _untaught(rows, teaching.untaught, seed)
    known = [row for row in rows if row.split == "train" and row.label is not None]
    if teaching.left:
        train = _shots(known, teaching.shots, seed)
        taught = {id(row) for row in train}
        rest = [row for row in rows if id(row) not in taught]
        test = _unseen(rest, train)
        return Lesson(train, [], test, len(rest) - len(test))
    test, validation = ([row for row in rows if row.split == split] for split in ("test", "validation"))
    unseen = _unseen(known, [*test, *validation])
    train = _shots(unseen, teaching.shots, seed)
    return Lesson(train, validation, test, len(known) - len(unseen), _traffic(unseen, train, teaching.unlabelled, seed))


def _traffic(rows: list[Labelled], train: list[Labelled], count: int, seed: int) -> list[Labelled]:
    """So many of the rows that are not taught, drawn by `seed`."""
    taught = {id(row) for row in train}
    rest = [row for row in rows if id(row) not in taught]
    return [rest[at] for at in np.random.default_rng(seed).permutation(len(rest))[:count]]


def _untaught(rows: list[Labelled], share: float, seed: int) -> list[Labelled]:
    """The rows with a `share` of the labels, drawn by `seed`, taken away: theirs are of none, and tested."""
    names = sorted({row.label for row in rows if row.label is not None})
    hidden = {names[at] for at in np.random.default_rng(seed).permutation(len(names))[: round(share * len(names))]}
    return [
        replace(row, label=None, split="test" if row.split == "train" else row.split) if row.label in hidden else row
        for row in rows
    ]


def _unseen(rows: list[Labelled], others: Iterable[Labelled]) -> list[Labelled]:
    """The rows whose text is not among the others', case and spacing aside: those would be known by heart."""
    there = {_plain(row) for row in others}
    return [row for row in rows if _plain(row) not in there]


def _plain(row: Labelled) -> str:
    return " ".join(row.input.casefold().split())


def _shots(rows: list[Labelled], shots: tuple[int, ...], seed: int) -> list[Labelled]:
    if not shots:
        return rows
    names = sorted({str(row.label) for row in rows})
    most = {name: shots[(at + seed) % len(shots)] for at, name in enumerate(names)}
    taken: Counter[str] = Counter()
    kept = []
    for index in np.random.default_rng(seed).permutation(len(rows)):
        row = rows[index]
        taken[str(row.label)] += 1
        if taken[str(row.label)] <= most[str(row.label)]:
            kept.append(row)
    return kept
