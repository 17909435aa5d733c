"""POST /v1/messages and POST /v1/messages/count_tokens."""

from __future__ import annotations

from typing import Any, Final

from starlette.types import Scope

from experts.wire import Events
from router.api.errors import ApiError, shaped_event
from router.api.messages.answer import MessageStream, message
from router.api.messages.schema import CountBody, MessageBody
from router.api.messages.translation import IGNORED, NAMES, chat_body, check_meaning
from router.api.surface import Counter, Surface, retry_count
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
        return shaped_event(error, True, self.request.request_id)


def messages(pipeline: Pipeline, max_body_bytes: int, strict: bool) -> Surface:
    """The endpoint."""

    async def read(scope: Scope, body: object) -> MessageWording:
        return MessageWording(_request(scope, body, _MESSAGE, strict))

    return Surface(pipeline, max_body_bytes, read)


def count_tokens(pipeline: Pipeline, max_body_bytes: int, strict: bool) -> Counter:
    """The tokens of a prompt under the expert that would answer it."""

    async def read(scope: Scope, body: object) -> ChatRequest:
        return _request(scope, body, _COUNT, strict)

    return Counter(pipeline, max_body_bytes, read, {})


def _request(scope: Scope, given: object, checker: Checker, strict: bool) -> ChatRequest:
    checked = checker.check(given, strict)
    body = {key: value for key, value in checked.items() if value is not None and key in checker.known}
    check_meaning(body)
    ignored = tuple(key for key in checked if key not in checker.known or (key in IGNORED and key in body))
    request_id, key_id = scope["shoal"]
    told = chat_body(body)
    return ChatRequest(request_id, told, key_id, retry_count(scope), ignored, endpoint="messages", names=NAMES)
