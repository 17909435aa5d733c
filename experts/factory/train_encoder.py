"""Fine-tune the sentence encoder on labelled examples, keep what pays, and write it as the int8 file that serves.

    shoal experts train encoder --data intents.jsonl.gz --guard other.jsonl --out build/encoder

The new weights are tried whole and blended with the plain ones (trial.py); of the blends whose gain is beyond doubt
the best that harms nothing is written. Where there is none nothing is written, and the reason is said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from experts.factory.apart import guarding
from experts.factory.contrastive import Course
from experts.factory.encoder_check import Checked, EncodeAll, check, harm, remembering
from experts.factory.encoder_torch import between, device
from experts.factory.gains import PARTS, Gain, judged, sureness
from experts.factory.lessons import Lessons, few, part
from experts.factory.quantise_encoder import TEXTS
from experts.factory.trial import NoGain, Note, at_once, in_turn, told
from experts.factory.tuned_file import data_of, export
from experts.factory.tuning import Base, Tuning
from experts.progress import Stage

BY: Final = "experts/factory/train_encoder.py"


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
    tokenizer_sha256: str
    """Of tokenizer.json, likewise."""


def tune(base: Base, lessons: Lessons, course: Course, out: Path, progress: Stage) -> None:
    """Train on all of `lessons`, go all of the way, and write the folder `out` unchecked.

    How sure a head should be is told by a third of the rows, as judged by an encoder tuned without it: to save time
    the other two thirds are not asked, as `train_encoder` does not where the first tells. Raises LessonsError where
    too few rows are left then, and UnstableBits.
    """
    tuning = Tuning.of(base, TEXTS.read_text(encoding="utf-8").splitlines(), course)
    kept = part(lessons, 0, PARTS)
    plain = remembering(tuning.between(tuning.plain, 0.0))
    others = tuning.train([kept], partial(told, progress, "training without a third", course.steps))
    gain = Gain.of(judged(plain, [kept]), judged(tuning.between(others, 1.0), [kept]))
    tuned = tuning.train([lessons], partial(told, progress, "training", course.steps))
    sure = _sureness(gain, plain, tuning.between(tuned, 1.0), [lessons])
    made = {"by": BY, "data": [data_of(lessons)], "course": asdict(course), "sureness": sure}
    export(tuned, tuning.tokenizer, base.tokenizer, out, made)


def train_encoder(
    base: Base,
    lessons: Sequence[Lessons],
    guards: Sequence[Lessons],
    anchors: Sequence[str],
    out: Path,
    course: Course,
    note: Note,
    progress: Stage,
) -> Trained:
    """Train, choose, and write the folder `out`. Raises NoGain, LessonsError and UnstableBits.

    The vectors of `anchors` are held where they were, beside those of the texts about everything that lie here.
    `note` hears the figures, `progress` what is done, how much of it, of how much.
    """
    general = TEXTS.read_text(encoding="utf-8").splitlines()
    held, general = [*general[0::2], *anchors], general[1::2]
    tuning = Tuning.of(base, held, course)
    plain = remembering(tuning.between(tuning.plain, 0.0))
    guards = guarding(guards, lessons, plain, note)
    trial = (in_turn if few(lessons) else at_once)(tuning, lessons, plain, note, progress)
    before = check(plain, next(iter(trial.gains.values())).before, guards, general, plain(general))
    note(f"plain: {before.to_json()}")
    after: dict[float, Checked] = {}
    for share, gain in trial.gains.items():
        after[share] = check(tuning.between(trial.tuned, share), gain.after, guards, general, plain(general))
        note(f"with {share:.0%} of the change of weights: {after[share].to_json()}")
    share = choose(before, after)
    made = {
        "by": BY,
        "data": [data_of(one) for one in trial.lessons],
        "guards": [{"file": one.name, "sha256": one.sha256} for one in guards],
        "anchors": len(held),
        "course": asdict(course),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if device().type == "cuda" else "processor",
        "share_of_the_way": share,
        "sureness": _sureness(trial.gains[share], plain, tuning.between(trial.tuned, share), trial.lessons),
        "checks": {"plain": before.to_json(), **{f"share {at:g}": each.to_json() for at, each in after.items()}},
        "gains": {f"share {at:g}": each.to_json() for at, each in trial.gains.items()},
    }
    note(f"{share:.0%} of the change of weights gains and makes nothing worse; writing {out}")
    weights = between(tuning.plain, trial.tuned, share)
    sha256 = export(weights, tuning.tokenizer, base.tokenizer, out, made)
    return Trained(share, before, after, sha256, hashlib.sha256(base.tokenizer.read_bytes()).hexdigest())


def choose(before: Checked, after: Mapping[float, Checked]) -> float:
    """The first share, and so the one with the greatest gain, that harms nothing. Raises NoGain."""
    harms = {share: harm(before, each) for share, each in after.items()}
    for share, names in harms.items():
        if not names:
            return share
    fell = "; ".join(f"{share:.0%}: {', '.join(names)}" for share, names in harms.items())
    raise NoGain(
        f"training gained, but every share of the change of weights made something worse ({fell}), so nothing was"
        " written. Remedy: more or other data, fewer --steps, or keep the plain encoder"
    )


def _sureness(gain: Gain, plain: EncodeAll, tuned: EncodeAll, lessons: Sequence[Lessons]) -> dict[str, Any]:
    """For the card: what `router/encode.py` reads."""
    what = "scores of a head on its examples are multiplied by it, to be as sure as they are right on rows not seen"
    return {"what": what, "times": round(sureness(gain, plain, tuned, lessons), 4), "rows": gain.rows}
