"""Ledger records as rows: tuples in the order of the columns in schema.py, strings already numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.meter.ppm import PPM
from router.meter.record import Attempt, Draw, Feedback, Intent, Outcome, Shadow, Trace
from router.meter.ulid import ulid_bytes

Row = tuple[Any, ...]

SHADOW_N: Final = 253
"""The number of the attempt that ran in the shadow, and, after it, of the two that graded both answers."""

FIRST_BESIDE_N: Final = SHADOW_N
"""Attempts before this one led to the answer; the others ran beside it and ended after it."""

Numbers = Mapping[str | None, int | None]
"""String -> its number in the `names` table; None and "" -> None."""


def started_row(intent: Intent, boot: int, numbers: Numbers) -> Row:
    """`STARTED_COLUMNS` of a request. Raises ValueError when its id is no ULID."""
    request, decision, terms = intent.request, intent.decision, intent.terms
    return (
        ulid_bytes(request.request_id),
        boot,
        0,
        intent.ts_us,
        numbers[request.endpoint],
        numbers[request.model],
        numbers[decision.policy],
        numbers[decision.expert],
        numbers[terms.fallback],
        int(intent.role),
        numbers[decision.label],
        _ppm(decision.probability),
        _ppm(decision.threshold),
        _ppm(decision.known),
        numbers[intent.registry_version],
        numbers[request.key_id],
        int(request.stream),
        request.retry_count,
        numbers[intent.grid.version],
        intent.grid.mg_per_kwh,
        numbers[terms.version],
        *_draw(intent.draw),
    )


def finished_row(outcome: Outcome, numbers: Numbers) -> Row:
    """The id of a request and its `FINISHED_COLUMNS`. Raises ValueError when its id is no ULID."""
    return (
        ulid_bytes(outcome.request_id),
        int(outcome.status),
        numbers[outcome.answered_by],
        numbers[outcome.escalated],
        numbers[outcome.why],
        outcome.router_cpu_us,
        outcome.router_energy_uj,
        outcome.router_co2_ug,
        outcome.encode_us,
        outcome.first_byte_us,
        outcome.total_us,
        outcome.counterfactual_cost_nusd,
        outcome.counterfactual_energy_uj,
        outcome.counterfactual_co2_ug,
        numbers[outcome.error_code],
    )


def arm_row(outcome: Outcome) -> Row | None:
    """The id of a request and its arm, where how it ended changes that."""
    return None if outcome.arm is None else (ulid_bytes(outcome.request_id), int(outcome.arm))


def attempt_rows(outcome: Outcome, numbers: Numbers) -> Iterator[Row]:
    """`ATTEMPT_COLUMNS` of each attempt, in the order they were made."""
    request_id = ulid_bytes(outcome.request_id)
    for n, attempt in enumerate(outcome.attempts):
        yield _attempt_row(request_id, n, attempt, numbers)


def shadow_rows(shadow: Shadow, numbers: Numbers) -> Iterator[Row]:
    """`ATTEMPT_COLUMNS` of what ran beside. Raises ValueError when the request's id is no ULID."""
    request_id = ulid_bytes(shadow.request_id)
    for n, attempt in enumerate(shadow.attempts, start=SHADOW_N):
        yield _attempt_row(request_id, n, attempt, numbers)


def pair_row(shadow: Shadow) -> Row | None:
    """`PAIR_COLUMNS`; None where there were no two answers to compare."""
    pair = shadow.pair
    return None if pair is None else (ulid_bytes(shadow.request_id), int(pair.same), pair.small_ppm, pair.fallback_ppm)


def vector_row(request_id: str, trace: Trace, numbers: Numbers) -> Row:
    """`VECTOR_COLUMNS` of a request."""
    return ulid_bytes(request_id), numbers[trace.maker], trace.vector, trace.surface


def text_row(request_id: str, text: str) -> Row:
    """`TEXT_COLUMNS` of a request."""
    return ulid_bytes(request_id), _stored(text)


def feedback_row(feedback: Feedback) -> Row:
    """`FEEDBACK_COLUMNS`. Raises ValueError when the request's id is no ULID."""
    return ulid_bytes(feedback.request_id), feedback.ts_us, feedback.score_ppm


def remark_row(feedback: Feedback) -> Row | None:
    """The id and what was said in words; None when nothing shall be kept of it."""
    if feedback.texts is None:
        return None
    return ulid_bytes(feedback.request_id), *map(_stored, feedback.texts)


def _ppm(share: float | None) -> int | None:
    return None if share is None else round(share * PPM)


def _draw(draw: Draw | None) -> Row:
    """Arm, rate, version and conversation."""
    return (0, None, None, None) if draw is None else (int(draw.arm), draw.rate_ppm, draw.version, draw.conversation)


def _stored(text: str | None) -> str | None:
    """Lone surrogates, which JSON can carry, have no UTF-8."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _attempt_row(request_id: bytes, n: int, attempt: Attempt, numbers: Numbers) -> Row:
    return (
        request_id,
        n,
        numbers[attempt.expert],
        int(attempt.role),
        int(attempt.status),
        attempt.input_tokens,
        attempt.output_tokens,
        attempt.cached_tokens,
        attempt.reasoning_tokens,
        numbers[attempt.token_source],
        attempt.cpu_us,
        attempt.cost_nusd,
        numbers[attempt.price_version],
        attempt.energy_uj,
        int(attempt.energy_method),
        attempt.co2_ug,
        attempt.first_byte_us,
        attempt.total_us,
        numbers[attempt.finish_reason],
        numbers[attempt.error_code],
        attempt.cache_write_tokens,
    )
