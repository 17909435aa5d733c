"""A certificate: a promise about risk, what it rests on, and the file it is kept in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from experts.errors import ShoalError
from experts.policy import Policy
from experts.spec import AnswersSpec, AnySpec, LabelsSpec, LlamaCppSpec, OpenAISpec, Registry, ScriptedSpec
from experts.state_file import StateDamaged, read_state
from experts.whole import write_whole
from router.ladder import Ladder
from router.learn.certify import LITTLE, first_failing, least_n
from router.promises.evidence import Evidence

FORMAT: Final = "shoal-certificate-5"

METHOD: Final = (
    "learn then test, fixed sequence, exact test of the mean loss (arXiv:2110.01052), "
    "stricter so that it holds for the mean of n requests to come"
)

CONFIDENCE: Final = 0.9
"""When a policy names none."""

LONGEST_NAME: Final = 200
"""Bytes of a policy's name in that of a file, of which disks hold 255."""

MADE_AGAIN: Final = "Remedy: none is needed, it is made again from what is in use."


class CertificateRefused(ShoalError):
    """A promise that cannot be made, or one on file that no longer holds; the message says why and the remedy."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a certificate holds for; hashes, and any other value of one of them voids it."""

    encoder: str
    """The encoder's fingerprint."""
    data: str
    """Of all that the judge was fitted on."""
    registry: str
    """Of what the registry says that the choice depends on."""

    @classmethod
    def of(cls, registry: Registry, policy: Policy, encoder: str, data: str) -> Basis:
        """The basis of one policy's certificate."""
        ladder = Ladder.of(registry)
        experts = [registry.expert(name) for name in ladder.experts]
        said = {
            "fallback": registry.fallback,
            "policy": policy.model_dump(),
            "experts": [[spec.id, spec.label, spec.kind, _model(spec)] for spec in experts],
            "equals": [ladder.bulk[one] == ladder.bulk[larger] for one, larger in pairwise(ladder.experts)],
        }
        return cls(encoder, data, hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32])


def _model(spec: AnySpec) -> str:
    """What makes an expert another one when it changes, beside its examples."""
    match spec:
        case LlamaCppSpec():
            return spec.weights.sha256
        case OpenAISpec():
            return f"{spec.url} {spec.model}"
        case AnswersSpec() | LabelsSpec() | ScriptedSpec():
            return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """With `confidence`, `n` requests to come lose at most `bound` on average against always asking the fallback."""

    policy: str
    max_risk: float
    """What was asked; `bound` is what was found and is never larger."""
    confidence: float
    bound: float
    loss: float
    """Mean loss seen on the `n` requests."""
    n: int
    kept: float
    """Share of them that a small expert keeps."""
    threshold: float
    beyond: str | None
    """The fallback, where the threshold is on how far an expert's probability is beyond the fallback's."""
    out_of_domain: float
    source: str
    """What the losses are from: outcomes, or labelled examples (a request of another domain counts as lost)."""
    method: str
    made: str
    """Date."""
    encoder: str
    data: str
    registry: str

    def to_json(self) -> dict[str, Any]:
        """Everything by name."""
        return asdict(self)


def certify(name: str, policy: Policy, evidence: Evidence, basis: Basis, today: date) -> Certificate:
    """Find the laxest threshold that keeps a policy's promise. Raises `CertificateRefused`."""
    max_risk, confidence = policy.max_risk or 0.0, policy.confidence or CONFIDENCE
    least, what = least_n(max_risk, confidence), "paired outcomes" if evidence.beyond else "labelled examples"
    if len(evidence) < least:
        raise CertificateRefused(
            f"a risk of {max_risk:g} at confidence {confidence:g} takes at least {least} {what}, and there are "
            f"{len(evidence)}. Remedy: add examples or outcomes, or raise max_risk."
        )
    if evidence.learnt_by_heart:
        raise CertificateRefused(
            "the encoder was tuned on labelled examples and tells them apart better than requests to come, so they"
            " bound no risk. Remedy: add paired outcomes, or give a threshold instead of max_risk; where it was tuned"
            " on other examples than these, write 1 under trained.sureness.times of its card.yaml."
        )
    found = first_failing(evidence.tallies(policy.out_of_domain), len(evidence), max_risk, confidence, evidence.laxest)
    if found is None and not (evidence.known >= policy.out_of_domain).any():
        told = f"out_of_domain {policy.out_of_domain:g} takes all of {len(evidence)} {what} for unknown"
        raise CertificateRefused(f"{told}, so that no expert may answer. Remedy: lower it.")
    if found is None:
        raise CertificateRefused(
            f"on {len(evidence)} {what} and scores even the strictest threshold may lose more than {max_risk:g}"
            f", or no expert comes within {LITTLE:g} of the fallback. "
            "Remedy: add examples where domains are mixed up, or raise max_risk."
        )
    return Certificate(
        policy=name,
        max_risk=max_risk,
        confidence=confidence,
        bound=round(found.bound, 6),
        loss=round(found.loss, 6),
        n=found.n,
        kept=round(found.kept, 6),
        threshold=found.at,
        beyond=evidence.beyond,
        out_of_domain=policy.out_of_domain,
        source=evidence.source,
        method=METHOD,
        made=today.isoformat(),
        encoder=basis.encoder,
        data=basis.data,
        registry=basis.registry,
    )


def file_of(folder: Path, policy: str) -> Path:
    """Where something about a policy is kept: by its name, or by a part of that and a hash where it is long."""
    name = quote(policy, safe="")
    if name.startswith("."):
        name = f"%2E{name[1:]}"  # no hidden file
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME // 2]}-{hashlib.sha256(policy.encode()).hexdigest()}"
    return folder / f"{name}.json"


def write_certificate(path: Path, certificate: Certificate) -> None:
    """Write a file, at once or not at all. Raises OSError."""
    body = certificate.to_json()
    text = json.dumps({"format": FORMAT, "digest": _digest(body), "certificate": body}, indent=2)
    write_whole(path, f"{text}\n".encode())


def read_certificate(path: Path, basis: Basis) -> Certificate:
    """Read what `write_certificate` wrote. Raises FileNotFoundError, or `CertificateRefused` when it is not to be used.

    A file that was changed by hand is damaged: nobody certified what it says now.
    """
    try:
        whole = read_state(path)
        body = whole.get("certificate")
        sound = whole.get("format") == FORMAT and whole.get("digest") == _digest(body)
    except StateDamaged:
        sound = False
    if not sound or not isinstance(body, dict) or body.keys() != {field.name for field in fields(Certificate)}:
        raise CertificateRefused(f"{path}: is damaged, or of another version. {MADE_AGAIN}")
    found = Certificate(**body)
    for what, own, used in (
        ("encoder", found.encoder, basis.encoder),
        ("data", found.data, basis.data),
        ("registry", found.registry, basis.registry),
    ):
        if own != used:
            raise CertificateRefused(
                f"{path}: the {what} has changed since {found.made}: certified on {own}, but {used} is in use. "
                f"{MADE_AGAIN}"
            )
    return found


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
