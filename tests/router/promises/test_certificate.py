from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experts.policy import Policy
from router.decide import decide
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.certify import LITTLE, first_failing
from router.promises.certificate import (
    Basis,
    Certificate,
    CertificateRefused,
    certify,
    read_certificate,
    write_certificate,
)
from router.promises.evidence import Evidence
from router.rule import Rule
from tests.router.promises.bench import evidence
from tests.router.test_decide import REGISTRY, expert, needs

TODAY = date(2026, 11, 25)
BASIS = Basis("encoder-1", "data-1", "registry-1")
SAFE = Policy(max_risk=0.02)


@pytest.fixture
def made() -> Certificate:
    return certify("safe", SAFE, evidence(2000), BASIS, TODAY)


def test_it_says_everything_a_reader_needs(made: Certificate) -> None:
    assert (made.max_risk, made.confidence, made.n, made.source, made.made) == (
        0.02,
        0.9,
        2000,
        "examples",
        "2026-11-25",
    )
    assert made.loss < made.bound <= 0.02
    assert 0.1 < made.kept < 1
    assert 0.5 < made.threshold < 1
    assert (made.encoder, made.data, made.registry) == ("encoder-1", "data-1", "registry-1")


def test_more_risk_and_less_confidence_keep_more(made: Certificate) -> None:
    riskier = certify("safe", Policy(max_risk=0.05), evidence(2000), BASIS, TODAY)
    surer = certify("safe", Policy(max_risk=0.02, confidence=0.999), evidence(2000), BASIS, TODAY)
    assert surer.kept < made.kept < riskier.kept


def test_the_promise_is_broken_no_more_often_than_it_says() -> None:
    """Certified on 400 of a world and tried on 400 others, whose loss is what anybody can see; 100 times."""
    broken = 0
    for seed in range(100):
        found = first_failing(evidence(400, seed).tallies(0.05), 400, 0.08, 0.9, laxest=0)
        assert found is not None
        others = evidence(400, seed + 1000)
        loss = next(tally.loss for tally in others.tallies(0.05) if tally.at == found.at)
        broken += loss / 400 > 0.08
    assert broken / 100 <= 0.1


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.005, 0.3), st.floats(0.5, 0.99), st.integers(1, 600))
def test_whatever_is_certified_is_within_what_was_asked(seed: int, risk: float, confidence: float, n: int) -> None:
    policy = Policy(max_risk=risk, confidence=confidence)
    try:
        found = certify("safe", policy, evidence(n, seed), BASIS, TODAY)
    except CertificateRefused as error:
        assert "Remedy: " in str(error)
        return
    assert found.bound <= round(risk, 6)
    assert 0 < found.kept <= 1
    assert (1 - risk) ** n <= 1 - confidence


def test_too_few_requests_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(CertificateRefused, match=r"takes at least 169 labelled examples, and there are 168\. "):
        certify("safe", SAFE, evidence(168), BASIS, TODAY)
    with pytest.raises(CertificateRefused, match="at least 169 paired outcomes"):
        certify("safe", SAFE, evidence(168, source="outcomes"), BASIS, TODAY)


def test_experts_that_are_sure_and_wrong_are_refused() -> None:
    one = evidence(500)
    sure = one.losses * 0 + 1
    lost = Evidence(one.source, one.experts, one.bulks, one.fallback, sure, one.known, sure, one.vectors)
    with pytest.raises(CertificateRefused, match=r"even the strictest threshold may lose more than 0\.02, or no"):
        certify("safe", SAFE, lost, BASIS, TODAY)


def test_where_every_request_counts_as_unknown_the_policy_says_so() -> None:
    nobody = Policy(max_risk=0.02, confidence=0.9, out_of_domain=1.0)
    said = r"out_of_domain 1 takes all of 500 labelled examples for unknown.*Remedy: lower it"
    with pytest.raises(CertificateRefused, match=said):
        certify("safe", nobody, replace(evidence(500), known=np.full(500, 0.99)), BASIS, TODAY)


def test_a_mean_well_kept_sends_nobody_to_an_expert_that_surely_cannot() -> None:
    """Nothing at all was lost by small experts, so every threshold keeps the promise; one request is not a mean."""
    seen = replace(evidence(500, source="outcomes", equal=True), losses=np.zeros((500, 3)))
    found = certify("safe", SAFE, seen, BASIS, TODAY)
    assert found.threshold == -LITTLE
    experts = (expert("small", 1), expert("medium", 1), REGISTRY.expert("big"))
    registry = REGISTRY.model_copy(update={"experts": experts})
    rule = Rule("safe", found.threshold, found.out_of_domain, found.beyond, exact=True)

    def answers(small: float, medium: float) -> str:
        judgement = Judgement("x", {"small": small, "medium": medium, "big": 0.9}, 0.5, 0.0)
        return decide(judgement, Ladder.of(registry), rule, needs(), lambda _: None).expert

    assert answers(0.0016, 0.98) == "medium"
    assert answers(0.75, 0.98) == "medium"
    assert answers(0.75, 0.0016) == "small"
    assert answers(0.0016, 0.69) == "big"


def test_a_file_gives_back_what_was_written(made: Certificate, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "safe.json"
    write_certificate(path, made)
    assert read_certificate(path, BASIS) == made
    assert [each.name for each in path.parent.iterdir()] == ["safe.json"]
    with pytest.raises(FileNotFoundError):
        read_certificate(tmp_path / "none.json", BASIS)


@pytest.mark.parametrize("what", ["encoder", "data", "registry"])
def test_what_it_rests_on_has_changed(made: Certificate, tmp_path: Path, what: str) -> None:
    write_certificate(tmp_path / "safe.json", made)
    values = {name: getattr(BASIS, name) for name in ("encoder", "data", "registry")}
    with pytest.raises(CertificateRefused, match=rf"safe\.json: the {what} has changed since 2026-11-25.*Remedy: "):
        read_certificate(tmp_path / "safe.json", Basis(**values | {what: "other"}))


@pytest.mark.parametrize("harm", ["cut", "text", "threshold", "key", "list", "empty", "bytes", "deep", "huge"])
def test_a_damaged_file_is_refused(made: Certificate, tmp_path: Path, harm: str) -> None:
    path = tmp_path / "safe.json"
    write_certificate(path, made)
    whole = json.loads(path.read_text())
    if harm == "threshold":
        whole["certificate"]["threshold"] = 0.1
    if harm == "key":
        del whole["certificate"]["bound"]
    texts = {
        "cut": path.read_text()[:-40], "text": "not JSON", "list": "[]", "empty": "",
        "deep": "[" * 100_000, "huge": path.read_text().replace("0.", "1e999, \"x\": 0.", 1),
        "threshold": json.dumps(whole), "key": json.dumps(whole),
    }  # fmt: skip
    path.write_bytes(b"\xff\xfe\x00" if harm == "bytes" else texts[harm].encode())
    with pytest.raises(CertificateRefused, match=r"safe\.json: is damaged, or of another version\. Remedy: "):
        read_certificate(path, BASIS)


def test_the_basis_changes_with_what_the_choice_depends_on_and_with_nothing_else() -> None:
    policy = REGISTRY.policies["balanced"]
    one = Basis.of(REGISTRY, policy, "e", "d")
    aliased = REGISTRY.model_copy(update={"aliases": {"gpt": "auto"}})
    assert Basis.of(aliased, policy, "e", "d") == one
    other = REGISTRY.experts[:3]
    for changed in (
        {"fallback": "medium"},
        {"experts": (*other, expert("big", 80))},
        {"experts": (expert("small", 5), *REGISTRY.experts[1:])},
        {"experts": (expert("small", 1, model="newer"), *REGISTRY.experts[1:])},
        {"experts": (expert("small", REGISTRY.expert("medium").params_b), *REGISTRY.experts[1:])},
    ):
        assert Basis.of(REGISTRY.model_copy(update=changed), policy, "e", "d") != one
    assert Basis.of(REGISTRY, Policy(max_risk=0.01), "e", "d") != one
