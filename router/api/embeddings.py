"""POST /v1/embeddings: vectors from the encoder that routes requests, metered like any answer."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any, Final, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from experts.wire import Usage
from router.api.body import ClientLeft, read_json
from router.api.departure import Departure
from router.api.edge import send_json
from router.api.errors import invalid, unknown_model
from router.api.validate import Checker
from router.decide import Decision, resolve
from router.keys.errors import ModelNotAllowed
from router.live import ENCODER_MODEL, Live, Snapshot
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.record import Role
from router.request import ChatRequest


class EmbeddingsBody(BaseModel):
    """The body of POST /v1/embeddings; OpenAI refuses unknown parameters here, and so does Shoal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: str | Annotated[list[str], Field(min_length=1, max_length=2048)]
    model: Annotated[str, Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None


_CHECKER: Final = Checker(EmbeddingsBody)


class Embeddings:
    """The endpoint, as a plain ASGI application."""

    def __init__(self, live: Live, books: Books, max_body_bytes: int) -> None:
        self._live = live
        self._books = books
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = _CHECKER.check(await read_json(scope, receive, self._max_body_bytes))
        except ClientLeft:
            return
        with Departure(receive):
            await send_json(send, await self._answer(scope, body))

    async def _answer(self, scope: Scope, body: dict[str, Any]) -> bytes:
        request_id, key_id = scope["shoal"]
        snapshot = self._live.seen_by(key_id)
        texts: list[str] = [body["input"]] if isinstance(body["input"], str) else body["input"]
        _check_meaning(snapshot, body, texts)
        decision = Decision(ENCODER_MODEL, None, None, None, None, "named by the request")
        request = ChatRequest(request_id, {"model": body["model"]}, key_id, endpoint="embeddings")
        step = Step(ENCODER_MODEL, Role.NAMED)
        timing = self._books.start()
        account = Account(self._books, snapshot.tariffs, request, decision, [step], snapshot.version, None, timing)
        async with account:
            for attempt in account.attempts():
                with attempt:
                    vectors, tokens = await asyncio.to_thread(_encode, snapshot, texts)
                    attempt.answered(Usage(input=tokens, source="tokenizer"))
            await account.settle()
        return _encoded(vectors, tokens, body.get("encoding_format") or "float")


def _check_meaning(snapshot: Snapshot, body: dict[str, Any], texts: list[str]) -> None:
    if body["model"] in snapshot.hidden:
        raise ModelNotAllowed(body["model"])
    model = resolve(body["model"], snapshot.registry.aliases)
    if model not in (ENCODER_MODEL, "auto"):
        raise unknown_model(body["model"])
    if any(not text for text in texts):
        raise invalid("'input' must not be an empty string.", "input", "invalid_value")
    size = snapshot.encoder.encoder.dimensions
    if (body.get("dimensions") or size) != size:
        raise invalid(f"This model has {size} dimensions; it cannot be cut to fewer.", "dimensions", "invalid_value")


def _encode(snapshot: Snapshot, texts: list[str]) -> tuple[NDArray[np.float32], int]:
    encoder = snapshot.encoder.encoder
    return encoder.encode_all(texts), sum(encoder.count_tokens(text) for text in texts)


def _encoded(vectors: NDArray[np.float32], tokens: int, encoding: str) -> bytes:
    """The answer; base64 holds little-endian float32, which is what the official clients ask for."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if encoding == "base64" else row,
        }
        for index, row in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": ENCODER_MODEL, "usage": usage}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
