"""Rows to check an encoder with that are not, nor nearly are, rows that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

import numpy as np

from experts.alike import Bools, Indices, near_any, near_duplicates
from experts.factory.encoder_check import WORSE, EncodeAll, Floats, allowed
from experts.factory.gains import FEWEST
from experts.factory.lessons import ASIDE, Lessons, LessonsError, part, whole


def groups_of(one: Lessons, encode: EncodeAll) -> Indices:
    """The group of each row of `whole(one)`: near-duplicates share one."""
    return near_duplicates(encode(whole(one).texts))


def with_checks(one: Lessons, encode: EncodeAll) -> Lessons:
    """Its rows for validation to check with; where it has none, some kept aside, near-duplicates on one side.

    Of every label the second turn is kept, for the first group may be most of the label, and the last may be empty.
    """
    return part(one, 1, ASIDE, groups_of(one, encode)) if one.aside else one


def unseen(asked: Sequence[Lessons], taught: Sequence[Lessons], encode: EncodeAll) -> list[Lessons]:
    """`asked` without the rows to check with that are alike to any that `taught` is trained on."""
    learnt = encode([text for one in taught for text in one.texts])
    return [_asking(one, _new(encode, one.check_texts, learnt), _new(encode, one.outside, learnt)) for one in asked]


def guarding(
    guards: Sequence[Lessons], lessons: Sequence[Lessons], encode: EncodeAll, note: Callable[[str], None]
) -> list[Lessons]:
    """`guards` with rows to check with that neither they nor `lessons` teach. Raises LessonsError where too few.

    `note` hears of those whose rows are so few that only a larger fall counts than on others.
    """
    taught = [whole(one) for one in lessons]
    found = [unseen([one], [one, *taught], encode)[0] for one in (with_checks(guard, encode) for guard in guards)]
    for one in found:
        rows = len(one.check_texts)
        if rows < FEWEST:
            raise LessonsError(
                f"{one.name}: {rows} rows it could guard with are neither training rows nor"
                f" near-duplicates of them, and fewer than {FEWEST} show nothing. Remedy: a guard with more rows of the"
                " split validation, or without such rows five times as many, which are other requests; or no such guard"
            )
        if (fall := allowed(rows)) > WORSE:
            told = f"{rows:,} rows to guard with, so a fall of up to one row, {fall:.2%}, is taken for chance"
            note(f"{one.name}: {told}; {ceil(1 / WORSE):,} rows or more would show any above {WORSE:.2%}")
    return found


def _new(encode: EncodeAll, texts: list[str], learnt: Floats) -> Bools:
    return ~near_any(encode(texts), learnt) if texts else np.zeros(0, bool)


def _asking(one: Lessons, rows: Bools, outside: Bools) -> Lessons:
    texts = [text for text, stays in zip(one.check_texts, rows, strict=True) if stays]
    strange = [text for text, stays in zip(one.outside, outside, strict=True) if stays]
    return replace(one, check_texts=texts, check_labels=one.check_labels[rows], outside=strange)
