"""POST /v1/chat/completions: a thin translation in and out; routing happens in the pipeline."""

from __future__ import annotations

import secrets
from contextlib import aclosing
from typing import Any, Final

import orjson
from starlette.types import Message, Receive, Scope, Send

from experts.wire import DONE, Event, Events
from router.api.body import ClientLeft, read_json
from router.api.chat_schema import check
from router.api.departure import Departure
from router.api.edge import send_json
from router.api.errors import as_api_error
from router.api.functions import as_functions, as_tools, uses_functions
from router.meter.receipt import Escalation
from router.pipeline import Closing, Opening, Pipeline
from router.request import ChatRequest

EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


PADDED_BYTES: Final = 64
_PADDING: Final = b',"obfuscation":"'


class ChatCompletions:
    """The endpoint, as a plain ASGI application: nothing stands between the socket and the pipeline."""

    def __init__(self, pipeline: Pipeline, max_body_bytes: int, strict: bool = False) -> None:
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = chat_request(scope, await read_json(scope, receive, self._max_body_bytes), self._strict)
        except ClientLeft:
            return
        with Departure(receive):
            if request.stream:
                await self._stream(request, send)
            else:
                await self._complete(request, send)

    async def _complete(self, request: ChatRequest, send: Send) -> None:
        reply = await self._pipeline.complete(request)
        receipt = reply.receipt
        body = as_functions(reply.body) if request.functions else reply.body
        body["shoal"] = receipt.to_json()
        headers = answer_headers(request, receipt.expert, receipt.decision.probability, receipt.escalated)
        headers.append((b"x-shoal-energy-j", b"%.6g" % (receipt.outcome.energy_uj / 1e6)))
        await send_json(send, orjson.dumps(body), headers=headers)

    async def _stream(self, request: ChatRequest, send: Send) -> None:
        opened = False
        try:
            async with aclosing(self._pipeline.stream(request)) as answer:
                async for item in answer:
                    if isinstance(item, Opening):
                        opened = True
                        await send(_head(request, item))
                    elif isinstance(item, Closing):
                        await send(_body(_last_words(request, item) + DONE, more=False))
                    else:
                        await send(_body(b"".join([_said(request, event) for event in item])))
        except Exception as error:
            if not opened:
                raise
            # Both official clients raise on an error event; a stream that just ends looks to them like success.
            await send(_body(as_api_error(error).event(), more=False))


def chat_request(scope: Scope, body: object, strict: bool = False) -> ChatRequest:
    """The internal request for a chat-completion body. Raises `ApiError`."""
    known, ignored = check(body, strict)
    functions = uses_functions(known)
    request_id, key_id = scope["shoal"]
    return ChatRequest(
        request_id,
        as_tools(known) if functions else known,
        key_id,
        retry_count(scope),
        ignored,
        functions=functions,
    )


def retry_count(scope: Scope) -> int:
    """Which repetition this is, as the official clients count."""
    retries = next((v for k, v in scope["headers"] if k == b"x-stainless-retry-count"), b"0")
    return int(retries) if retries.isdigit() else 0


def answer_headers(
    request: ChatRequest, expert: str, probability: float | None, escalated: Escalation | None
) -> list[tuple[bytes, bytes]]:
    """Who answered, how sure the judge was, and what was not heard."""
    headers = [
        (b"x-shoal-expert", expert.encode()),
        (b"x-shoal-escalated", escalated.stage.encode() if escalated else b"no"),
    ]
    if probability is not None:
        headers.append((b"x-shoal-probability", b"%.4f" % probability))
    if request.ignored:
        names = ", ".join(name for name in request.ignored if name.isascii() and name.isprintable())
        headers.append((b"x-shoal-ignored-params", names[:256].encode()))
    return headers


def _head(request: ChatRequest, opening: Opening) -> Message:
    account = opening.account
    headers = answer_headers(request, opening.expert, account.decision.probability, account.escalation())
    return {"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]}


def _said(request: ChatRequest, event: Event) -> bytes:
    """An event as it goes out; those who asked for usage read a null in every chunk before the last."""
    raw = Event.of(as_functions(event.chunk)).raw if request.functions else event.raw
    if request.include_usage:
        raw = raw[:-3] + b',"usage":null}\n\n'
    return _padded(raw) if request.include_obfuscation else raw


def _padded(raw: bytes) -> bytes:
    """An event made longer by a random text, to the next multiple of a fixed length."""
    spare = PADDED_BYTES - (len(raw) + len(_PADDING) + 1) % PADDED_BYTES
    return b'%b%b%b"}\n\n' % (raw[:-3], _PADDING, secrets.token_hex(spare)[:spare].encode())


def _body(data: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _last_words(request: ChatRequest, closing: Closing) -> bytes:
    """The closing events, with `shoal` in the last one and usage only for those who asked."""
    events: Events = closing.events
    if not request.include_usage:
        events = [event for event in events if event.chunk.get("choices")] or events[-1:]
    *before, last = events
    chunk = as_functions(last.chunk) if request.functions else last.chunk
    told: dict[str, Any] = {**chunk, "shoal": closing.receipt.to_json()}
    return b"".join([_said(request, event) for event in before]) + Event.of(told).raw
