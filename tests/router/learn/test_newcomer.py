"""What is said of an expert's examples, held against what a judge of them does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experts.registry import load_registry
from router.encode import Encoder
from router.learn.fit import fit_judge
from router.learn.newcomer import warnings_about
from router.learn.surface import surface

ROOT = Path(__file__).resolve().parents[3]
THINGS = ("rice", "an egg", "beans", "a fish", "corn", "soup", "pasta", "lentils", "a crab", "plums")
TEXTS = [f"{way} {thing}?" for way in ("How long do I cook", "Which oil goes with") for thing in THINGS]
REGISTRY = """
version: 1
encoder: {{path: {encoder}, sha256: "{sha256}"}}
fallback: big
default_policy: plain
policies: {{plain: {{threshold: 0.7, out_of_domain: {out_of_domain}}}}}
power: {{dynamic_w_per_core: 2, source: s, as_of: 2026-11-01}}
{more}
experts:
  - {{id: cook, kind: scripted, description: c, script: say.jsonl, examples: c.jsonl, params_b: 1, context: 4096}}
  - {{id: big, kind: scripted, description: b, script: say.jsonl, params_b: 8, context: 4096}}
"""


@pytest.mark.parametrize(
    ("count", "out_of_domain", "more", "warned"),
    [
        (19, 0.05, "", True),
        (20, 0.05, "", False),
        (9, 0.1, "", True),
        (10, 0.1, "", False),
        (9, 0, "", False),
        (9, 0.05, "outside: o.jsonl", False),
    ],
)
def test_fewer_examples_than_tell_a_strange_request_are_told_of(
    tmp_path: Path, count: int, out_of_domain: float, more: str, warned: bool
) -> None:
    """The only expert was sent every request there is, with a probability of 1, and nothing said so."""
    encoder = load_registry(ROOT / "registry.yaml", {}).registry.encoder
    told = REGISTRY.format(encoder=encoder.path, sha256=encoder.sha256, out_of_domain=out_of_domain, more=more)
    (tmp_path / "registry.yaml").write_text(told)
    (tmp_path / "say.jsonl").write_text('{"match": ".", "reply": "Yes."}\n')
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"input": text}) + "\n" for text in TEXTS[:count]))
    (tmp_path / "o.jsonl").write_text('{"input": "Who won the war?"}\n')
    registry, used = load_registry(tmp_path / "registry.yaml", {}).registry, Encoder.of(encoder)
    judge = fit_judge(registry, used, tmp_path / "vectors").judge
    strange = "SELECT name FROM users"
    if not more and out_of_domain:
        known = judge.judge(used.encode(strange), surface(strange)).known
        assert (known >= out_of_domain) is warned, "what is warned of is so"
    said = "".join(warnings_about("cook", registry, used, tmp_path / "vectors"))
    assert said.startswith(f"{count} examples in all are too few to tell a request that is like none") is warned
    if warned:
        assert f"that takes {20 if out_of_domain == 0.05 else 10}" in said and "Remedy: " in said


def test_of_long_examples_that_are_read_as_one_it_is_said_what_is_read(tmp_path: Path) -> None:
    """Twenty contracts that differ in the middle were called one, and nobody could see why."""
    encoder = load_registry(ROOT / "registry.yaml", {}).registry.encoder
    (tmp_path / "registry.yaml").write_text(
        REGISTRY.format(encoder=encoder.path, sha256=encoder.sha256, out_of_domain=0.05, more="")
    )
    (tmp_path / "say.jsonl").write_text('{"match": ".", "reply": "Yes."}\n')
    around = "The supplier keeps the customer free of all claims of others. " * 30
    texts = [f"{around}{text} {around}" for text in TEXTS]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"input": text}) + "\n" for text in texts))
    registry = load_registry(tmp_path / "registry.yaml", {}).registry
    (said,) = warnings_about("cook", registry, Encoder.of(encoder), tmp_path / "vectors")
    assert said.startswith("20 examples, 1 of which differ, are too few to tell its requests from others")
    assert said.endswith(". Of a text longer than 256 tokens only its two ends are read, and 20 of them are")
