"""Labelled requests and an encoder of no sense, small enough to train on within seconds."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

TOPICS = {"weather": "rain", "music": "song", "money": "card", "food": "soup"}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def topical(each: int) -> list[dict[str, object]]:
    return [{"input": f"{word} {n}", "label": topic} for topic, word in TOPICS.items() for n in range(each)]


def disguised(each: int, own: int | None = None) -> list[dict[str, object]]:
    """Texts of four topics whose one telling word stands among many that tell nothing.

    Where these are of a few, `own`, that each text draws for itself, texts lie farther apart and the telling word is
    harder to find for an encoder that was not taught.
    """
    random = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    rows: list[dict[str, object]] = []
    for topic, word in TOPICS.items():
        for _ in range(each):
            idle = letters if own is None else random.choice(letters, own, replace=False)
            text = " ".join([*random.choice(idle, 7), word, *random.choice(idle, 7)])
            rows.append({"input": text, "label": topic})
    return rows


def random_weights(words: int) -> dict[str, np.ndarray]:
    """The encoder's shape with weights drawn at random, the norms as they begin.

    Words weigh more than what a text does to them, so that no two texts are as alike as one asked twice.
    """
    from experts.factory.encoder_graph import LAYERS, POSITIONS, SIZE

    random = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (words, SIZE),
        "embeddings.position_embeddings.weight": (POSITIONS, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
    }
    dense = {f"attention.{part}": (SIZE, SIZE) for part in ("self.query", "self.key", "self.value", "output.dense")}
    dense |= {"intermediate.dense": (4 * SIZE, SIZE), "output.dense": (SIZE, 4 * SIZE)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        shapes |= {f"{at}{part}.weight": shape for part, shape in dense.items()}
        shapes |= {f"{at}{part}.bias": shape[:1] for part, shape in dense.items()}
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    weights = {name: random.normal(0, 0.025, shape).astype(np.float32) for name, shape in shapes.items()}
    weights["embeddings.word_embeddings.weight"] *= 40
    for norm in norms:
        weights |= {f"{norm}.weight": np.ones(SIZE, np.float32), f"{norm}.bias": np.zeros(SIZE, np.float32)}
    return weights
