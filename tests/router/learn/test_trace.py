"""What is kept of a request is small, and near enough to what it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from router.encode import Encoder
from router.learn.surface import NAMES, surface, surfaces
from router.learn.trace import TEXT_CHARS, maker, pack, trace, unpack, unpack_surfaces

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    spec = yaml.safe_load((ROOT / "registry.yaml").read_text())["encoder"]
    return Encoder.open(ROOT / spec["path"], spec["sha256"])


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rows = map(json.loads, (ROOT / "eval/data/requests.jsonl").read_text().splitlines())
    return [row["messages"][-1]["content"] for row in rows if isinstance(row["messages"][-1]["content"], str)][:200]


def test_a_vector_in_bytes_points_where_it_did(encoder: Encoder, texts: list[str]) -> None:
    vectors = encoder.encode_all(texts)
    packed = [pack(vector) for vector in vectors]
    assert {len(each) for each in packed} == {384}
    kept = unpack(packed)
    assert np.allclose(np.linalg.norm(kept, axis=1), 1, atol=1e-6)
    cosines = (vectors * kept).sum(axis=1)
    assert len(cosines) == 200
    assert cosines.mean() > 0.9999
    assert cosines.min() > 0.999
    assert np.abs(vectors @ vectors.T - kept @ kept.T).max() < 0.01


def test_surface_numbers_in_two_bytes(encoder: Encoder, texts: list[str]) -> None:
    features = surfaces([*texts, "9" * 400, "x" * 100_000, ""])
    kept = unpack_surfaces([trace("e", np.ones(4, np.float32), each, None).surface for each in features])
    assert kept.shape == (203, len(NAMES))
    assert np.allclose(kept, features, rtol=1e-3, atol=1e-4)


def test_a_trace_holds_no_word_unless_it_is_asked_to(encoder: Encoder) -> None:
    text = "a secret nobody may read"
    kept = trace(encoder.fingerprint, encoder.encode(text), surface(text), None)
    assert kept.text is None
    assert b"secret" not in kept.vector + kept.surface + kept.maker.encode()
    assert trace(encoder.fingerprint, encoder.encode(text), surface(text), text).text == text


def test_of_a_long_text_both_ends_are_kept(encoder: Encoder) -> None:
    text = "begin " + "x" * 10_000 + " end"
    kept = trace(encoder.fingerprint, encoder.encode(text), surface(text), text).text or ""
    assert len(kept) == 2 * TEXT_CHARS
    assert kept.startswith("begin")
    assert kept.endswith("end")


def test_traces_of_another_encoder_are_told_apart() -> None:
    assert maker("a" * 64) != maker("b" * 64)


def test_a_vector_of_nothing_stays_nothing() -> None:
    assert not unpack([pack(np.zeros(8, np.float32))]).any()
