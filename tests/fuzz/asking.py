"""Schemathesis over one slice of the document: every answer is checked, and what is wrong with it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import hypothesis
import jsonschema_rs
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import AcceptedNegativeData, FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.fuzz.slices import Slice

PATIENCE_S = 60


@dataclass
class Findings:
    """How many requests were made, and what was wrong with their answers, each kind once."""

    cases: int = 0
    wrong: dict[str, str] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        self.cases += other.cases
        self.wrong |= other.wrong


def ask(piece: Slice, base: str, cases: int, seed: int) -> Findings:
    """About `cases` requests of a slice, four of five wrong on purpose."""
    findings = Findings()
    if cases <= 0:
        return findings
    load_all_checks()
    schema = schemathesis.openapi.from_dict(piece.document)
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            wrong = cases - cases // 5 if operation.body else 0
            _ask(operation, GenerationMode.NEGATIVE, wrong, piece, base, seed, session, findings)
            _ask(operation, GenerationMode.POSITIVE, cases - wrong, piece, base, seed, session, findings)
    return findings


def _ask(
    operation: Any, mode: GenerationMode, cases: int, piece: Slice, base: str, seed: int,
    session: requests.Session, findings: Findings,
) -> None:  # fmt: skip
    if cases <= 0:
        return
    # What a schema allows may still be refused: no schema says what the experts of a registry can do.
    excluded = [positive_data_acceptance]
    right = jsonschema_rs.validator_for(piece.body)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        findings.cases += 1
        answer = case.call(base_url=base, session=session, timeout=PATIENCE_S)
        try:
            case.validate_response(answer, excluded_checks=excluded)
        except FailureGroup as group:
            for failure in group.exceptions:
                if isinstance(failure, AcceptedNegativeData) and right.is_valid(case.body):
                    continue
                findings.wrong.setdefault(
                    f"{piece.name}: {type(failure).__name__}", f"{failure}\n{case.as_curl_command()}"
                )
        if fault := _shape(answer):
            findings.wrong.setdefault(f"{piece.name}: {fault}", case.as_curl_command())

    one()


def _shape(answer: Any) -> str | None:
    """What is wrong with an answer that no schema tells."""
    if "x-request-id" not in answer.headers:
        return "no x-request-id"
    if answer.status_code == 422 or answer.status_code >= 500:
        return f"status {answer.status_code}"
    if answer.status_code < 400 or answer.request.method == "HEAD":
        return None
    error = answer.json().get("error", {})
    if "/messages" in answer.request.path_url and "type" in error:
        return None  # Anthropic's shape
    return None if set(error) == {"message", "type", "param", "code"} else "an error of another shape"
