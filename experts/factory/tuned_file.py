"""A trained encoder as the folder that serves: int8 model, tokenizer, vectors to compare with, and card."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml
from tokenizers import Tokenizer

from experts.errors import ShoalError
from experts.factory.encoder_graph import Weights
from experts.factory.lessons import Lessons
from experts.factory.quantise_encoder import (
    SHIPPED,
    TEXTS,
    describe,
    make_models,
    measure,
    split_texts,
    write_vectors,
)
from experts.whole import whole_folder

FILES: Final = ("model.onnx", "tokenizer.json", "vectors.npz", "card.yaml")
"""The card is the last: where it is, all are."""


class UnstableBits(ShoalError):
    """The int8 file gives a text other bits from call to call, so it was not written."""


def export(weights: Weights, tokenizer: Tokenizer, vocabulary: Path, out: Path, made: Mapping[str, Any]) -> str:
    """Write model.onnx, tokenizer.json, card.yaml and vectors.npz into `out`; the sha256 of model.onnx.

    Raises UnstableBits, and OSError, which names `out`; nothing of it is left then, nor where it is interrupted.
    """
    calibration, checks = split_texts(TEXTS.read_text(encoding="utf-8").splitlines())
    models = make_models(weights, tokenizer, calibration, ("float32", SHIPPED))
    measured = measure(models, tokenizer, checks, os.getloadavg()[0])
    if not measured["ways"][SHIPPED]["same_bits_in_any_order_and_thread"]:
        raise UnstableBits(
            "the vector of a text changed with what was encoded before or beside it, so nothing was written."
            f" Remedy: another onnxruntime than {measured['machine']['onnxruntime']}"
        )
    with whole_folder(out, *FILES) as draft:
        (draft / "model.onnx").write_bytes(models[SHIPPED])
        shutil.copyfile(vocabulary, draft / "tokenizer.json")
        write_vectors(draft / "vectors.npz", models["float32"], tokenizer, checks)
        card = tuned_card(describe(draft, measured), made)
        (draft / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110))
    return str(card["files"]["model.onnx"]["sha256"])


def tuned_card(plain: Mapping[str, Any], made: Mapping[str, Any]) -> dict[str, Any]:
    """The card of a quantised encoder, with what it was trained on in it."""
    card = {**plain, "name": f"{plain['name']}, fine-tuned"}
    card["trained"] = {"date": datetime.now(UTC).date(), **made}
    card["licence"] = f"{plain['licence']} (weights it started from); trained on data under: " + "; ".join(
        f"{one['file']} {one['licence']}" for one in made["data"]
    )
    return card


def data_of(one: Lessons) -> dict[str, Any]:
    """What a card says of a file that was trained on."""
    return {
        "file": one.name,
        "sha256": one.sha256,
        "rows": len(one.texts),
        "labels": len(set(one.labels.tolist())),
        "licence": one.licence,
    }
