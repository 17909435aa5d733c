"""How well the product's own choice does on requests as apps send them: whole conversations, each with its expert.

    shoal eval requests                        the validation rows
    shoal eval requests --split test --json    the test rows, for machines

Every request goes the way a real one goes: request text, vector, judgement, decision. Nothing is fitted on these rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from eval.bootstrap import drawn
from eval.conversation import conversation
from eval.drawn import SHARE, Doubles, Drawn
from eval.metrics import auroc
from eval.samples import SPLITS, SamplesError, Split, json_rows
from experts.reading.problems import suggestion
from experts.spec import Registry
from router.decide import NobodyCan, decide
from router.encode import Encoder
from router.judge import Judge
from router.judgement import NO_TEXT
from router.ladder import Ladder
from router.learn.fit import Fitted
from router.learn.surface import surface
from router.meter.tariff import Tariffs
from router.promises.drift import WINDOW, Reference
from router.promises.promises import Promises
from router.prompt import request_texts
from router.request import ChatRequest, Needs
from router.rule import Rule

REQUESTS: Final = Path(__file__).parent / "data" / "requests.jsonl"
WINDOWS: Final = 2_000
"""Drawn to see how often a promise is refused on requests like those measured."""

HALVES: Final = 200
"""Halves of these requests that are drawn to see how sure that is, and ..."""

OF_A_HALF: Final = 100
"""... windows of each."""

FALLBACK: Final = "fallback"
"""Stands for the fallback in tables; a label never has this name, for it is reserved in the registry."""


@dataclass(frozen=True, slots=True)
class Request:
    """A conversation and the domain of the expert that should answer it now; None when none of them should."""

    id: str
    messages: list[dict[str, Any]]
    label: str | None
    kind: str
    split: Split
    where: str = ""
    """The file and line it was read from."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What became of a request."""

    request: Request
    text: str
    choice: str | None
    """The domain of the expert that was chosen; None when nobody was sure enough, or nobody can: the fallback's."""
    small: bool
    """Whether an expert other than the fallback answers; the fallback may have a domain of its own."""
    likeliest: str | None
    """The most probable domain, whatever the thresholds."""
    probability: float
    known: float
    familiarity: float

    @property
    def right(self) -> bool:
        """Whether the expert that should answer does."""
        return self.choice == self.request.label


def _every(_: Chosen) -> bool:
    return True


def _labelled(c: Chosen) -> bool:
    return c.request.label is not None


@dataclass(frozen=True, slots=True)
class Share:
    """A share of requests: of those it is `among`, those that are a `hit`; told with its interval when `drawn`."""

    hit: Callable[[Chosen], bool]
    among: Callable[[Chosen], bool] = _every
    drawn: bool = True


SHARES: Final = {
    "handled": Share(lambda c: c.right),
    "accuracy": Share(lambda c: c.right, _labelled),
    "wrong_expert": Share(lambda c: c.choice is not None and not c.right, _labelled),
    "likeliest_accuracy": Share(lambda c: c.likeliest == c.request.label, _labelled, drawn=False),
    "null_recall": Share(lambda c: c.right, lambda c: not _labelled(c)),
    "fallback_share": Share(lambda c: c.choice is None, drawn=False),
    "kept_small": Share(lambda c: c.small),
    "wrong_small": Share(lambda c: c.small and not c.right),
}


def read_requests(path: Path = REQUESTS) -> list[Request]:
    """Every row of a file of requests. Raises `SamplesError` naming file, line and remedy."""
    found = [_request(f"{path}:{number}", row) for number, row in json_rows(path)]
    if not found:
        raise SamplesError(f"{path}: holds no rows. Remedy: one JSON object a line")
    return found


def evaluate_requests(
    requests: Sequence[Request], registry: Registry, encoder: Encoder, fitted: Fitted, policy: str | None = None
) -> tuple[dict[str, Any], dict[str, Drawn]]:
    """The figures on `requests` under `policy` (the registry's default when None), every failure; those with draws.

    Raises `SamplesError` for a label that no expert has.
    """
    _check_labels(requests, registry)
    name = policy or registry.default_policy
    promises = _promises(name, registry, encoder, fitted)
    rule = promises.rule(name)
    chosen = [choose(request, registry, encoder, fitted.judge, rule) for request in requests]
    inside = [_labelled(c) for c in chosen]
    found = {
        "policy": name,
        "refused": rule.refused,
        "edition": fitted.edition,
        **_figures(chosen),
        "known_auroc": auroc([c.familiarity for c in chosen], inside),
        "by_kind": _by(chosen, lambda c: c.request.kind),
        "by_label": _by(chosen, lambda c: c.request.label or FALLBACK),
        "confusion": _confusion(chosen),
        "failures": [_failure(c) for c in chosen if not c.right],
    }
    promise = promises.promise(name)
    drift, texts = promise.drift if promise is not None else None, [c.text for c in chosen if c.text]
    if drift is None or len(texts) < WINDOW:
        return found | {"refused_windows": None}, _drawn(chosen)
    refused = _refused_windows(texts, encoder, drift.reference)
    return found | {"refused_windows": refused.value}, _drawn(chosen) | {"refused_windows": refused}


def _check_labels(requests: Sequence[Request], registry: Registry) -> None:
    """A request that only an expert who is not there could answer would count as a failure of the choice."""
    known = {spec.label for spec in registry.experts}
    for each in requests:
        if each.label is not None and each.label not in known:
            remedy = f"{suggestion(each.label, known)} (null is for what no expert should answer)"
            raise SamplesError(f"{each.where}: no expert has the label {each.label!r}. Remedy: {remedy}")


def _refused_windows(texts: Sequence[str], encoder: Encoder, reference: Reference) -> Drawn:
    """In what share of windows of requests like these, `WINDOW` or more, the promise is refused.

    The draws are halves of the requests, none twice (the half-sample; Efron, 1982): a figure of half of them varies
    about that of all as much as that of all about the truth. Drawn with replacement, requests that repeat would take
    a window away from what was promised on: the promise is refused in most such draws where it is in a third of these.
    """
    features = np.stack([reference.sums(vector[None]) for vector in encoder.encode_all(texts)])
    rng = np.random.default_rng(0)
    value, half = _refused(features, reference, rng, WINDOWS), len(features) // 2
    if half < WINDOW:
        return Drawn.of_few(value, SHARE)
    halves = (features[rng.permutation(len(features))[:half]] for _ in range(HALVES))
    return Drawn(value, np.array([_refused(each, reference, rng, OF_A_HALF) for each in halves]), SHARE)


def _refused(features: Doubles, reference: Reference, rng: np.random.Generator, windows: int) -> float:
    """Of so many windows of requests with these features (n, f), none twice in one, the share that is refused."""
    # Every row is a permutation of 0 to n - 1, so that as many as fill a window are less than its size.
    within = rng.random((windows, len(features))).argsort(axis=1) < WINDOW
    return float(np.mean([reference.statistic_of(sums) > reference.limit_ for sums in within.astype(float) @ features]))


def _drawn(chosen: Sequence[Chosen]) -> dict[str, Drawn]:
    """Shares with draws; each is of the rows it is about only."""
    found: dict[str, Drawn] = {}
    for name, share in SHARES.items():
        among = np.array([share.among(c) for c in chosen], float)
        if share.drawn and among.any():
            found[name] = _drawn_share(np.array([share.hit(c) for c in chosen], float), among)
    return found


def _drawn_share(hits: Doubles, among: Doubles) -> Drawn:
    def share(weights: Doubles) -> float:
        return float(weights @ (hits * among)) / max(float(weights @ among), 1e-12)

    return drawn(share, len(hits), 0, SHARE, int(among.sum()))


def _promises(policy: str, registry: Registry, encoder: Encoder, fitted: Fitted) -> Promises:
    """How a server that has seen no traffic yet decides; a policy of risk or budget finds its threshold first."""
    alone = registry.model_copy(update={"policies": {policy: registry.policies[policy]}})
    return Promises.make(alone, fitted, encoder.fingerprint, Tariffs.of_registry(registry), None)


def choose(request: Request, registry: Registry, encoder: Encoder, judge: Judge, rule: Rule) -> Chosen:
    """Who would answer `request` if every expert were ready, by the same steps as in serving."""
    for text in request_texts(request.messages):
        judgement = judge.judge(encoder.encode(text), surface(text)) if text else NO_TEXT
        if judgement.speaks_for_itself:
            break
    needs = Needs.of(ChatRequest(request.id, {"model": "auto", "messages": request.messages}))
    try:
        decision = decide(judgement, Ladder.of(registry), rule, needs, lambda _: None)
        nobody = decision.escalated_from is not None or not decision.candidates
        choice = None if nobody else registry.expert(decision.expert).label
        small = decision.expert != registry.fallback
    except NobodyCan:
        choice, small = None, False
    best = max(judgement.probability.values(), default=0.0)
    return Chosen(request, text, choice, small, judgement.label, best, judgement.known, judgement.familiarity)


def _figures(chosen: Sequence[Chosen]) -> dict[str, Any]:
    """Shares of `chosen`; None where there is nothing to take a share of."""
    found: dict[str, Any] = {"n": len(chosen)}
    for name, share in SHARES.items():
        counted = [share.hit(c) for c in chosen if share.among(c)]
        found[name] = sum(counted) / len(counted) if counted else None
    return found


def _by(chosen: Sequence[Chosen], key: Callable[[Chosen], str]) -> dict[str, dict[str, Any]]:
    groups: defaultdict[str, list[Chosen]] = defaultdict(list)
    for c in chosen:
        groups[key(c)].append(c)
    return {name: _figures(group) for name, group in sorted(groups.items())}


def _confusion(chosen: Sequence[Chosen]) -> dict[str, dict[str, int]]:
    """Rows by what should have answered, columns by what was chosen."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for c in chosen:
        counts[c.request.label or FALLBACK][c.choice or FALLBACK] += 1
    return {label: dict(counts[label]) for label in sorted(counts)}


def _failure(c: Chosen) -> dict[str, Any]:
    return {
        "id": c.request.id, "kind": c.request.kind, "label": c.request.label, "choice": c.choice,
        "likeliest": c.likeliest, "probability": round(c.probability, 3), "known": round(c.known, 3), "text": c.text,
    }  # fmt: skip


def _request(where: str, row: dict[str, object]) -> Request:
    wanted = {"id": str, "messages": list, "label": str | None, "kind": str, "split": str}
    if any(not isinstance(row.get(key, ...), kind) for key, kind in wanted.items()):
        raise SamplesError(f"{where}: needs {', '.join(wanted)}. Remedy: label is a domain, or null for none")
    if row["split"] not in SPLITS:
        raise SamplesError(f"{where}: split {row['split']!r} is none of {', '.join(SPLITS)}. Remedy: correct it")
    messages = conversation(where, row["messages"])
    return Request(str(row["id"]), messages, cast("str | None", row["label"]), str(row["kind"]), row["split"], where)
