"""Probabilities + registry + policy + readiness -> the smallest expert that will do, else the fallback. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from experts.spec import READS_VECTOR, AnySpec, Registry
from router.judgement import Judgement
from router.ladder import Bulk, Ladder
from router.reason import Reason
from router.request import Needs
from router.rule import Rule, apart, threshold_told


class UnknownModel(Exception):
    """The client named a model that is no expert, alias or policy here."""


class NobodyCan(Exception):
    """No expert of the registry, or not the one that was named, can do what a parameter asks."""

    def __init__(self, message: str, param: str, code: str = "unsupported_parameter") -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class Candidate(NamedTuple):
    """An expert that was weighed; there may be hundreds a request, and a tuple is soon made."""

    expert: str
    probability: float
    obstacle: str | None = None
    """Why it could not be chosen whatever its probability; None when it could."""

    def to_json(self) -> dict[str, Any]:
        """As in the `decision` object of the contract."""
        told: dict[str, Any] = {"expert": self.expert, "probability": round(self.probability, 4)}
        if self.obstacle:
            told["obstacle"] = self.obstacle
        return told


class Decision(Struct, frozen=True):
    """Who answers, and why."""

    expert: str
    probability: float | None
    """Calibrated probability that `expert` answers well; None when it was named, not judged."""
    threshold: float | None
    label: str | None
    policy: str | None
    reason: str
    candidates: tuple[Candidate, ...] = ()
    """Most probable first."""
    known: float | None = None
    """Conformal p-value that the request belongs to a known domain."""
    escalated_from: str | None = None
    """The most probable small expert, when nobody was good enough and the fallback answers."""
    why: Reason | None = None
    """What `reason` says of an escalation, as one of a few."""
    label_told: bool = True
    """Whether the caller may hear of the label; the ledger does in any case."""

    def to_json(self) -> dict[str, Any]:
        """The `decision` object of the contract."""
        return {
            "expert": self.expert,
            "probability": _rounded(self.probability),
            "threshold": None if self.threshold is None else threshold_told(self.threshold),
            "label": self.label if self.label_told else None,
            "policy": self.policy,
            "known": _rounded(self.known),
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "reason": self.reason,
        }


def decide(
    judgement: Judgement,
    ladder: Ladder,
    rule: Rule,
    needs: Needs,
    down: Callable[[str], str | None],
) -> Decision:
    """Choose for a routed request. `down(id)` says why an expert cannot take requests now, None when it can.

    Raises `NobodyCan` when not even the fallback can do what the request asks.
    """
    if "token_ids" in needs.capabilities:
        said = "Token ids belong to the vocabulary of one model. Name that model, or send the prompt as text."
        raise NobodyCan(said, needs.capabilities["token_ids"])
    least = rule.least(judgement.probability)
    weighed = _weighed(judgement.probability, ladder, needs, down)

    def chosen(expert: str, probability: float | None, reason: str) -> Decision:
        return Decision(
            expert, probability, least, judgement.label, rule.policy, reason, tuple(weighed), judgement.known
        )

    known = judgement.known >= rule.out_of_domain
    best = smallest(weighed, rule, least, ladder) if least is not None and known else None
    if best is not None:
        return chosen(best.expert, best.probability, "smallest expert above its threshold")
    fallback = ladder.specs[ladder.registry.fallback]
    why, reason = _why_nobody(weighed, rule, least, judgement, ladder)
    if (spare := _instead(weighed, ladder, needs)) is not None:
        told = f"{reason}; `{fallback.id}` is too short for it, so the most probable one with room answers"
        return chosen(spare.expert, spare.probability, told)
    _require(fallback, needs, ladder.registry, f"The fallback `{fallback.id}` does not support")
    small = next((c.expert for c in weighed if c.expert != fallback.id), None)
    decision = chosen(fallback.id, judgement.probability.get(fallback.id), reason)
    return replace(decision, escalated_from=small, why=why)


def _weighed(
    probability: Mapping[str, float], ladder: Ladder, needs: Needs, down: Callable[[str], str | None]
) -> list[Candidate]:
    """Every expert of the registry that something is believed of, most probable first, of equals by id."""
    alike = ladder.alike
    lacking = {name: obstacle(ladder.specs[name], needs) for name in set(alike.values())}
    hinders = (lambda expert: lacking[alike[expert]] or down(expert)) if any(lacking.values()) else down
    told = [(expert, chance, hinders(expert)) for expert, chance in probability.items() if expert in alike]
    found = list(map(_CANDIDATE, repeat(Candidate), told))
    found.sort(key=_BY_EXPERT)
    found.sort(key=_BY_PROBABILITY, reverse=True)  # sorting keeps the order of equals
    return found


_BY_EXPERT: Final = itemgetter(0)
_BY_PROBABILITY: Final = itemgetter(1)
_CANDIDATE: Final[Callable[[type[Candidate], tuple[str, float, str | None]], Candidate]] = tuple.__new__
"""Makes one of what is told of it, without the step in Python that a NamedTuple's own constructor is."""


def smallest(candidates: Iterable[Candidate], rule: Rule, least: float, ladder: Ladder) -> Candidate | None:
    """The smallest expert whose probability is at least so much and that nothing hinders; None when there is none.

    Of several equally small the most probable, and of those the first by id. Under an exact rule that one must be
    able: nobody else was promised for.
    """
    able = [c for c in candidates if c.probability >= least and (rule.exact or c.obstacle is None)]
    best = min(able, key=lambda c: rank(c, ladder), default=None)
    return best if best is not None and best.obstacle is None else None


def rank(candidate: Candidate, ladder: Ladder) -> tuple[Bulk, float, str]:
    """By which of two that would both do answers: the one with the lesser."""
    return ladder.bulk[candidate.expert], -candidate.probability, candidate.expert


def otherwise(weighed: Iterable[Candidate], ladder: Ladder, needs: Needs) -> str | None:
    """Who answers where nobody is sure enough; None where nobody can, and the request is refused."""
    if (spare := _instead(weighed, ladder, needs)) is not None:
        return spare.expert
    fallback = ladder.registry.fallback
    return fallback if _lack(ladder.specs[fallback], needs, needs.least_tokens) is None else None


def _instead(weighed: Iterable[Candidate], ladder: Ladder, needs: Needs) -> Candidate | None:
    """Who takes a request that the fallback is surely too short for."""
    fallback = ladder.specs[ladder.registry.fallback]
    return _writer(weighed, ladder) if _overflows(fallback, needs.least_tokens) else None


def last_resort(decision: Decision, ladder: Ladder) -> str | None:
    """Who is asked when neither the chosen expert nor the fallback can: the most probable one that generates answers.

    It may answer less well than was promised, and the answer says so; an error would help nobody.
    """
    found = _writer((c for c in decision.candidates if c.expert != decision.expert), ladder)
    return found.expert if found is not None else None


def _writer(weighed: Iterable[Candidate], ladder: Ladder) -> Candidate | None:
    """The most probable one that generates answers and that nothing hinders, other than the fallback."""
    able = (c for c in weighed if c.obstacle is None and c.expert != ladder.registry.fallback)
    return next((c for c in able if ladder.specs[c.expert].kind not in READS_VECTOR), None)


def _overflows(spec: AnySpec, tokens: int) -> bool:
    """Whether so many tokens are more than an expert takes; who answers from the request vector reads none of them."""
    return tokens > spec.context and spec.kind not in READS_VECTOR


def named(spec: AnySpec, needs: Needs, registry: Registry, reason: str) -> Decision:
    """The decision when the client named who shall answer. Raises `NobodyCan` when that expert cannot."""
    _require(spec, needs, registry, f"The model `{spec.id}` does not support")
    return Decision(spec.id, None, None, None, None, reason)


def obstacle(spec: AnySpec, needs: Needs) -> str | None:
    """What the request needs and the expert lacks, in words; None when it lacks nothing."""
    return _lack(spec, needs, needs.most_tokens)


def _lack(spec: AnySpec, needs: Needs, tokens: int) -> str | None:
    for capability in needs.capabilities:
        if capability not in spec.abilities:
            return f"cannot do {capability}"
    if needs.unheld and spec.bound_by_grammar:
        return "cannot keep to this schema"
    if _overflows(spec, tokens):
        return f"context of {spec.context} tokens is too short"
    return None


def _require(spec: AnySpec, needs: Needs, registry: Registry, who: str) -> None:
    for capability, param in needs.capabilities.items():
        if capability not in spec.abilities:
            what = _WHAT.get(capability, "{!r}").format(param)
            raise NobodyCan(f"{who} {what}. {_remedy(needs, registry)}", param)
    if needs.unheld and spec.bound_by_grammar:
        message = f"{who} this schema of a strict answer. {needs.unheld}. {_remedy(needs, registry)}"
        raise NobodyCan(message, needs.capabilities["json_schema"])
    if _overflows(spec, needs.least_tokens):
        raise NobodyCan(
            f"This model's maximum context length is {spec.context} tokens; the prompt holds more than "
            f"{needs.least_tokens}. Please shorten it.",
            needs.prompt,
            "context_length_exceeded",
        )


def _remedy(needs: Needs, registry: Registry) -> str:
    """Whom to ask for all that a request needs."""
    able = [
        f"`{spec.id}`"
        for spec in registry.experts
        if needs.capabilities.keys() <= spec.abilities and not (needs.unheld and spec.bound_by_grammar)
    ]
    if not able:
        return "No model here does; whoever runs this server can name one that does with SHOAL_FALLBACK_URL."
    return f"Ask a model that does: {', '.join(able[:MOST_NAMED])}."


MOST_NAMED: Final = 5
"""Models named as a remedy."""

_WHAT: Final = {
    "vision": "parts other than text in {!r}",
    "completions": "the completion of a text; ask it at /v1/chat/completions",
    "token_ids": "prompts as token ids",
}
"""What a request asked for, where the name of the parameter would not say it."""


def _why_nobody(
    weighed: list[Candidate], rule: Rule, least: float | None, judgement: Judgement, ladder: Ladder
) -> tuple[Reason, str]:
    if judgement.empty:
        return Reason.OUT_OF_DOMAIN, "the request holds no text to judge"
    if least is None:
        return Reason.NO_PROMISE, f"policy {rule.policy} can promise nothing: {rule.refused}"
    if judgement.known < rule.out_of_domain:
        told = f"out of every known domain (p {judgement.known:.3f} under {rule.out_of_domain:g})"
        return Reason.OUT_OF_DOMAIN, told
    if not weighed:
        return Reason.NOT_SURE, "no expert has examples to be judged by"
    if judgement.outside >= 0.5:
        return Reason.OUTSIDE, f"like requests that no expert here should answer ({judgement.outside:.2f})"
    sure = [c for c in weighed if c.probability >= least]
    if sure:
        hindered = min(sure, key=lambda c: rank(c, ladder)) if rule.exact else sure[0]
        return Reason.UNABLE, f"{hindered.expert} would do, but {hindered.obstacle}"
    best = weighed[0]
    told, needed = apart(best.probability, least)
    return Reason.NOT_SURE, f"no expert sure enough (best: {best.expert} at {told}, needs {needed})"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def policy_of(model: str, registry: Registry) -> str | None:
    """The policy that `auto` or `auto:<policy>` names; None when `model` names no policy of the registry."""
    if model == "auto":
        return registry.default_policy
    name = model.removeprefix("auto:")
    return name if name != model and name in registry.policies else None


def resolve(model: str, aliases: Mapping[str, str]) -> str:
    """An alias becomes what it stands for; any other name stays."""
    return aliases.get(model, model)
