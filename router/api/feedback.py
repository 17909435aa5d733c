"""POST /v1/feedback: how good an answer was; what `shoal learn` learns from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from experts.spec import Learning
from router.api.body import ClientLeft, read_json
from router.api.edge import send_json
from router.api.errors import ApiError, invalid
from router.api.validate import Checker
from router.live import Live
from router.meter.asked import Asked, asked
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger
from router.meter.ppm import PPM
from router.meter.record import Feedback
from router.meter.steady import utc_us
from router.meter.ulid import ulid_us

Words = Annotated[str, Field(max_length=65_536)]


class FeedbackBody(BaseModel):
    """The body of POST /v1/feedback."""

    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: Annotated[str, Field(min_length=1, max_length=256, description="the x-request-id of an answer")]
    score: Annotated[float, Field(ge=0, le=1, description="0: of no use, 1: as good as it can be")]
    expected: Annotated[Words | None, Field(description="the answer that would have been right")] = None
    comment: Words | None = None


_CHECKER: Final = Checker(FeedbackBody)


class FeedbackEndpoint:
    """The endpoint, as a plain ASGI application."""

    def __init__(self, live: Live, ledger: Ledger, max_body_bytes: int, named_in: Callable[[str], list[str]]) -> None:
        """`named_in` gives the requests that the id of an answer may speak of."""
        self._live = live
        self._named_in = named_in
        self._ledger = ledger
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what it says is durable before it is answered."""
        try:
            body = _CHECKER.check(await read_json(scope, receive, self._max_body_bytes))
        except ClientLeft:
            return
        learning, now_us = self._live.snapshot.registry.learning, utc_us()
        request_id, found = await asyncio.to_thread(self._found, body["request_id"])
        known = _require(found, request_id, scope["shoal"][1], learning, now_us)
        words = (body.get("expected"), body.get("comment"))
        kept = words if learning.keep_text else None
        await self._ledger.hear(Feedback(request_id, now_us, round(body["score"] * PPM), kept))
        await send_json(send, orjson.dumps(_answer(request_id, body, known, learning.keep_text and any(words))))

    def _found(self, name: str) -> tuple[str, Asked | None]:
        """The request of a name, and what is known of it; of an answer that was given again, the first."""
        for request_id in self._named_in(name):
            if (found := asked(self._ledger, request_id)) is not None:
                return request_id, found
        return name, None


def _require(found: Asked | None, request_id: str, key_id: str, learning: Learning, now_us: int) -> Asked:
    """The request that is spoken of. Another key's is as unknown as one that never was. Raises `ApiError`."""
    if found is None or found.key_id != key_id:
        raise _unknown(f"There is no request with the id `{request_id[:64]}`.")
    if now_us - ulid_us(request_id) > learning.vector_days * DAY_US:
        raise _unknown(f"Requests are forgotten after {learning.vector_days} days; this one is older.")
    if found.answered_by is None:
        message = f"The request `{request_id}` has no answer that could be scored."
        raise invalid(message, "request_id", "request_not_answered")
    return found


def _unknown(message: str) -> ApiError:
    return ApiError(404, message, param="request_id", code="request_not_found")


def _answer(request_id: str, body: dict[str, Any], known: Asked, text_kept: bool) -> dict[str, Any]:
    return {
        "object": "shoal.feedback",
        "request_id": request_id,
        "expert": known.answered_by,
        "score": body["score"],
        "learnable": known.has_vector,
        "text_kept": text_kept,
    }
