"""POST /v1/embeddings: vectors from the encoder that routes requests or from an expert that makes them, metered."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette.types import Receive, Scope, Send

from experts.errors import ExpertFailed, ExpertRefused
from experts.protocol import Embeds
from experts.spec import ENCODER_MODEL
from experts.wire import Prompt, Usage
from router.api.body import ClientLeft, read_json
from router.api.departure import Departure
from router.api.edge import send_json
from router.api.embeddings.encoder import encode, tokens_of
from router.api.embeddings.schema import EmbeddingsBody, check_size, inputs_of
from router.api.errors import as_api_error, invalid, unknown_model
from router.api.surface import Headers, receipt_headers, renamed, retry_count
from router.api.validate import Checker
from router.decide import Decision, policy_of, resolve
from router.keys.errors import ModelNotAllowed
from router.live import Live
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.receipt import Receipt
from router.meter.record import Arm, Draw, Role
from router.request import ChatRequest
from router.snapshot import Snapshot

NAMES: Final = {"messages": "input"}
"""What an expert's complaint about the prompt is about here."""

_CHECKER: Final = Checker(EmbeddingsBody)

_Made = tuple[NDArray[np.float32], Usage]
"""Vectors, shape (inputs, dimensions), and the tokens they took."""

_Make = Callable[[], Awaitable[_Made]]


class Embeddings:
    """The endpoint, as a plain ASGI application."""

    def __init__(self, live: Live, books: Books, max_body_bytes: int) -> None:
        self._live = live
        self._books = books
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            given = await read_json(scope, receive, self._max_body_bytes)
            check_size(given)
            body = _CHECKER.check(given)
        except ClientLeft:
            return
        with Departure(receive):
            answer, headers = await self._answer(scope, body)
            await send_json(send, answer, headers=headers)

    async def _answer(self, scope: Scope, body: dict[str, Any]) -> tuple[bytes, Headers]:
        request_id, key_id = scope["shoal"]
        snapshot = self._live.seen_by(key_id)
        model, inputs = _model(snapshot, body["model"]), inputs_of(body["input"])
        request = ChatRequest(
            request_id, {"model": body["model"]}, key_id, retry_count(scope), endpoint="embeddings", prompts=inputs,
            names=NAMES,
        )  # fmt: skip
        account, make = await self._open(snapshot, request, model, body)
        try:
            with snapshot.pool.hold():
                (vectors, _), receipt = await _metered(account, make)
        except ExpertRefused as error:
            raise renamed(as_api_error(error), request) from error
        # Thousands of vectors take long to write down, each of them not: beside the event loop nobody waits for it.
        encoding = body.get("encoding_format") or "float"
        tokens = receipt.outcome.attempts[-1].input_tokens
        answer = await asyncio.to_thread(_encoded, vectors, tokens, model, encoding, receipt.to_json())
        return answer, receipt_headers(request, receipt)

    async def _open(
        self, snapshot: Snapshot, request: ChatRequest, model: str, body: dict[str, Any]
    ) -> tuple[Account, _Make]:
        """The account of a request, and what makes its vectors. Raises `ApiError` about what cannot be encoded."""
        timing = self._books.start()
        try:
            make = await _maker(snapshot, model, body["input"], request.prompts, body.get("dimensions"))
        except BaseException:
            self._books.abandon(timing)
            raise
        decision = Decision(model, None, None, None, None, "named by the request")
        # Of what serves, for one that this key may not use is not in its own registry.
        fallback = self._live.snapshot.registry.find(snapshot.tariffs.fallback.expert)
        draw = None if fallback is not None and "embeddings" in fallback.abilities else Draw(Arm.UNABLE)
        steps = [Step(model, Role.NAMED)]
        account = Account(
            self._books, snapshot.tariffs, request, decision, steps, snapshot.version, None, timing, draw=draw
        )
        return account, make


async def _metered(account: Account, make: _Make) -> tuple[_Made, Receipt]:
    """What is made, and the receipt that is already in the ledger. Raises `ExpertError` or `MeterUnavailable`."""
    async with account:
        for attempt in account.attempts():
            with attempt:
                made = await make()
                attempt.answered(made[1])
        receipt, written = account.close()
        await written
        return made, receipt


async def _maker(snapshot: Snapshot, model: str, given: Any, inputs: Sequence[Prompt], dimensions: int | None) -> _Make:
    """What makes the vectors of `inputs`, which were sent as `given`. Raises `ApiError` as `tokens_of` does."""
    if model != ENCODER_MODEL:
        return lambda: _ask(snapshot, model, inputs, dimensions)
    read = await tokens_of(snapshot.encoder, given, inputs, dimensions)
    return lambda: encode(snapshot.encoder, read, dimensions)


def _model(snapshot: Snapshot, name: str) -> str:
    """The encoder, or the id of an expert that makes vectors. Raises `ApiError` or `ModelNotAllowed`."""
    model = resolve(name, snapshot.registry.aliases)
    if model in (ENCODER_MODEL, "auto"):
        model = ENCODER_MODEL
    if model in snapshot.hidden:
        raise ModelNotAllowed(name)
    if model == ENCODER_MODEL:
        return model
    registry = snapshot.registry
    spec = registry.find(registry.fallback if model == "fallback" else model)
    if spec is None and policy_of(model, registry) is None:
        raise unknown_model(name)
    if spec is None or "embeddings" not in spec.abilities:
        message = f"The model `{name}` does not make embeddings. `{ENCODER_MODEL}` does."
        raise invalid(message, "model", "unsupported_parameter")
    return spec.id


async def _ask(snapshot: Snapshot, model: str, inputs: Sequence[Prompt], dimensions: int | None) -> _Made:
    """Vectors of an expert. Raises `ExpertError`."""
    async with snapshot.pool.lease(model) as expert:
        if not isinstance(expert, Embeds):
            raise ExpertFailed(model, "claims embeddings, and its kind makes none")
        return await expert.embed(inputs, dimensions)


def _encoded(vectors: NDArray[np.float32], tokens: int, model: str, encoding: str, shoal: dict[str, Any]) -> bytes:
    """The answer; base64 holds little-endian float32, which is what the official clients ask for."""
    write = _in_base64 if encoding == "base64" else _in_decimals
    rows = [b'{"object":"embedding","index":%d,"embedding":%b}' % (at, write(row)) for at, row in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    head = orjson.dumps({"object": "list", "model": model, "usage": usage, "shoal": shoal})
    return b'%b,"data":[%b]}' % (head[:-1], b",".join(rows))


def _in_base64(row: NDArray[np.float32]) -> bytes:
    return b'"%b"' % base64.b64encode(row.astype("<f4").tobytes())


def _in_decimals(row: NDArray[np.float32]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
