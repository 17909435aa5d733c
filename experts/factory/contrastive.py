"""Supervised contrastive training: texts of one label are drawn together, texts of others pushed apart.

The loss is Khosla et al., Supervised Contrastive Learning, 2020 (their L_out), over the labels of one batch. Beside it
the vectors of anchors, texts about anything, are held where they were, so that what is not taught is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from experts.factory.encoder_graph import Floats
from experts.factory.encoder_torch import TorchEncoder
from experts.factory.lessons import Lessons, batches, thinned


@dataclass(frozen=True, slots=True)
class Course:
    """How long and how hard to train; the card repeats it."""

    steps: int = 60
    labels: int = 80
    """Labels in a batch."""
    each: int = 4
    """Texts of each label in a batch."""
    rate: float = 5e-5
    """Greatest learning rate; it rises over the first tenth of the steps and falls to nothing in a straight line."""
    temperature: float = 0.1
    left_out: float = 0.2
    """Share of a text's tokens left out, others each time; without it few examples are learnt by heart (ADR 0043)."""
    tokens: int = 32
    """Tokens of a text looked at, those left out among them."""
    anchors: int = 32
    """Anchors in a batch."""
    hold: float = 10.0
    """Weight of the anchors' mean distance (one minus cosine) to their old vectors."""
    seed: int = 0


def train(
    encoder: TorchEncoder,
    lessons: Sequence[Lessons],
    anchors: Sequence[str],
    vectors: Floats,
    course: Course,
    told: Callable[[int, float], None],
) -> None:
    """Train `encoder` in place; `vectors` (n, d) are those of the anchors, `told(step, loss)` hears of every step."""
    held = torch.from_numpy(vectors)
    random = np.random.default_rng(course.seed)
    optimiser = torch.optim.AdamW(encoder.trainable(), lr=course.rate, weight_decay=0.01)
    warm = max(1, course.steps // 10)

    def rate(step: int) -> float:
        return min((step + 1) / warm, (course.steps - step) / max(1, course.steps - warm))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    drawn = batches(lessons, course.steps, course.labels, course.each, course.seed)
    for step, (texts, labels) in enumerate(drawn, 1):
        seen = [thinned(each[: course.tokens], course.left_out, random) for each in encoder.tokens(texts)]
        loss = contrast(encoder.forward(seen), labels, course.temperature)
        rows = random.permutation(len(anchors))[: course.anchors]
        if len(rows):
            kept = encoder.forward(encoder.tokens([anchors[row] for row in rows]))
            loss = loss + course.hold * (1 - (kept * held[rows].to(kept.device)).sum(dim=1)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        told(step, loss.item())


def contrast(vectors: torch.Tensor, labels: NDArray[np.intp], temperature: float) -> torch.Tensor:
    """The loss of unit vectors (n, d) with labels (n,): how hard it is to tell each text's own kind from the others."""
    alike = torch.from_numpy(labels[:, None] == labels[None, :]).to(vectors.device)
    itself = torch.eye(len(labels), dtype=torch.bool, device=vectors.device)
    scores = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf)
    logs = (scores - scores.logsumexp(dim=1, keepdim=True)).masked_fill(itself, 0.0)
    kin = alike & ~itself
    has_kin = kin.any(dim=1)
    return -((logs * kin).sum(dim=1)[has_kin] / kin.sum(dim=1)[has_kin]).mean()
