from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from eval.requests import REQUESTS, Request, read_requests
from experts.registry import load_registry
from router.api.chat_schema import check
from router.encode import Encoder
from router.learn.fit import outside_of
from router.learn.vectors import vectors_of
from router.prompt import request_text
from tests.service.server import CACHE

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "experts" / "catalog"
KINDS = {
    "short", "long", "code", "two-questions", "typos", "language", "follow-up", "noise", "empty", "emoji", "plain",
    "conversation", "tool-dump", "topic-change", "system-prompt", "pasted",
}  # fmt: skip

NEAR = 0.9
"""Cosine from which on two requests are nearly the same."""


@cache
def rows() -> list[Request]:
    return read_requests()


def normalised(text: str) -> str:
    """Without case, punctuation and spacing; emoji stay, so that two of them are not the same text."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() or ord(c) > 0x2000 else " " for c in folded).split())


def said(request: Request) -> list[str]:
    """The texts of the user."""
    contents = [message.get("content") for message in request.messages if message["role"] == "user"]
    return [text for content in contents for text in ([content] if isinstance(content, str) else parts(content))]


def parts(content: Any) -> list[str]:
    return [part["text"] for part in content or () if part["type"] == "text"]


def turns(request: Request) -> int:
    """What the user and tools said, in messages."""
    return sum(message["role"] in ("user", "tool") for message in request.messages)


@cache
def catalogued() -> frozenset[str]:
    """Every text that an expert of the catalogue is made from or measured with."""
    texts: list[str] = []
    for path in CATALOG.glob("*/*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            texts += [row["input"]] if "input" in row else row["questions"]
    return frozenset(map(normalised, texts))


def test_there_are_enough_of_them() -> None:
    assert len(rows()) >= 640
    assert sum(turns(row) > 1 for row in rows()) >= 80
    assert sum(max(map(len, said(row)), default=0) >= 2000 for row in rows()) >= 5


def test_ids_are_unique_and_in_order() -> None:
    assert [row.id for row in rows()] == [f"r{number:03}" for number in range(1, len(rows()) + 1)]


def test_every_row_has_its_fields_only() -> None:
    for line in REQUESTS.read_text(encoding="utf-8").splitlines():
        assert {"id", "messages", "label", "kind", "split"} <= set(json.loads(line)) <= {
            "id", "messages", "label", "kind", "split", "note",
        }  # fmt: skip


def test_labels_are_domains_of_the_default_registry() -> None:
    domains = {spec.label for spec in load_registry(ROOT / "registry.yaml").registry.experts}
    assert {row.label for row in rows()} == {*domains, None}


def test_every_kind_and_label_is_well_represented() -> None:
    assert {row.kind for row in rows()} == KINDS
    shares = {label: count / len(rows()) for label, count in Counter(row.label for row in rows()).items()}
    assert all(0.2 < share < 0.3 for share in shares.values()), shares


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_both_splits_hold_every_kind(kind: str) -> None:
    own = [row.split for row in rows() if row.kind == kind]
    assert 0.3 <= own.count("validation") / len(own) <= 0.55
    assert set(own) == {"validation", "test"}


def test_messages_are_what_the_api_accepts() -> None:
    for row in rows():
        check({"model": "auto", "messages": row.messages})
        calls = [call["id"] for message in row.messages for call in message.get("tool_calls") or ()]
        answered = [message["tool_call_id"] for message in row.messages if message["role"] == "tool"]
        assert answered == calls, row.id
        assert row.messages[-1]["role"] in ("user", "tool"), row.id


def test_none_is_a_row_of_the_catalogue() -> None:
    seen = [(row.id, text) for row in rows() for text in said(row) if normalised(text) in catalogued()]
    assert [(row, text) for row, text in seen if normalised(text)] == []


def test_none_is_there_twice() -> None:
    counts = Counter(" / ".join(map(normalised, said(row))) for row in rows() if any(map(normalised, said(row))))
    assert [text for text, count in counts.items() if count > 1] == []


def test_an_application_stays_in_one_split() -> None:
    """A system prompt that several rows share must not tie the two splits together."""
    splits: dict[str, set[str]] = {}
    for row in rows():
        for message in row.messages:
            if message["role"] == "system" and len(message["content"].split()) > 50:
                splits.setdefault(message["content"], set()).add(row.split)
    assert sum(len(text.split()) >= 1000 for text in splits) >= 4
    assert all(len(found) == 1 for found in splits.values())


def test_the_card_counts_what_is_there() -> None:
    card = yaml.safe_load(REQUESTS.with_name("card.yaml").read_text(encoding="utf-8"))
    counts = card["counts"]
    assert counts["rows"] == len(rows())
    assert counts["several_turns"] == sum(turns(row) > 1 for row in rows())
    asked = [sum(message["role"] == "user" for message in row.messages) for row in rows()]
    assert counts["several_turns_of_the_user"] == sum(many > 1 for many in asked)
    assert counts["split"] == Counter(row.split for row in rows())
    assert counts["label"] == Counter(row.label or "none" for row in rows())
    assert counts["kind"] == Counter(row.kind for row in rows())


def test_no_row_is_nearly_one_that_nobody_should_answer() -> None:
    """What is learnt of such requests must hold for others than those it was written from."""
    registry = load_registry(ROOT / "registry.yaml").registry
    encoder = Encoder.of(registry.encoder)
    outside = outside_of(registry)
    texts = [request_text(row.messages) for row in rows()]
    cosines = vectors_of(outside, encoder, CACHE / "vectors") @ vectors_of(texts, encoder, CACHE / "vectors").T
    near = [(outside[at], texts[row]) for at, row in np.argwhere(cosines > NEAR) if texts[row]]
    assert near == []


def test_what_an_assistant_says_of_the_product_is_so() -> None:
    """A conversation that tells outdated facts is none that an app would send."""
    told = {
        request.id: " ".join(str(m["content"]) for m in request.messages if m["role"] == "assistant")
        for request in rows()
    }
    threshold = load_registry(ROOT / "registry.yaml", {}).registry.policies["balanced"].threshold
    assert all(f"{threshold:.2f}" in told[each] for each in ("r516", "r605"))
    measured = json.loads((ROOT / "eval/results/bench.json").read_text())["figures"]["rss_mb"]
    found = re.search(r"Around (\d+) MB for the router", told["r566"])
    assert found is not None
    assert float(found[1]) == pytest.approx(measured, rel=0.2)
    assert "PostgreSQL" not in " ".join(told.values()), "the ledger is SQLite"
    assert "not good enough" not in told["r522"], "answers are not judged"


def test_a_registry_that_a_tool_reads_in_them_has_the_policies_of_ours() -> None:
    (request,) = (request for request in rows() if request.id == "r627")
    (read,) = (yaml.safe_load(m["content"]) for m in request.messages if m["role"] == "tool")
    ours = yaml.safe_load((ROOT / "registry.yaml").read_text("utf-8"))
    for key in ("fallback", "default_policy", "policies", "memory_budget_mb"):
        assert read[key] == ours[key], key
