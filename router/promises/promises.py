"""What every policy promises right now, and whether it can be kept: the rules that requests are decided by."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experts.disk import unkept
from experts.policy import Policy
from experts.spec import Registry
from experts.wire import Vector
from router.learn.fit import Fitted
from router.meter.tariff import Tariffs
from router.promises.another import Another, evidence_for
from router.promises.budget import BY_TOKENS, Estimate, NoEstimate, estimate
from router.promises.certificate import (
    CONFIDENCE,
    Basis,
    Certificate,
    CertificateRefused,
    certify,
    file_of,
    read_certificate,
    write_certificate,
)
from router.promises.drift import DRIFTED, STEP, STRAYED, UNKNOWN, WINDOW, Drift, Reference
from router.promises.evidence import Evidence, capped
from router.promises.usual import Answers, Usual, answers_of
from router.promises.windows import Windows
from router.rule import Rule

log = logging.getLogger("shoal.promises")


@dataclass(slots=True)
class Promise:
    """One policy's promise: what was found, or why nothing was."""

    name: str
    policy: Policy
    found: Certificate | Estimate | None
    refused: str | None = None
    """Why nothing was found."""
    replaced: str | None = None
    """Why the certificate on file was not used."""
    basis: Basis | None = None
    drift: Drift | None = None

    @property
    def why(self) -> str | None:
        """Why it is not kept now; None when it is."""
        if self.drift is not None and self.drift.drifted:
            exact = isinstance(self.found, Certificate)
            if self.drift.unknown is not None:
                return UNKNOWN[exact].format(unknown=self.drift.unknown, window=WINDOW)
            told = DRIFTED if exact else STRAYED
            return told.format(statistic=self.drift.statistic, limit=self.drift.reference.limit_)
        if isinstance(self.found, Estimate) and not self.found.met:
            return self.found.unmet(self.policy.out_of_domain)
        return self.refused

    @property
    def capped(self) -> str | None:
        """Why the threshold of a certificate is no laxer, where that is not what it would lose."""
        return capped(self.found.threshold, self.found.beyond) if isinstance(self.found, Certificate) else None

    def rule(self) -> Rule:
        """How the policy decides now."""
        out_of_domain = self.policy.out_of_domain
        exact = isinstance(self.found, Certificate)
        drifted = self.drift is not None and self.drift.drifted
        if self.found is None or (exact and drifted):
            return Rule(self.name, None, out_of_domain, refused=self.why)
        return Rule(self.name, self.found.threshold, out_of_domain, self.found.beyond, exact)

    def to_json(self) -> dict[str, Any]:
        """An entry of /admin/certificates."""
        asked = self.policy.model_dump(exclude_none=True, exclude={"out_of_domain"})
        if self.policy.max_risk is not None:
            asked["confidence"] = self.policy.confidence or CONFIDENCE
        drift = self.drift
        return {
            "policy": self.name,
            "kind": "certificate" if self.policy.max_risk is not None else "estimate",
            "asked": asked,
            "state": "valid" if self.why is None else "refused",
            "why": self.why,
            "replaced": self.replaced,
            "capped": self.capped,
            **{key: value for key, value in (self.found.to_json() if self.found else {}).items() if key != "policy"},
            "drift": drift
            and {
                "statistic": drift.statistic,
                "limit": drift.reference.limit_,
                "window": WINDOW,
                "looks": drift.looks,
                "waiting": drift.waiting,
            },
        }


class Promises:
    """The rules of all policies; those that were found for a promise are watched."""

    def __init__(
        self,
        registry: Registry,
        promises: Mapping[str, Promise],
        windows: Windows | None,
        answers: Answers | None,
        another: Another,
    ) -> None:
        self._rules = {name: (Rule.of(name, policy), 0) for name, policy in registry.policies.items()}
        """Each with the windows that were looked at before it was made, put there at once: previews ask in a thread."""
        self._promises = dict(promises)
        for promise in promises.values():
            self._refresh(promise)
        self._windows, self.another = windows, another
        self.answers = answers
        """By which budgets know what requests take; None before one of joules or USD has asked."""

    @classmethod
    def make(
        cls,
        registry: Registry,
        fitted: Fitted,
        encoder: str,
        tariffs: Tariffs,
        folder: Path | None,
        last: Promises | None = None,
        *,
        ledger: Path | None = None,
        anew: bool = False,
        keep: bool = True,
    ) -> Promises:
        """Find a threshold for every policy that names none; certificates are read from and kept in `folder`.

        `encoder` is its fingerprint. What `last` watches goes on being watched, against the new evidence where that
        has changed; else what `folder` tells of the policy.
        `ledger` tells how many tokens requests take. `anew`: what is in the folder is not read but made again. Without
        `keep` the folder is only read.
        """
        windows = Windows(folder / "windows", keep) if folder is not None else None
        asked = {name: policy for name, policy in registry.policies.items() if policy.threshold is None}
        answers = None if last is None else last.answers
        if any(policy.aim in BY_TOKENS for policy in asked.values()):
            answers = answers_of(ledger, folder, fitted.key, answers, anew=anew, keep=keep)
        usual = Usual.of(answers or Answers(), registry)
        promises: dict[str, Promise] = {}
        references: dict[tuple[str, int], Reference] = {}
        for name, policy in asked.items():
            evidence = evidence_for(policy, fitted.judge, registry)
            basis = Basis.of(registry, policy, encoder, fitted.key)
            if policy.max_risk is None:
                promises[name] = _estimated(name, policy, evidence, tariffs, basis, usual)
            else:
                promises[name] = _certified(name, policy, evidence, basis, folder, anew, keep)
            _watch(promises[name], evidence, references, last, windows)
        return cls(registry, promises, windows, answers, Another(fitted.judge, registry, tariffs, usual))

    def rule(self, policy: str) -> Rule:
        """How a policy decides now; what watches it may have been fed by what served before, beside this."""
        promise, (rule, looks) = self._promises.get(policy), self._rules[policy]
        if promise is not None and promise.drift is not None and promise.drift.looks != looks:
            return self._refresh(promise)
        return rule

    def _refresh(self, promise: Promise) -> Rule:
        looks = promise.drift.looks if promise.drift is not None else 0
        rule = promise.rule()
        self._rules[promise.name] = rule, looks
        return rule

    def succeed(self, last: Promises) -> None:
        """Take over what `last` watches, at the moment it stops serving; it saw more since this was made beside it."""
        for name, promise in self._promises.items():
            before = last.promise(name)
            if before is None or before.basis == promise.basis:
                continue
            if before.drift is not None and promise.drift is not None:
                promise.drift = before.drift.against(promise.drift.reference)
                self._refresh(promise)
                if self._windows is not None and promise.basis is not None:
                    self._windows.keep(name, promise.basis, promise.drift.seen())

    def saw(self, policy: str | None, vector: Vector | None) -> None:
        """A routed request arrived under a policy; a promise that fits no more is refused from now on."""
        promise = self._promises.get(policy or "")
        if vector is None or promise is None or promise.drift is None:
            return
        drifted = promise.drift.drifted
        if promise.drift.saw(vector) and promise.drift.drifted != drifted:
            _tell(promise)
        if self._windows is not None and promise.basis is not None and promise.drift.waiting % STEP == 0:
            self._windows.keep(promise.name, promise.basis, promise.drift.seen())

    def to_json(self) -> list[dict[str, Any]]:
        """Every promise, for /admin/certificates."""
        return [promise.to_json() for promise in self._promises.values()]

    def estimate(self, policy: str) -> Estimate | None:
        """What was found for a policy that names a budget."""
        promise = self._promises.get(policy)
        return promise.found if promise is not None and isinstance(promise.found, Estimate) else None

    def states(self) -> dict[str, dict[str, str | None]]:
        """Policy to its state and why, for /readyz."""
        return {
            name: {"state": "valid" if promise.why is None else "refused", "why": promise.why}
            for name, promise in self._promises.items()
        }

    def kept(self) -> dict[str, bool]:
        """Policy to whether its promise is kept now, for /metrics."""
        return {name: promise.why is None for name, promise in self._promises.items()}

    def tell(self, last: Promises | None = None, only: str | None = None) -> None:
        """Say in the log what each policy promises, or `only` one, where that is not what `last` promised."""
        told = {} if last is None else last._promises
        for name, promise in self._promises.items():
            before = told.get(name)
            same = before is not None and (before.why, before.rule()) == (promise.why, promise.rule())
            if not same and only in (None, name):
                _tell(promise)

    def promise(self, policy: str) -> Promise | None:
        """What is promised under a policy; None where its threshold is named."""
        return self._promises.get(policy)


def _certified(
    name: str, policy: Policy, evidence: Evidence, basis: Basis, folder: Path | None, anew: bool, keep: bool
) -> Promise:
    path = file_of(folder, name) if folder is not None else None
    replaced = None
    if path is not None and not anew:
        try:
            return Promise(name, policy, read_certificate(path, basis), basis=basis)
        except FileNotFoundError:
            pass
        except CertificateRefused as error:
            replaced = str(error)
            if keep:  # else it may well hold for what serves, and stays on file
                log.warning("certificate refused: %s", replaced)
    try:
        found = certify(name, policy, evidence, basis, datetime.now(UTC).date())
    except CertificateRefused as error:
        return Promise(name, policy, None, str(error), replaced, basis)
    if path is not None and keep:
        with unkept(path.parent, f"the certificate of {name} is made again at the next start"):
            write_certificate(path, found)
    return Promise(name, policy, found, None, replaced, basis)


def _estimated(name: str, policy: Policy, evidence: Evidence, tariffs: Tariffs, basis: Basis, usual: Usual) -> Promise:
    try:
        return Promise(name, policy, estimate(name, policy, evidence, tariffs.by_expert, usual), basis=basis)
    except NoEstimate as error:
        return Promise(name, policy, None, str(error))


def _watch(
    promise: Promise,
    evidence: Evidence,
    references: dict[tuple[str, int], Reference],
    last: Promises | None,
    windows: Windows | None,
) -> None:
    if promise.found is None or promise.basis is None:
        return
    before = last.promise(promise.name) if last is not None else None
    watched = before.drift if before is not None else None
    if before is not None and before.basis == promise.basis:
        promise.replaced = promise.replaced or before.replaced
        if watched is not None:
            promise.drift = watched
            return
    rests_on = evidence.source, len(evidence)  # tells which requests: of outcomes with blame there are more
    if rests_on not in references:
        references[rests_on] = Reference().fit(evidence.vectors)
    reference = references[rests_on]
    if watched is not None:
        promise.drift = watched.against(reference)
    else:
        promise.drift = windows.resume(promise.name, promise.basis, reference) if windows else Drift(reference)


def _tell(promise: Promise) -> None:
    if promise.why is not None:
        log.warning("policy %s: the promise is refused: %s", promise.name, promise.why)
        return
    log.info("policy %s: threshold %s", promise.name, promise.rule().threshold)
