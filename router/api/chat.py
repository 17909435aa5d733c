"""POST /v1/chat/completions: a thin translation in and out; routing happens in the pipeline."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from experts.wire import DONE, Event, Events
from router.api.body import ClientLeft, read_json
from router.api.chat_schema import check
from router.api.departure import Departure
from router.api.edge import send_json
from router.api.errors import as_api_error
from router.meter.receipt import Escalation, Receipt
from router.pipeline import Closing, Opening, Pipeline
from router.request import ChatRequest

EVENT_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ChatCompletions:
    """The endpoint, as a plain ASGI application: nothing stands between the socket and the pipeline."""

    def __init__(self, pipeline: Pipeline, max_body_bytes: int) -> None:
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = chat_request(scope, await read_json(scope, receive, self._max_body_bytes))
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
        reply.body["shoal"] = receipt.to_json()
        headers = _headers(request, receipt.expert, receipt.decision.probability, receipt.escalated)
        headers.append((b"x-shoal-energy-j", b"%.6g" % (receipt.outcome.energy_uj / 1e6)))
        await send_json(send, orjson.dumps(reply.body), headers=headers)

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


def chat_request(scope: Scope, body: object) -> ChatRequest:
    """The internal request for a chat-completion body. Raises `ApiError`."""
    known, ignored = check(body)
    request_id, key_id = scope["shoal"]
    retries = next((v for k, v in scope["headers"] if k == b"x-stainless-retry-count"), b"0")
    return ChatRequest(request_id, known, key_id, int(retries) if retries.isdigit() else 0, ignored)


def _headers(
    request: ChatRequest, expert: str, probability: float | None, escalated: Escalation | None
) -> list[tuple[bytes, bytes]]:
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
    headers = _headers(request, opening.expert, account.decision.probability, account.escalation())
    return {"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]}


def _said(request: ChatRequest, event: Event) -> bytes:
    """An event as it goes out; those who asked for usage read a null in every chunk before the last."""
    return event.raw[:-3] + b',"usage":null}\n\n' if request.include_usage else event.raw


def _body(data: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def _last_words(request: ChatRequest, closing: Closing) -> bytes:
    """The closing events, with `shoal` in the last one and usage only for those who asked."""
    events: Events = closing.events
    if not request.include_usage:
        events = [event for event in events if event.chunk.get("choices")] or events[-1:]
    *before, last = events
    return b"".join([_said(request, event) for event in before]) + _with_receipt(last, closing.receipt).raw


def _with_receipt(event: Event, receipt: Receipt) -> Event:
    chunk: dict[str, Any] = {**event.chunk, "shoal": receipt.to_json()}
    return Event.of(chunk)
