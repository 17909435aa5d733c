"""POST /v1/chat/completions: OpenAI's chat, which is also the form of the internal request."""

from __future__ import annotations

import secrets
from typing import Any, Final, cast

from starlette.types import Scope

from experts.wire import DONE, Event, Events, choices_of
from router.api.chat_schema import check
from router.api.errors import ApiError
from router.api.functions import as_functions, as_tools, uses_functions
from router.api.surface import Surface, last_events, retry_count
from router.pipeline import Closing, Opening, Pipeline, Reply
from router.request import ChatRequest, named_conversation

PADDED_BYTES: Final = 64
_PADDING: Final = b',"obfuscation":"'


class ChatWording:
    """See `router.api.surface.Wording`."""

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self._functions = request.functions
        self._expert = ""
        self._null_usage = request.include_usage
        self._padded = request.include_obfuscation
        self._plain = not (self._functions or self._null_usage or self._padded)

    async def whole(self, reply: Reply) -> dict[str, Any]:
        body = as_functions(reply.body) if self.request.functions else reply.body
        body["shoal"] = reply.receipt.to_json()
        return body

    def opened(self, opening: Opening) -> bytes:
        self._expert = opening.expert
        return b""

    def said(self, events: Events) -> bytes:
        return b"".join([event.raw for event in events] if self._plain else map(self._event, events))

    async def closed(self, closing: Closing) -> bytes:
        """The closing events, with `shoal` in the last one."""
        *before, last = last_events(closing, self.request)
        chunk = as_functions(last.chunk) if self.request.functions else last.chunk
        told: dict[str, Any] = {**chunk, "shoal": closing.receipt.to_json()}
        return self.said(before) + Event.of(told).raw + DONE

    async def failed(self, error: ApiError) -> bytes:
        return error.event()

    def _event(self, event: Event) -> bytes:
        """An event as it goes out; those who asked for usage read a null in every chunk before the last."""
        raw = event.raw
        if self._functions:
            choices_of(event, self._expert)  # on its way here nobody may have read it
            raw = Event.of(as_functions(event.chunk)).raw
        if self._null_usage:
            raw = raw[:-3] + b',"usage":null}\n\n'
        return _padded(raw) if self._padded else raw


def chat_completions(pipeline: Pipeline, max_body_bytes: int, strict: bool) -> Surface:
    """The endpoint."""

    async def read(scope: Scope, body: object) -> ChatWording:
        return ChatWording(chat_request(scope, body, strict))

    return Surface(pipeline, max_body_bytes, read)


def chat_request(scope: Scope, body: object, strict: bool = False) -> ChatRequest:
    """The internal request for a chat-completion body. Raises `ApiError`."""
    known, ignored = check(body, strict)
    functions = uses_functions(known)
    request_id, key_id = scope["shoal"]
    told = as_tools(known) if functions else known
    conversation = named_conversation(cast("dict[str, Any]", body))  # an object, or it had been refused
    return ChatRequest(
        request_id, told, key_id, retry_count(scope), ignored, functions=functions, conversation=conversation
    )


def _padded(raw: bytes) -> bytes:
    """An event made longer by a random text, to the next multiple of a fixed length."""
    spare = PADDED_BYTES - (len(raw) + len(_PADDING) + 1) % PADDED_BYTES
    return b'%b%b%b"}\n\n' % (raw[:-3], _PADDING, secrets.token_hex(spare)[:spare].encode())
