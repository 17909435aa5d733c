"""What every surface that generates does alike: read the body, ask the pipeline, answer whole or as events.

A surface is a `Wording`: how one request is read into the internal one and how its answer is told. It never routes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, Protocol
from urllib.parse import quote

import orjson
from starlette.types import Receive, Scope, Send

from experts.errors import ExpertRefused
from experts.wire import Event, Events
from router.api.body import ClientLeft, read_json
from router.api.complaint import NAME_CHARS
from router.api.departure import Departure
from router.api.edge import send_json
from router.api.errors import ApiError, as_api_error, stopping
from router.api.pulse import Pulse, stream_head
from router.api.replay import BEGUN, BROKEN
from router.meter.receipt import Escalation, Receipt
from router.pipeline import Closing, Opening, Pipeline, Reply
from router.request import ChatRequest

Headers = list[tuple[bytes, bytes]]

IGNORED_CHARS: Final = 256
"""Of the header that names what was not heard; how many more there are is said behind them."""


class Wording(Protocol):
    """How the answer to one request is told."""

    request: ChatRequest

    async def whole(self, reply: Reply) -> dict[str, Any]:
        """The body of a whole answer."""

    def opened(self, opening: Opening) -> bytes:
        """What a stream says first, before any event of the answer; may be nothing."""

    def said(self, events: Events) -> bytes:
        """Events of the answer, none of them a closing one."""

    async def closed(self, closing: Closing) -> bytes:
        """The rest of a stream: the closing events and what marks its end."""

    async def failed(self, error: ApiError) -> bytes:
        """The end of a stream that broke off. A stream that just ends looks like success to the official clients."""


Read = Callable[[Scope, Any], Awaitable[Wording]]
"""A parsed body -> the wording of its answer. Raises `ApiError`."""


class Surface:
    """An endpoint, as a plain ASGI application: nothing stands between the socket and the pipeline."""

    def __init__(self, pipeline: Pipeline, max_body_bytes: int, read: Read) -> None:
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes
        self._read = read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            wording = await self._read(scope, await read_json(scope, receive, self._max_body_bytes))
        except ClientLeft:
            return
        with Departure(receive) as departure:
            try:
                if wording.request.stream:
                    await self._stream(scope, wording, send, departure)
                else:
                    await self._complete(wording, send, departure)
            except ExpertRefused as error:
                raise renamed(as_api_error(error), wording.request) from error

    async def _complete(self, wording: Wording, send: Send, departure: Departure) -> None:
        reply = await self._pipeline.complete(wording.request, departure.answered)
        body = await wording.whole(reply)
        await send_json(send, orjson.dumps(body), headers=receipt_headers(wording.request, reply.receipt))

    async def _stream(self, scope: Scope, wording: Wording, send: Send, departure: Departure) -> None:
        early = stream_head(ignored_headers(wording.request))
        with Pulse(send, early, begun=BEGUN in scope) as pulse:
            try:
                await self._pass_on(wording, pulse, departure)
                return
            except Exception as error:
                if not pulse.begun:
                    raise
                broken = renamed(as_api_error(error), wording.request)
            except asyncio.CancelledError:
                if departure.left or not pulse.begun:
                    raise
                broken = stopping()
            scope[BROKEN] = True
            await pulse.send(await wording.failed(broken), more=False)

    async def _pass_on(self, wording: Wording, pulse: Pulse, departure: Departure) -> None:
        """Tell the answer as it comes, from the head of the stream to its end."""
        async with aclosing(self._pipeline.stream(wording.request, departure.answered)) as answer:
            async for item in answer:
                if isinstance(item, Closing):
                    await pulse.send(await wording.closed(item), more=False)
                    continue
                events = item.events if isinstance(item, Opening) else item
                if isinstance(item, Opening):
                    await pulse.start(stream_head(_opening_headers(wording.request, item)))
                    if first := wording.opened(item):
                        await pulse.send(first)
                if events:
                    try:
                        told = wording.said(events)
                    except Exception as error:
                        # Some events are read only to be told: what is wrong with them is thrown in where they came
                        # from, for the ledger and the breaker, which otherwise took it for a client that leaves.
                        await answer.athrow(error)
                        raise
                    await pulse.send(told)


class Counter:
    """An endpoint that counts the tokens of a prompt for who would answer it; nothing is generated."""

    def __init__(
        self, pipeline: Pipeline, max_body_bytes: int,
        read: Callable[[Scope, Any], Awaitable[ChatRequest]], told: dict[str, Any],
    ) -> None:  # fmt: skip
        """`told` is what stands in the answer beside the count."""
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes
        self._read = read
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = await self._read(scope, await read_json(scope, receive, self._max_body_bytes))
        except ClientLeft:
            return
        try:
            counted = await self._pipeline.count(request)
        except ExpertRefused as error:
            raise renamed(as_api_error(error), request) from error
        who = {"expert": counted.expert, "source": counted.source}
        await send_json(send, orjson.dumps({**self._told, "input_tokens": counted.tokens, "shoal": who}))


def last_events(closing: Closing, request: ChatRequest) -> list[Event]:
    """The closing events of a stream, that of its usage only for those who asked; never none."""
    if request.include_usage:
        return [*closing.events]
    return [event for event in closing.events if event.chunk.get("choices")] or [closing.events[-1]]


def renamed(error: ApiError, request: ChatRequest) -> ApiError:
    """An error about a parameter, under the name that the client used for it.

    Where a surface has names of its own, places within a parameter are others too: what an upstream says of one is told
    of the whole parameter.
    """
    said = error.param
    if said is None or not request.names or said in request.names.values():
        return error
    whole = re.split(r"[.\[]", said, maxsplit=1)[0]
    error.param = request.names.get(said) or request.names.get(whole, whole)
    error.message = error.message.replace(f"'{said}'", f"'{error.param}'")
    return error


def receipt_headers(request: ChatRequest, receipt: Receipt) -> Headers:
    """What the head of a whole answer says of it."""
    headers = answer_headers(request, receipt.expert, receipt.intent.decision.probability, receipt.escalated)
    return [*headers, (b"x-shoal-energy-j", orjson.dumps(receipt.outcome.energy_uj / 1e6))]


def answer_headers(
    request: ChatRequest, expert: str, probability: float | None, escalated: Escalation | None
) -> Headers:
    """Who answered, how sure the judge was, and what was not heard."""
    headers = [
        (b"x-shoal-expert", expert.encode()),
        (b"x-shoal-escalated", escalated.stage.encode() if escalated else b"no"),
    ]
    if probability is not None:
        headers.append((b"x-shoal-probability", b"%.4f" % probability))
    return headers + ignored_headers(request)


def ignored_headers(request: ChatRequest) -> Headers:
    """What was not heard."""
    if not request.ignored:
        return []
    told: list[str] = []
    room = IGNORED_CHARS
    for name in request.ignored:
        one = quote(name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 3]}...")
        room -= len(one) + len(", ")
        if room < 0:
            told.append(f"and {len(request.ignored) - len(told)} more")
            break
        told.append(one)
    return [(b"x-shoal-ignored-params", ", ".join(told).encode())]


def retry_count(scope: Scope) -> int:
    """Which repetition this is, as the official clients count."""
    retries = next((v for k, v in scope["headers"] if k == b"x-stainless-retry-count"), b"0")
    return int(retries) if retries.isdigit() and len(retries) < 6 else 0


def _opening_headers(request: ChatRequest, opening: Opening) -> Headers:
    account = opening.account
    return answer_headers(request, opening.expert, account.decision.probability, account.escalation())
