"""POST /v1/embeddings: vectors from the encoder that routes requests or from an expert that makes them, metered."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from experts.errors import ExpertFailed, ExpertRefused
from experts.protocol import Embeds
from experts.spec import ENCODER_MODEL
from experts.wire import Usage, Vector
from router.api.body import ClientLeft, read_json
from router.api.departure import Departure
from router.api.edge import send_json
from router.api.errors import ApiError, as_api_error, invalid, unknown_model
from router.api.surface import Headers, receipt_headers, renamed, retry_count
from router.api.validate import Checker
from router.decide import Decision, policy_of, resolve
from router.encode import AsyncEncoder, Encoder, Tokens
from router.keys.errors import ModelNotAllowed
from router.live import Live
from router.meter.account import Account
from router.meter.attempt import Books, Step
from router.meter.record import Arm, Draw, Role
from router.request import ChatRequest
from router.snapshot import Snapshot

READ_AT_ONCE: Final = 16
"""Texts turned into tokens in one turn at the encoder."""

TOKENS_AT_ONCE: Final = 1_024
"""Encoded in one turn, some 50 ms of a core; between two, others have theirs and a client that left is noticed."""

MAX_TOKENS: Final = 300_000
"""Of all inputs of a request together, as OpenAI has it."""

MAX_INPUTS: Final = 2048

NAMES: Final = {"messages": "input"}
"""What an expert's complaint about the prompt is about here."""

Input = str | Sequence[int]
_TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1, max_length=8192, fail_fast=True)]


class EmbeddingsBody(BaseModel):
    """The body of POST /v1/embeddings; OpenAI refuses unknown parameters here, and so does Shoal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: (
        str
        | Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)]
        | _TokenIds
        | Annotated[list[_TokenIds], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)]
    )
    model: Annotated[str, Field(min_length=1, max_length=256)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=65536)] | None = None
    user: str | None = None


_CHECKER: Final = Checker(EmbeddingsBody)


@dataclass(frozen=True, slots=True)
class _Made:
    """Vectors, and the tokens they took."""

    vectors: NDArray[np.float32]
    usage: Usage


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
            _check_size(given)
            body = _CHECKER.check(given)
        except ClientLeft:
            return
        with Departure(receive):
            answer, headers = await self._answer(scope, body)
            await send_json(send, answer, headers=headers)

    async def _answer(self, scope: Scope, body: dict[str, Any]) -> tuple[bytes, Headers]:
        request_id, key_id = scope["shoal"]
        snapshot = self._live.seen_by(key_id)
        model, inputs = _model(snapshot, body["model"]), _inputs(body["input"])
        decision = Decision(model, None, None, None, None, "named by the request")
        request = ChatRequest(
            request_id, {"model": body["model"]}, key_id, retry_count(scope), endpoint="embeddings", prompts=inputs,
            names=NAMES,
        )  # fmt: skip
        step = Step(model, Role.NAMED)
        timing = self._books.start()
        try:
            make = await _maker(snapshot, model, inputs, body)
        except BaseException:
            self._books.abandon(timing)
            raise
        fallback = snapshot.registry.expert(snapshot.tariffs.fallback.expert)
        draw = None if "embeddings" in fallback.abilities else Draw(Arm.UNABLE)
        account = Account(
            self._books, snapshot.tariffs, request, decision, [step], snapshot.version, None, timing, draw=draw
        )
        try:
            with snapshot.pool.hold():
                async with account:
                    for attempt in account.attempts():
                        with attempt:
                            made = await make()
                            attempt.answered(made.usage)
                    receipt, written = account.close()
                    await written
        except ExpertRefused as error:
            raise renamed(as_api_error(error), request) from error
        # Thousands of vectors take long to write down, each of them not: beside the event loop nobody waits for it.
        encoding = body.get("encoding_format") or "float"
        tokens = receipt.outcome.attempts[-1].input_tokens
        answer = await asyncio.to_thread(_encoded, made.vectors, tokens, model, encoding, receipt.to_json())
        return answer, receipt_headers(request, receipt)


async def _maker(
    snapshot: Snapshot, model: str, inputs: list[Input], body: dict[str, Any]
) -> Callable[[], Coroutine[Any, Any, _Made]]:
    """What makes the vectors. Raises `ApiError` about what the encoder cannot read."""
    dimensions = body.get("dimensions")
    if model != ENCODER_MODEL:
        return lambda: _ask(snapshot, model, inputs, dimensions)
    encoder = snapshot.encoder
    _check_encodable(encoder.encoder, inputs, dimensions)
    read: list[Tokens] = []
    for start in range(0, len(inputs), READ_AT_ONCE):
        read += await encoder.in_turn(_read, encoder.encoder, body["input"], inputs, start)
    _check_sum(sum(map(len, read)))
    return lambda: _encode(encoder, read, dimensions)


def _check_size(given: Any) -> None:
    """Raises `ApiError` about more token ids than may be sent, before each of them is looked at."""
    inputs = given.get("input") if isinstance(given, dict) else None
    if isinstance(inputs, list):
        _check_sum(sum(len(one) for one in inputs if isinstance(one, list)))


def _check_sum(tokens: int) -> None:
    if tokens > MAX_TOKENS:
        message = f"Requested {tokens} tokens, max {MAX_TOKENS} tokens per request."
        raise invalid(f"{message} Send the texts in several requests.", "input", "max_tokens_per_request")


def _model(snapshot: Snapshot, name: str) -> str:
    """The encoder, or the id of an expert that makes vectors. Raises `ApiError` or `ModelNotAllowed`."""
    if name in snapshot.hidden:
        raise ModelNotAllowed(name)
    model = resolve(name, snapshot.registry.aliases)
    if model in (ENCODER_MODEL, "auto"):
        return ENCODER_MODEL
    registry = snapshot.registry
    spec = registry.find(registry.fallback if model == "fallback" else model)
    if spec is None and policy_of(model, registry) is None:
        raise unknown_model(name)
    if spec is None or "embeddings" not in spec.abilities:
        message = f"The model `{name}` does not make embeddings. `{ENCODER_MODEL}` does."
        raise invalid(message, "model", "unsupported_parameter")
    return spec.id


def _inputs(given: Any) -> list[Input]:
    """What was sent as one or as several, as several. Raises `ApiError` about one that is empty."""
    inputs: list[Input] = [given] if _is_one(given) else given
    for at, one in enumerate(inputs):
        if one == "":
            param = _param(given, at)
            raise invalid(f"'{param}' must not be an empty string.", param, "invalid_value")
    return inputs


def _is_one(given: Any) -> bool:
    return isinstance(given, str) or isinstance(given[0], int)


def _param(given: Any, at: int) -> str:
    """What the client calls the input `at`."""
    return "input" if _is_one(given) else f"input[{at}]"


def _check_encodable(encoder: Encoder, inputs: list[Input], dimensions: int | None) -> None:
    if dimensions is not None and dimensions > encoder.dimensions:
        wants = f"Expected a value <= {encoder.dimensions}, but got {dimensions} instead."
        message = f"Invalid 'dimensions': integer above maximum value. {wants}"
        raise invalid(message, "dimensions", "integer_above_max_value")
    vocabulary = encoder.vocabulary_size
    for one in inputs:
        if not isinstance(one, str) and max(one) >= vocabulary:
            message = (
                f"'input' holds a token id that is not in the encoder's vocabulary of {vocabulary}. Token ids are "
                "those of the model that reads them; send text if they come from another tokenizer."
            )
            raise invalid(message, "input", "invalid_value")


def _read(encoder: Encoder, given: Any, inputs: list[Input], start: int) -> list[Tokens]:
    """The tokens of a slice of the inputs. Raises `ApiError` about the first one that is longer than can be read."""
    read = []
    for at, one in enumerate(inputs[start : start + READ_AT_ONCE], start):
        ids, counted = encoder.whole(one) if isinstance(one, str) else (one, True)
        if len(ids) + 2 > encoder.max_tokens:
            raise _too_long(_param(given, at), len(ids) + 2, counted, encoder.max_tokens)
        read.append(encoder.framed(ids))
    return read


def _too_long(param: str, tokens: int, counted: bool, most: int) -> ApiError:
    holds = f"holds {tokens}" if counted else f"holds more than {tokens}"
    message = f"This model's maximum context length is {most} tokens, two of its own among them; '{param}' {holds}."
    return invalid(f"{message} Please shorten it, or send it in parts.", param, "context_length_exceeded")


async def _encode(encoder: AsyncEncoder, read: list[Tokens], dimensions: int | None) -> _Made:
    vectors: list[Vector] = []
    for some in _slices(read):
        vectors += await encoder.in_turn(_embedded, encoder.encoder, some)
    return _Made(_cut(np.stack(vectors), dimensions), Usage(sum(map(len, read)), source="tokenizer"))


def _slices(read: list[Tokens]) -> Iterator[list[Tokens]]:
    """Texts in their order, in lists of at most `TOKENS_AT_ONCE` tokens."""
    some: list[Tokens] = []
    size = 0
    for tokens in read:
        if some and size + len(tokens) > TOKENS_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(tokens)
        size += len(tokens)
    yield some


def _embedded(encoder: Encoder, some: list[Tokens]) -> list[Vector]:
    return [encoder.embed(tokens) for tokens in some]


def _cut(vectors: NDArray[np.float32], dimensions: int | None) -> NDArray[np.float32]:
    """Shorter vectors of length 1.

    The encoder was not trained for it: of 600 support tickets the nearest neighbour has the same label for 65 % with
    all 384 dimensions, 62 % with 256, 58 % with 128 and 52 % with 64 (2026-11-25).
    """
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    short = vectors[:, :dimensions]
    lengths = np.linalg.norm(short, axis=1, keepdims=True)
    return np.asarray(short / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


async def _ask(snapshot: Snapshot, model: str, inputs: list[Input], dimensions: int | None) -> _Made:
    """Vectors of an expert. Raises `ExpertError`."""
    async with snapshot.pool.lease(model) as expert:
        if not isinstance(expert, Embeds):
            raise ExpertFailed(model, "claims embeddings, and its kind makes none")
        vectors, usage = await expert.embed(inputs, dimensions)
    return _Made(vectors, usage)


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
