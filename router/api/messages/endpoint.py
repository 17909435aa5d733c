"""POST /v1/messages and POST /v1/messages/count_tokens."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.types import Receive, Scope, Send

from experts.wire import Events
from router.api.body import ClientLeft, read_json
from router.api.edge import send_json
from router.api.errors import ANTHROPIC_PATH, ApiError, shaped_event
from router.api.messages.answer import MessageStream, message
from router.api.messages.schema import CountBody, MessageBody
from router.api.messages.translation import IGNORED, NAMES, chat_body, check_meaning
from router.api.surface import Surface, retry_count
from router.api.validate import Checker
from router.pipeline import Closing, Opening, Pipeline, Reply
from router.request import ChatRequest

_MESSAGE: Final = Checker(MessageBody)
_COUNT: Final = Checker(CountBody)


class MessageWording:
    """See `router.api.surface.Wording`."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self._stream = MessageStream(request.request_id)

    async def whole(self, reply: Reply) -> dict[str, Any]:
        return message(self.request.request_id, reply.body, reply.receipt)

    def opened(self, opening: Opening) -> bytes:
        return self._stream.begin(opening.expert)

    def said(self, events: Events) -> bytes:
        return self._stream.say(events)

    async def closed(self, closing: Closing) -> bytes:
        return self._stream.say(closing.events) + self._stream.end(closing.receipt)

    async def failed(self, error: ApiError) -> bytes:
        return shaped_event(error, ANTHROPIC_PATH, self.request.request_id)


def messages(pipeline: Pipeline, max_body_bytes: int, strict: bool) -> Surface:
    """The endpoint."""

    async def read(scope: Scope, body: object) -> MessageWording:
        return MessageWording(_request(scope, body, _MESSAGE, strict))

    return Surface(pipeline, max_body_bytes, read)


class CountTokens:
    """POST /v1/messages/count_tokens: the tokens of a prompt under the expert that would answer it."""

    def __init__(self, pipeline: Pipeline, max_body_bytes: int, strict: bool) -> None:
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            body = await read_json(scope, receive, self._max_body_bytes)
        except ClientLeft:
            return
        counted = await self._pipeline.count(_request(scope, body, _COUNT, self._strict))
        told = {"input_tokens": counted.tokens, "shoal": {"expert": counted.expert, "source": counted.source}}
        await send_json(send, orjson.dumps(told))


def _request(scope: Scope, given: object, checker: Checker, strict: bool) -> ChatRequest:
    checked = checker.check(given, strict)
    body = {key: value for key, value in checked.items() if value is not None and key in checker.known}
    check_meaning(body)
    ignored = tuple(key for key in checked if key not in checker.known or (key in IGNORED and key in body))
    request_id, key_id = scope["shoal"]
    told = chat_body(body)
    return ChatRequest(request_id, told, key_id, retry_count(scope), ignored, endpoint="messages", names=NAMES)
