"""Rows to check an encoder with that are not, nor nearly are, rows that it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from experts.alike import Bools, Indices, near_any, near_duplicates
from experts.factory.encoder_check import EncodeAll, Floats
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


def guarding(guards: Sequence[Lessons], lessons: Sequence[Lessons], encode: EncodeAll) -> list[Lessons]:
    """`guards` with rows to check with that neither they nor `lessons` teach. Raises LessonsError."""
    taught = [whole(one) for one in lessons]
    found = [unseen([one], [one, *taught], encode)[0] for one in (with_checks(guard, encode) for guard in guards)]
    for one in found:
        if not one.check_texts:
            said = f"{one.name}: every row it could guard with is a training row or a near-duplicate of one"
            raise LessonsError(f"{said}. Remedy: guard with a file of other requests")
    return found


def _new(encode: EncodeAll, texts: list[str], learnt: Floats) -> Bools:
    return ~near_any(encode(texts), learnt) if texts else np.zeros(0, bool)


def _asking(one: Lessons, rows: Bools, outside: Bools) -> Lessons:
    texts = [text for text, stays in zip(one.check_texts, rows, strict=True) if stays]
    strange = [text for text, stays in zip(one.outside, outside, strict=True) if stays]
    return replace(one, check_texts=texts, check_labels=one.check_labels[rows], outside=strange)
