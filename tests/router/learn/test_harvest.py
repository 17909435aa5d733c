"""What the ledger tells of each expert, read back from entries as the pipeline writes them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from router.learn.harvest import Harvest, harvest
from router.learn.surface import surface
from router.learn.trace import maker, trace
from router.meter.ledger import Ledger
from router.meter.record import Attempt, Feedback, Role, Status
from tests.router.meter.conftest import make_attempt, make_intent, make_outcome

ENCODER = "a" * 64
MAKER = maker(ENCODER)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.sqlite")
    yield opened
    await opened.aclose()


def vector(seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=384).astype(np.float32)
    return drawn / np.linalg.norm(drawn)


async def enter(
    ledger: Ledger,
    seed: int,
    attempts: list[Attempt],
    score: float | None = None,
    encoder: str = ENCODER,
    **outcome: object,
) -> None:
    """One request with these attempts, the last of which answered when it went well."""
    begun = make_intent(trace=trace(encoder, vector(seed), surface(f"request {seed}"), None), policy="balanced")
    await ledger.begin(begun)
    last = attempts[-1]
    answered = last.expert if last.status is Status.OK else None
    await ledger.finish(make_outcome(begun.request_id, attempts=attempts, answered_by=answered, **outcome))
    if score is not None:
        await ledger.hear(Feedback(begun.request_id, begun.ts_us, round(score * 1_000_000)))


def gathered(ledger: Ledger) -> Harvest:
    with closing(ledger.read()) as connection:
        return harvest(connection, MAKER)


def scores(found: Harvest) -> list[dict[str, float]]:
    """Known scores, the oldest request first."""
    rows = found.outcomes.scores[::-1]
    return [
        {
            name: round(float(score), 4)
            for name, score in zip(found.outcomes.experts, row, strict=True)
            if score == score
        }
        for row in rows
    ]


async def test_feedback_scores_who_answered_and_nobody_else(ledger: Ledger) -> None:
    await enter(ledger, 1, [make_attempt(expert="sql")], 0.25)
    await enter(ledger, 2, [make_attempt(expert="chat")], 1)
    await enter(ledger, 3, [make_attempt(expert="sql")])
    found = gathered(ledger)
    assert scores(found) == [{"sql": 0.25}, {"chat": 1.0}]
    assert found.sources == {"feedback": 2}
    assert len(found.traffic.policies) == 3
    assert set(found.traffic.policies) == {"balanced"}
    assert (found.outcomes.vectors[::-1] * np.stack([vector(1), vector(2)])).sum(axis=1).min() > 0.999
    assert np.allclose(found.outcomes.features[-1], surface("request 1"), atol=0.01)


async def test_a_failure_of_its_own_counts_against_an_expert(ledger: Ledger) -> None:
    def failed(code: str, status: Status = Status.ERROR) -> Attempt:
        return make_attempt(expert="sql", status=status, error_code=code)

    rescue = make_attempt(expert="chat", role=Role.FALLBACK)
    await enter(ledger, 1, [failed("upstream_error"), rescue], 0.5, escalated="before")
    await enter(ledger, 2, [failed("upstream_timeout", Status.PARTIAL)], status=Status.PARTIAL)
    for seed, code in enumerate(("upstream_unavailable", "overloaded", "upstream_auth", "context_length_exceeded"), 3):
        await enter(ledger, seed, [failed(code), rescue], escalated="before")
    found = gathered(ledger)
    assert scores(found) == [{"chat": 0.5, "sql": 0.0}, {"sql": 0.0}]
    assert found.sources == {"feedback": 1, "failed": 2}


async def test_an_escalated_answer_counts_against_the_small_expert_only(ledger: Ledger) -> None:
    small, large = make_attempt(expert="sql"), make_attempt(expert="chat", role=Role.FALLBACK)
    await enter(ledger, 1, [small, large], escalated="after")
    await enter(ledger, 2, [large], escalated="before")
    found = gathered(ledger)
    assert scores(found) == [{"sql": 0.0}]
    assert found.sources == {"escalated": 1}


async def test_traces_of_another_encoder_are_left_out_and_counted(ledger: Ledger) -> None:
    await enter(ledger, 1, [make_attempt()], 1, encoder="b" * 64)
    await enter(ledger, 2, [make_attempt()], 0)
    found = gathered(ledger)
    assert scores(found) == [{"sql": 0.0}]
    assert found.foreign == 1


def test_an_empty_ledger_gives_nothing(ledger: Ledger) -> None:
    found = gathered(ledger)
    assert len(found.outcomes) == 0
    assert found.traffic.policies == ()


async def test_scores_of_requests_without_a_vector_are_counted(ledger: Ledger) -> None:
    await enter(ledger, 1, [make_attempt(expert="sql")], 0.25)
    for score in (0, 1_000_000):
        named = make_intent(policy=None)
        await ledger.begin(named)
        await ledger.finish(make_outcome(named.request_id, attempts=[make_attempt(expert="sql")], answered_by="sql"))
        await ledger.hear(Feedback(named.request_id, named.ts_us, score))
    found = gathered(ledger)
    assert (found.untraced, len(found.outcomes)) == (2, 1)
