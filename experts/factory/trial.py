"""The two ways to try whether tuning pays, both on rows that the encoder had not seen, with one proof (gains.py).

at once   on the rows for validation, or where rows are many on every fifth of a label kept aside
in turn   on all rows, each judged once by an encoder tuned without it: where they are few and none are for validation
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from experts.errors import ShoalError
from experts.factory.apart import groups_of, unseen, with_checks
from experts.factory.encoder_check import BETTER, EncodeAll, Floats, harm
from experts.factory.gains import FEWEST, PARTS, Gain, Judged, bound, judged, paying
from experts.factory.lessons import Lessons, LessonsError, part, whole
from experts.factory.tuning import Tuning
from experts.progress import Stage

SHARES: Final = (0.25, 0.5, 0.75, 1.0)
"""How far from the plain weights to the trained ones; all are tried."""

Note = Callable[[str], None]
"""Hears figures in words."""


class NoGain(ShoalError):
    """Training did not pay, so nothing was written; the message has the figures."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it."""

    lessons: Sequence[Lessons]
    """As trained on at last."""
    tuned: Mapping[str, Floats]
    """The weights trained on them."""
    gains: Mapping[float, Gain]
    """Of the shares of the way that pay, the best first."""


def at_once(tuning: Tuning, lessons: Sequence[Lessons], plain: EncodeAll, note: Note, progress: Stage) -> Trial:
    """Tuned once. Raises NoGain, and LessonsError where the rows to check with are too few to show anything."""
    kept = [with_checks(one, plain) for one in lessons]
    asked = unseen(kept, kept, plain)
    remedy = "more labelled rows of the split validation, or none, which cross-validates"
    _announce(sum(len(one.check_texts) for one in kept), _enough(asked, remedy), note)
    tuned = tuning.train(asked, partial(told, progress, "training", tuning.course.steps))
    before, gains = judged(plain, asked), dict[float, Gain]()
    for share in SHARES:
        gains[share] = Gain.of(before, judged(tuning.between(tuned, share), asked))
        progress("checking", len(gains), len(SHARES))
    note(_said(gains))
    return Trial(asked, tuned, _found(gains, paying(gains, 1, 1), 1, 1))


def in_turn(tuning: Tuning, lessons: Sequence[Lessons], plain: EncodeAll, note: Note, progress: Stage) -> Trial:
    """Tuned without each of `PARTS` parts until they tell, and at last on all. Raises NoGain and LessonsError."""
    steps, began = tuning.course.steps, time.monotonic()
    groups = [groups_of(one, plain) for one in lessons]
    parts = [[part(one, at, PARTS, group) for one, group in zip(lessons, groups, strict=True)] for at in range(PARTS)]
    parts = [unseen(each, each, plain) for each in parts]
    rows = _enough([one for each in parts for one in each], "more rows of each label")
    _announce(sum(len(group) for group in groups), rows, note)
    note(
        f"too few rows to keep some aside: cross-validated in {PARTS} folds, each tuned on two thirds of the rows and"
        f" checked on the rest, then tuned on all; {steps} steps each time. A fold that decides alone is the last"
    )
    before, after = list[Judged](), {share: list[Judged]() for share in SHARES}
    for look, asked in enumerate(parts, 1):
        tuned = tuning.train(asked, partial(told, progress, f"training without third {look}", steps))
        before.append(judged(plain, asked))
        for share, each in after.items():
            each.append(judged(tuning.between(tuned, share), asked))
        gains = {share: Gain.of(Judged.joined(before), Judged.joined(each)) for share, each in after.items()}
        seconds = (time.monotonic() - began) / look
        note(f"{_said(gains)} ({seconds:,.0f} s a fold; at most {seconds * (PARTS + 1 - look):,.0f} s to go)")
        found = paying(gains, look, PARTS)
        if found is not None:
            break
    proven = _found(gains, found, look, PARTS)
    every = [whole(one) for one in lessons]
    return Trial(every, tuning.train(every, partial(told, progress, "training", steps)), proven)


def told(progress: Stage, what: str, steps: int, step: int) -> None:
    """`progress` of so many steps."""
    progress(what, step, steps)


def _enough(asked: Sequence[Lessons], remedy: str) -> int:
    """The rows to check with. Raises LessonsError, with the remedy where they are too few."""
    rows = sum(len(one.check_texts) for one in asked)
    if rows >= FEWEST:
        return rows
    names = ", ".join(dict.fromkeys(one.name for one in asked))
    raise LessonsError(
        f"{names}: {rows} rows to check with are neither training rows nor near-duplicates of them, and fewer than"
        f" {FEWEST} show nothing. Remedy: {remedy}"
    )


def _announce(given: int, asked: int, note: Note) -> None:
    if asked < given:
        note(f"{given - asked:,} of {given:,} rows to check with are skipped: training rows or near-duplicates of them")


def _found(gains: Mapping[float, Gain], shares: Sequence[float] | None, look: int, looks: int) -> dict[float, Gain]:
    """The gains of the `shares` that pay. Raises NoGain where none does."""
    if shares:
        return {share: gains[share] for share in shares}
    best = max(gains.values(), key=lambda each: each.mean)
    asked = max(BETTER, bound(look, looks, len(gains)) * best.doubt)
    fell = "".join(f", and {each}" for each in harm(best.before, best.after))
    raise NoGain(
        f"training gained {best.mean:.2%} at best in the mean probability of the true label, over {best.rows:,} rows"
        f" each judged by an encoder that had not seen it; {asked:.2%} is needed, for the standard error is"
        f" {best.doubt:.2%}{fell}. So nothing was written."
        " Remedy: more examples of each label, or keep the plain encoder"
    )


def _said(gains: Mapping[float, Gain]) -> str:
    """The best of the gains in a line, accuracies beside it."""
    share = max(gains, key=lambda share: gains[share].mean)
    best = gains[share]
    accuracy = ", ".join(
        f"accuracy on {file} {before:.2%} -> {best.after.in_domain[file]:.2%}"
        for file, before in best.before.in_domain.items()
    )
    return (
        f"{best.rows:,} rows judged: with {share:.0%} of the change of weights the mean probability of the true label"
        f" gains {best.mean:.2%}, standard error {best.doubt:.2%}; {accuracy}"
    )
