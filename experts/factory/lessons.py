"""What an encoder is trained and checked on: labelled files, and batches drawn from them. Plain numpy.

A file is JSON lines of input and label, gzipped or not, as `shoal eval labels` reads them; `split` says which rows may
be trained on. An expert's answers.jsonl will do too: each of its `questions` is an input, its `id` the label.

Labels of two files are strangers: `card lost` in one may be `lost card` in the other, so no batch mixes files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experts.alike import Indices
from experts.errors import RegistryError, ShoalError, WrongUsage
from experts.rows import numbered_rows

SPLITS: Final = ("train", "validation", "test")

Floats = NDArray[np.float32]

ASIDE: Final = 5
"""Where a file has no validation rows, every so many-th row of a label is kept aside as one."""

LEAST: Final = 5
"""Examples a label needs to be trained on."""

_REMEDY: Final = (
    f"Remedy: 8 rows or more of each label, which are no repeats, or {LEAST} or more and others of the split validation"
)
"""Of 8 rows `LEAST` are left without any third of them, and without every fifth, whichever is asked."""

MANY: Final = 5000
"""Rows of which a fifth is enough to check with: about a thousand, as many as `encoder_check.WORSE` speaks of."""


class LessonsError(ShoalError):
    """A file cannot be trained on; the message holds the remedy."""


class GivenTwice(WrongUsage):
    """One file is named for two purposes; the message holds the remedy."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """The rows of one file that may be trained on, and those it is checked with."""

    name: str
    sha256: str
    texts: list[str]
    labels: NDArray[np.str_]
    check_texts: list[str]
    check_labels: NDArray[np.str_]
    outside: list[str]
    """Texts of the checks that have no label: out of every domain."""
    licence: str = "not stated"
    aside: bool = False
    """Whether the rows to check with are of those to train on, for want of validation rows."""


def names_of(paths: Sequence[Path]) -> list[str]:
    """Of each path the shortest end that no other has: figures are told by it. Raises GivenTwice."""
    parts = [path.resolve().parts for path in paths]
    twice = next((path for at, path in enumerate(paths) if parts[at] in parts[:at]), None)
    if twice is not None:
        raise GivenTwice(f"{twice}: is given twice. Remedy: name a file once, to train on or to guard with")

    def end(own: tuple[str, ...]) -> str:
        sizes = range(1, len(own) + 1)
        return "/".join(own[-next(size for size in sizes if sum(one[-size:] == own[-size:] for one in parts) == 1) :])

    return [end(own) for own in parts]


def read_lessons(path: Path, licence: str = "not stated", name: str | None = None) -> Lessons:
    """The lessons of one file, which is under `licence`, called `name` or as the file is. A repeat counts once.

    A row to check with whose text is one to train on is left out. Raises LessonsError when the file cannot be read or
    has fewer than two labels that can be trained on.
    """
    rows = _different(_labelled(path, row) for row in _rows(path))
    train = [row for row in rows if row.get("split", "train") == "train" and row["label"] is not None]
    taught = {row["input"] for row in train}
    judging = [row for row in rows if row.get("split") == "validation" and row["input"] not in taught]
    check = [row for row in judging if row["label"] is not None]
    aside = not check
    if aside:
        kept = [turn == ASIDE - 1 for turn in _turns(ASIDE, [row["label"] for row in train])]
        check = [row for row, is_kept in zip(train, kept, strict=True) if is_kept]
        train = [row for row, is_kept in zip(train, kept, strict=True) if not is_kept]
    if len(_members(np.array([row["label"] for row in train]))) < 2 or not check:
        needs = f"needs two labels of {LEAST} rows or more to train on, repeats left out, and rows to check with"
        raise LessonsError(f"{path}: {needs}. {_REMEDY}")
    return Lessons(
        name or path.name,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        [row["input"] for row in train],
        np.array([row["label"] for row in train]),
        [row["input"] for row in check],
        np.array([row["label"] for row in check]),
        [row["input"] for row in judging if row["label"] is None],
        licence,
        aside,
    )


def few(lessons: Sequence[Lessons]) -> bool:
    """Whether the labelled rows kept aside are too few to check with, so that all have to be asked in turn."""
    rows = sum(len(one.texts) + len(one.check_texts) for one in lessons)
    return all(one.aside for one in lessons) and rows < MANY


def whole(one: Lessons) -> Lessons:
    """All its rows to train on, and none to check with."""
    texts, labels = [*one.texts, *one.check_texts], np.concatenate([one.labels, one.check_labels])
    return replace(one, texts=texts, labels=labels, check_texts=[], check_labels=labels[:0])


def part(one: Lessons, at: int, parts: int, groups: Indices | None = None) -> Lessons:
    """All its rows, those whose turn within their label is `at` of `parts` to check with, the others to train on.

    Rows of one of the `groups` (n,) have one turn. A text that is among both is not asked: it would tell how well it
    was learnt by heart. Raises LessonsError where what is left cannot be trained on, or nothing can be asked.
    """
    every = whole(one)
    held = np.array(_turns(parts, every.labels.tolist(), groups)) == at
    taught = {text for text, is_held in zip(every.texts, held, strict=True) if not is_held}
    asked = held & np.array([text not in taught for text in every.texts])
    if len(_members(every.labels[~held])) < 2 or not asked.any():
        needs = f"needs two labels of {LEAST} rows or more once one of {parts} parts is left out, and rows in each part"
        raise LessonsError(f"{one.name}: {needs}. {_REMEDY}")
    texts = np.array(every.texts, object)
    return replace(
        every, texts=texts[~held].tolist(), labels=every.labels[~held],
        check_texts=texts[asked].tolist(), check_labels=every.labels[asked],
    )  # fmt: skip


def lessons_of(name: str, texts: Sequence[str], labels: Sequence[str]) -> Lessons:
    """Lessons of all these texts, with nothing to check with. Raises LessonsError as `read_lessons` does."""
    named = np.array(labels)
    if len(_members(named)) < 2:
        raise LessonsError(f"{name}: needs two labels of {LEAST} rows or more to train on. Remedy: more rows of each")
    rows = "\0".join([*texts, *labels])
    return Lessons(name, hashlib.sha256(rows.encode()).hexdigest(), list(texts), named, [], np.array([], str), [])


def read_inputs(path: Path) -> list[str]:
    """The `input` of every row of a file, labelled or not. Raises LessonsError."""
    return [row["input"] for row in _rows(path)]


def batches(
    lessons: Sequence[Lessons], steps: int, labels: int, each: int, seed: int
) -> Iterator[tuple[list[str], NDArray[np.intp]]]:
    """`steps` batches of texts and their labels' numbers: `labels` labels of one file, `each` texts of each, or fewer.

    A file's turn comes with the square root of its size, so that a large one does not silence the small ones. Labels
    with fewer than `LEAST` texts are left out.
    """
    random = np.random.default_rng(seed)
    members = [_members(one.labels) for one in lessons]
    size = np.sqrt([sum(len(rows) for rows in groups) for groups in members])
    for _ in range(steps):
        turn = int(random.choice(len(lessons), p=size / size.sum()))
        groups = members[turn]
        chosen = random.permutation(len(groups))[:labels]
        picked = [random.permutation(groups[at])[:each] for at in chosen]
        texts = lessons[turn].texts
        yield [texts[row] for rows in picked for row in rows], np.repeat(chosen, [len(rows) for rows in picked])


def thinned(tokens: Sequence[int], share: float, random: np.random.Generator) -> list[int]:
    """A text's tokens without about a `share` of them, drawn at random; the first and the last always stay."""
    kept = random.random(len(tokens)) >= share
    kept[[0, -1]] = True
    return [token for token, stays in zip(tokens, kept, strict=True) if stays]


def shots(labels: NDArray[np.str_], each: int, seed: int) -> NDArray[np.intp]:
    """Rows of up to `each` examples of every label, drawn with `seed`."""
    order = np.random.default_rng(seed).permutation(len(labels))
    return np.concatenate([order[labels[order] == label][:each] for label in np.unique(labels)])


def above(inside: Floats, outside: Floats) -> Floats:
    """For each of `inside` (n,) the share of `outside` (m,) below it, ties counting half; the mean is AUROC."""
    there = np.sort(outside)
    below, upto = (np.searchsorted(there, inside, side=side) for side in ("left", "right"))
    return ((below + upto) / (2 * len(there))).astype(np.float32)


def _members(labels: NDArray[np.str_]) -> list[NDArray[np.intp]]:
    _, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return [np.flatnonzero(index == at) for at in range(len(counts)) if counts[at] >= LEAST]


def _turns(count: int, labels: Sequence[str], groups: Indices | None = None) -> list[int]:
    """For every row its turn within its label: the first of `count` that has the fewest rows yet, so 0, 1, 2, 0, 1, ...

    The rows of a group have the turn of its first row.
    """
    filled: dict[str, list[int]] = {}
    taken: dict[int, int] = {}
    turns = []
    for row, label in enumerate(labels):
        sizes = filled.setdefault(label, [0] * count)
        turn = taken.setdefault(row if groups is None else int(groups[row]), sizes.index(min(sizes)))
        sizes[turn] += 1
        turns.append(turn)
    return turns


def _different(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without repeats of text, label and split."""
    return list({(row["input"], row["label"], row.get("split", "train")): row for row in rows}.values())


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        numbered = numbered_rows(path, {})
    except RegistryError as error:
        raise LessonsError(str(error)) from None
    return [row for number, each in numbered for row in _inputs(path, number, each)]


def _inputs(path: Path, number: int, row: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(row.get("questions"), list) and "input" not in row:
        return [{"input": str(question), "label": str(row.get("id"))} for question in row["questions"]]
    if isinstance(row.get("input"), str):
        return [row]
    raise LessonsError(f"{path}:{number}: has no text 'input'. Remedy: give every row an input")


def _labelled(path: Path, row: dict[str, Any]) -> dict[str, Any]:
    if "label" not in row or not isinstance(row["label"], str | None):
        raise LessonsError(f"{path}: {row['input'][:40]!r}: 'label' must be a text, or null when out of every domain")
    if row.get("split", "train") not in SPLITS:
        known = f"{row['split']!r} is no split. Remedy: one of {', '.join(SPLITS)}; left out it is train"
        raise LessonsError(f"{path}: {row['input'][:40]!r}: {known}")
    return row
