"""The set of tickets and other requests in German, French and Spanish."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.requests import Request, read_requests
from experts.registry import load_registry
from router.encode import Encoder
from router.learn.fit import examples_of, outside_of
from router.learn.vectors import vectors_of
from router.prompt import request_text
from tests.service.server import CACHE

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ROOT / "eval/data/languages.jsonl"
NEAR = 0.9
"""Cosine from which on two requests are nearly the same."""


@pytest.fixture(scope="module")
def rows() -> list[Request]:
    return read_requests(LANGUAGES)


def test_the_card_counts_what_is_there(rows: list[Request]) -> None:
    counts = yaml.safe_load(LANGUAGES.with_name("languages-card.yaml").read_text(encoding="utf-8"))["counts"]
    assert counts["rows"] == len(rows)
    assert counts["split"] == Counter(row.split for row in rows)
    assert counts["label"] == Counter(row.label or "none" for row in rows)
    assert counts["kind"] == Counter(row.kind for row in rows)


def test_ids_are_unique_and_in_order(rows: list[Request]) -> None:
    assert [row.id for row in rows] == [f"l{number:03}" for number in range(1, len(rows) + 1)]


def test_every_row_has_its_fields_only() -> None:
    wanted = {"id", "messages", "label", "kind", "split"}
    assert all(set(json.loads(line)) == wanted for line in LANGUAGES.read_text(encoding="utf-8").splitlines())


def test_no_row_is_nearly_one_that_is_learnt_from(rows: list[Request]) -> None:
    registry = load_registry(ROOT / "registry.yaml").registry
    encoder = Encoder.of(registry.encoder)
    learnt = [*outside_of(registry), *(text for spec in registry.experts for text in examples_of(spec))]
    texts = [request_text(row.messages) for row in rows]
    cosines = vectors_of(learnt, encoder, CACHE / "vectors") @ vectors_of(texts, encoder, CACHE / "vectors").T
    near = [(learnt[at], rows[row].id) for at, row in np.argwhere(cosines > NEAR)]
    assert near == []
