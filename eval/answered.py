"""Requests with who should answer each, and whether a judge is right about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eval.requests import read_requests
from experts.policy import Policy
from experts.spec import Registry
from router.calibrate import Floats
from router.decide import decide
from router.encode import Encoder
from router.judge import Judge
from router.judgement import Judgement
from router.ladder import Ladder
from router.learn.surface import surfaces
from router.learn.vectors import vectors_of
from router.prompt import request_text, request_texts
from router.request import ChatRequest, Needs
from router.rule import Rule

SURE: Final = 0.7
PLAIN: Final = Policy(threshold=SURE)
"""How requests of clinc150 are decided; the share of known ones that it is ready to send away is the usual one."""

Bools = NDArray[np.bool_]
Answered = Callable[[Judge], Bools]
"""Whether a judge is right about each of n requests, (2, n): the right expert answers, its domain is the likeliest."""


@dataclass(frozen=True)
class Asked:
    """Requests with vectors (n, d), surface numbers (n, f) and the label (n,) of who should answer each."""

    vectors: Floats
    features: Floats
    labels: NDArray[np.str_]
    first: Mapping[int, tuple[Floats, Floats]]
    """What is judged first of some of them: the vector (d,) and the surface numbers (f,) of the last message alone."""

    @classmethod
    def of(cls, texts: Sequence[tuple[str, ...]], labels: Sequence[str], encoder: Encoder, cache: Path) -> Asked:
        """Encoded, each with its one text or two."""
        whole = [several[-1] for several in texts]
        first = {at: several[0] for at, several in enumerate(texts) if len(several) > 1}
        alone = list(first.values())
        judged = zip(vectors_of(alone, encoder, cache), surfaces(alone), strict=True) if alone else ()
        return cls(
            vectors_of(whole, encoder, cache),
            surfaces(whole),
            np.array(labels, np.str_),
            dict(zip(first, judged, strict=True)),
        )

    def answered(self, judge: Judge, right: Callable[[Judgement, int], bool]) -> Bools:
        """Whether what is chosen is `right`, and whether the likeliest domain is, (2, n)."""
        judged = [self._judged(judge, at) for at in range(len(self.labels))]
        chosen = [right(each, at) for at, each in enumerate(judged)]
        return np.array([chosen, [each.label == label for each, label in zip(judged, self.labels, strict=True)]])

    def _judged(self, judge: Judge, at: int) -> Judgement:
        if at in self.first and (alone := judge.judge(*self.first[at])).speaks_for_itself:
            return alone
        return judge.judge(self.vectors[at], self.features[at])


def asked_of_registry(
    registry: Registry,
    encoder: Encoder,
    cache: Path,
    more: Sequence[tuple[str, str]] = (),
    splits: Sequence[str] = ("validation", "test"),
) -> tuple[Asked, Answered]:
    """Our own requests that some expert should answer and the fallback can (no pictures), decided as a server does.

    And `more`, texts with the label of who should answer each.
    """
    rows = [(row.messages, row.label) for row in read_requests() if row.label is not None and row.split in splits]
    rows += [([{"role": "user", "content": text}], label) for text, label in more]
    needed = [Needs.of(ChatRequest("", {"model": "auto", "messages": messages})) for messages, _ in rows]
    kept = [(*row, needs) for row, needs in zip(rows, needed, strict=True) if "vision" not in needs.capabilities]
    texts, labels = [request_texts(messages) for messages, _, _ in kept], [label for _, label, _ in kept]
    asked = Asked.of(texts, labels, encoder, cache)
    rule, ladder = Rule.of(registry.default_policy, registry.policies[registry.default_policy]), Ladder.of(registry)

    def right(judged: Judgement, at: int) -> bool:
        decision = decide(judged, ladder, rule, kept[at][2], lambda _: None)
        return decision.escalated_from is None and registry.expert(decision.expert).label == asked.labels[at]

    return asked, lambda judge: asked.answered(judge, right)


def answered_by_label(asked: Asked) -> Answered:
    """Requests decided by the likeliest label, its probability and how known they are, as `PLAIN` asks."""

    def right(judged: Judgement, at: int) -> bool:
        likely = judged.label == asked.labels[at] and judged.probability[asked.labels[at]] >= SURE
        return likely and judged.known >= PLAIN.out_of_domain

    return lambda judge: asked.answered(judge, right)


def left_out_sent(judge: Judge, labels: Mapping[str, str]) -> float:
    """The share of some experts' examples, `labels` by id, that they would be sent by `PLAIN`, judged without each."""
    told, known, names = judge.left_out()[0], judge.known()[1], judge.classes_.tolist()
    sent: list[Bools] = []
    for expert, label in labels.items():
        own = known[told.rows] == label
        sure = told.probability[own, names.index(expert)] >= SURE
        sent.append(sure & (told.known[own] >= PLAIN.out_of_domain))
    return float(np.concatenate(sent).mean())


def asked_before(more: Sequence[str] = ()) -> list[str]:
    """Our own validation requests, of every expert and of none, and `more`: nobody says whose they are."""
    return [text for row in read_requests() if row.split == "validation" and (text := request_text(row.messages))] + [
        *more
    ]
