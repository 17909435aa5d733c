"""Fine-tune the sentence encoder on labelled examples, keep what pays, and write it as the int8 file that serves.

    shoal experts train encoder --data intents.jsonl.gz --guard other.jsonl --out build/encoder

The new weights are tried whole and blended with the plain ones; the blend with the greatest mean gain on rows it never
saw is written, unless a figure fell or nothing was gained: then nothing is written, and the reason is said. Where rows
are few and none are for validation, all are asked in turn (crossed.py), and what is written is tuned on all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from experts.errors import ShoalError
from experts.factory.contrastive import Course
from experts.factory.crossed import PARTS, Gain, Judged, bound, judged, paying
from experts.factory.encoder_check import BETTER, Checked, check, gain, harm, remembering
from experts.factory.encoder_torch import between, device
from experts.factory.lessons import Lessons, few, part, whole
from experts.factory.quantise_encoder import TEXTS
from experts.factory.tuned_file import data_of, export
from experts.factory.tuning import Base, Tuning

BY: Final = "experts/factory/train_encoder.py"

SHARES: Final = (0.25, 0.5, 0.75, 1.0)
"""How far from the plain weights to the trained ones; all are tried."""

Progressing = Callable[[str, int, int], None]
"""Hears what is done, how much of it, of how much."""


class NoGain(ShoalError):
    """Training did not pay, so nothing was written; the message has the figures."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it."""

    share: float
    """Of the way from the plain weights to the trained ones."""
    plain: Checked
    tuned: Mapping[float, Checked]
    """By share."""
    sha256: str
    """Of model.onnx, as a registry wants it."""


def tune(base: Base, lessons: Lessons, course: Course, out: Path, progress: Progressing) -> None:
    """Train on all of `lessons`, go all of the way, and write the folder `out` unchecked.

    How sure a head should be is told by a third of the rows, as judged by an encoder tuned without it: to save time
    the other two thirds are not asked, as `train_encoder` does not where the first tells. Raises LessonsError where
    too few rows are left then, and UnstableBits.
    """
    tuning = Tuning.of(base, TEXTS.read_text(encoding="utf-8").splitlines(), course)
    kept = part(lessons, 0, PARTS)
    others = tuning.train([kept], partial(_told, progress, "training without a third", course.steps))
    sure = judged(tuning.between(others, 1.0), [kept]).checked()
    tuned = tuning.train([lessons], partial(_told, progress, "training", course.steps))
    made = {"by": BY, "data": [data_of(lessons)], "course": asdict(course), "sureness": _sureness(sure)}
    export(tuned, tuning.tokenizer, base.tokenizer, out, made)


def train_encoder(
    base: Base,
    lessons: Sequence[Lessons],
    guards: Sequence[Lessons],
    anchors: Sequence[str],
    out: Path,
    course: Course,
    note: Callable[[str], None],
    progress: Progressing,
) -> Trained:
    """Train, choose, and write the folder `out`. Raises NoGain, and UnstableBits.

    The vectors of `anchors` are held where they were, beside those of the texts about everything that lie here.
    `note` hears the figures, `progress` what is done, how much of it, of how much.
    """
    general = TEXTS.read_text(encoding="utf-8").splitlines()
    held, general = [*general[0::2], *anchors], general[1::2]
    tuning = Tuning.of(base, held, course)
    gains: dict[float, Gain] = {}
    checked = lessons
    if few(lessons):
        gains = crossed(tuning, lessons, note, progress)
        lessons, checked = [whole(one) for one in lessons], []
    plain = tuning.between(tuning.plain, 0.0)
    vectors = plain(general)
    before = _with(check(plain, checked, guards, general, vectors), [each.before for each in gains.values()])
    note(f"plain: {before.to_json()}")
    tuned = tuning.train(lessons, partial(_told, progress, "training", course.steps))
    found: dict[float, Checked] = {}
    for share in gains or SHARES:
        found[share] = check(tuning.between(tuned, share), checked, guards, general, vectors)
        found[share] = _with(found[share], [gains[share].after] if gains else [])
        note(f"{share:.0%} of the way: {found[share].to_json()}")
        progress("checking", len(found), len(gains or SHARES))
    share = choose(before, found, {share: each.mean for share, each in gains.items()})
    made = {
        "by": BY,
        "data": [data_of(one) for one in lessons],
        "guards": [{"file": one.name, "sha256": one.sha256} for one in guards],
        "anchors": len(held),
        "course": asdict(course),
        "share_of_the_way": share,
        "sureness": _sureness(found[share]),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if device().type == "cuda" else "processor",
        "checks": {"plain": before.to_json(), **{f"share {at:g}": each.to_json() for at, each in found.items()}},
        "judged_in_turn": {f"share {at:g}": each.to_json() for at, each in gains.items()},
    }
    note(f"{share:.0%} of the way pays and harms nothing; writing {out}")
    weights = between(tuning.plain, tuned, share)
    return Trained(share, before, found, export(weights, tuning.tokenizer, base.tokenizer, out, made))


def crossed(
    tuning: Tuning, lessons: Sequence[Lessons], note: Callable[[str], None], progress: Progressing
) -> dict[float, Gain]:
    """By share of the way what it gains on rows judged once each; those that pay, the best first. Raises NoGain."""
    steps, began = tuning.course.steps, time.monotonic()
    note(
        f"too few rows to keep some aside: tuned {PARTS} times without a third of them, which it then judges, and at"
        f" last on all; {steps} steps each time. Where one third tells, the others are left out"
    )
    plain, tuned = remembering(tuning.between(tuning.plain, 0.0)), dict[float, list[Judged]]()
    before: list[Judged] = []
    for look in range(1, PARTS + 1):
        parts = [part(one, look - 1, PARTS) for one in lessons]
        weights = tuning.train(parts, partial(_told, progress, f"training without third {look}", steps))
        before.append(judged(plain, parts))
        for share in SHARES:
            tuned.setdefault(share, []).append(judged(tuning.between(weights, share), parts))
        gains = {share: Gain.of(Judged.joined(before), Judged.joined(each)) for share, each in tuned.items()}
        seconds = (time.monotonic() - began) / look
        note(f"{_said(gains)} ({seconds:,.0f} s a third; at most {seconds * (PARTS + 1 - look):,.0f} s to go)")
        found = paying(gains, look)
        if found is not None:
            break
    if not found:
        raise NoGain(_too_little(gains, look))
    return {share: gains[share] for share in found}


def choose(plain: Checked, tuned: Mapping[float, Checked], known: Mapping[float, float]) -> float:
    """The share with the greatest gain among those that harm nothing; a gain that is `known` stands. Raises NoGain."""
    harms = {share: harm(plain, each) for share, each in tuned.items()}
    gains = {share: known.get(share) or gain(plain, each) for share, each in tuned.items() if not harms[share]}
    if not gains:
        fell = "; ".join(f"{share:.0%} of the way: {', '.join(names)}" for share, names in harms.items())
        raise NoGain(
            f"training made something worse however little of it was taken ({fell}), so nothing was written."
            " Remedy: more or other data, fewer --steps, or keep the plain encoder"
        )
    best = max(gains, key=lambda share: gains[share])
    if gains[best] < BETTER:
        raise NoGain(
            f"training gained {gains[best]:.2%} at best, less than {BETTER:.1%}, so nothing was written."
            " Remedy: more examples of each label, or keep the plain encoder"
        )
    return best


def _told(progress: Progressing, what: str, steps: int, step: int) -> None:
    progress(what, step, steps)


def _with(found: Checked, judged: Sequence[Checked]) -> Checked:
    """The figures of `found`, with those of rows that were judged in turn, where some were."""
    if not judged:
        return found
    return replace(found, in_domain=judged[0].in_domain, sureness=judged[0].sureness, rows=judged[0].rows)


def _sureness(found: Checked) -> dict[str, Any]:
    """For the card: what `router/encode.py` reads."""
    what = "scores of a head on its examples are multiplied by it, to be as sure as they are right on rows not seen"
    return {"what": what, "times": round(found.sureness, 4), "rows": found.rows}


def _said(gains: Mapping[float, Gain]) -> str:
    """The best of the gains in a line, accuracies beside it."""
    share = max(gains, key=lambda share: gains[share].mean)
    best = gains[share]
    accuracy = ", ".join(
        f"accuracy on {file} {before:.2%} -> {best.after.in_domain[file]:.2%}"
        for file, before in best.before.in_domain.items()
    )
    return (
        f"{best.rows:,} rows judged: {share:.0%} of the way the probability of a row's own label gains {best.mean:.2%},"
        f" standard error {best.doubt:.2%}; {accuracy}"
    )


def _too_little(gains: Mapping[float, Gain], look: int) -> str:
    best = max(gains.values(), key=lambda each: each.mean)
    asked = max(BETTER, bound(look, len(gains)) * best.doubt)
    fell = "".join(f", and {each}" for each in harm(best.before, best.after))
    return (
        f"training gained {best.mean:.2%} at best in the probability of a row's own label, over {best.rows:,} rows each"
        f" judged by an encoder that had not seen it; {asked:.2%} was asked, as its standard error is"
        f" {best.doubt:.2%}{fell}. So nothing was written."
        " Remedy: more examples of each label, or keep the plain encoder"
    )
