"""POST /v1/responses and its input tokens; GET, DELETE and the input items of what was stored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from experts.wire import Events
from router.api.edge import json_response
from router.api.errors import ApiError, invalid
from router.api.pulse import EVENT_STREAM
from router.api.responses.answer import (
    Answer,
    call_item,
    item_status,
    message_item,
    refusal_part,
    request_of,
    text_part,
)
from router.api.responses.items import Item, as_items, check_items, filled_in, references
from router.api.responses.playback import playback
from router.api.responses.schema import MOST_INPUT, ResponseBody
from router.api.responses.store import MAX_CHAIN, MOST_BYTES, Broken, Kept, ResponseStore, TooLong
from router.api.responses.stream import ResponseStream
from router.api.responses.translation import NAMES, chat_body, check_meaning
from router.api.surface import Counter, Surface, retry_count
from router.api.validate import Checker
from router.pipeline import Closing, Opening, Pipeline, Reply
from router.request import ChatRequest, named_conversation
from router.store import StoreUnavailable

log = logging.getLogger("shoal.api")

_CHECKER: Final = Checker(ResponseBody)
MOST_ITEMS: Final = 100
"""On one page of input items."""

Forget = Callable[[str, str], None]
"""Told of a deleted response: API key id and id of the request that made it."""


class ResponseWording:
    """See `router.api.surface.Wording`."""

    def __init__(self, request: ChatRequest, answer: Answer, items: list[Item], store: ResponseStore) -> None:
        self.request = request
        self._answer = answer
        self._items = items
        self._store = store
        self._stream = ResponseStream(answer)

    async def whole(self, reply: Reply) -> dict[str, Any]:
        answer, choice = self._answer, reply.body["choices"][0]
        answer.model, answer.usage, answer.receipt = reply.body["model"], reply.body["usage"], reply.receipt
        answer.finish = choice["finish_reason"]
        answer.output = _output(answer, choice)
        return await self._kept()

    def opened(self, opening: Opening) -> bytes:
        self._answer.model = opening.expert
        return self._stream.begin()

    def said(self, events: Events) -> bytes:
        return self._stream.say(events)

    async def closed(self, closing: Closing) -> bytes:
        said = self._stream.say(closing.events)
        self._answer.receipt = closing.receipt
        self._answer.finish = self._answer.finish or "stop"
        last = self._stream.end()
        await self._kept()
        return said + last

    async def failed(self, error: ApiError) -> bytes:
        last = self._stream.fail(error)
        try:
            await self._kept()
        except StoreUnavailable as unkept:
            log.error("a response that failed is not kept: %s", unkept)  # the error on its way is the one to tell
        return last

    async def _kept(self) -> dict[str, Any]:
        told = self._answer.snapshot()
        if self._answer.stored:
            await self._store.save(self.request.key_id, self._items, told, self._answer.cuts)
        return told


def _output(answer: Answer, choice: dict[str, Any]) -> list[dict[str, Any]]:
    message, status = choice["message"], item_status(choice["finish_reason"])
    output: list[dict[str, Any]] = []
    parts = []
    if message.get("content"):
        parts.append(text_part(message["content"], (choice.get("logprobs") or {}).get("content") or ()))
    if message.get("refusal"):
        parts.append(refusal_part(message["refusal"]))
    if parts:
        output.append(message_item(answer.item_id("msg", 0), parts, status))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        identity = answer.item_id("fc", len(output))
        output.append(call_item(identity, call["id"], function["name"], function["arguments"], status))
    return output


class Responses:
    """All endpoints of this surface."""

    def __init__(
        self, pipeline: Pipeline, max_body_bytes: int, strict: bool, store: ResponseStore, forget: Forget
    ) -> None:
        self._store = store
        self._forget = forget
        self._strict = strict
        self.create = Surface(pipeline, max_body_bytes, self._read)
        self.input_tokens = Counter(pipeline, max_body_bytes, self._counted, {"object": "response.input_tokens"})

    async def get(self, request: Request) -> Response:
        """GET /v1/responses/{id}, with `stream` as events, of which those up to `starting_after` are left out."""
        found = await self._find(request)
        stream, after = request.query_params.get("stream", "false"), request.query_params.get("starting_after")
        if stream not in ("true", "false"):
            raise invalid("Invalid value for 'stream': it must be 'true' or 'false'.", "stream", "invalid_value")
        if after is not None and not (after.isascii() and after.isdigit() and len(after) < 10):
            raise invalid("Invalid value for 'starting_after': a sequence number.", "starting_after", "invalid_value")
        if stream == "false":
            if after is not None:
                raise invalid(
                    "The 'starting_after' parameter is only allowed when 'stream' is enabled.", "starting_after"
                )
            return json_response(found.response)
        told = playback(found.response, found.cuts, int(after) if after is not None else -1)
        return Response(told, headers=EVENT_STREAM)

    async def delete(self, request: Request) -> Response:
        """DELETE /v1/responses/{id}."""
        key_id, wanted = request.scope["shoal"][1], request.path_params["id"]
        if not await self._store.delete(key_id, wanted):
            raise not_found(wanted)
        self._forget(key_id, request_of(wanted))
        return json_response({"id": wanted, "object": "response", "deleted": True})

    async def cancel(self, request: Request) -> Response:
        """POST /v1/responses/{id}/cancel: nothing here runs in the background."""
        await self._find(request)
        raise invalid("Only responses created with background=true can be cancelled.", "background")

    async def input_items(self, request: Request) -> Response:
        """GET /v1/responses/{id}/input_items, newest first unless `order` says otherwise."""
        found = await self._find(request)
        items = [_listed(item, found.response["id"], at) for at, item in enumerate(found.input)]
        order, limit = request.query_params.get("order", "desc"), request.query_params.get("limit", "20")
        if order not in ("asc", "desc"):
            raise invalid("Invalid value for 'order': it must be 'asc' or 'desc'.", "order", "invalid_value")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 10 and 1 <= int(limit) <= MOST_ITEMS):
            raise invalid(f"Invalid value for 'limit': 1 to {MOST_ITEMS}.", "limit", "invalid_value")
        if order == "desc":
            items.reverse()
        if after := request.query_params.get("after"):
            at = next((at for at, item in enumerate(items) if item["id"] == after), None)
            if at is None:  # an empty page would look like the end of the list
                message = f"Invalid value for 'after': '{after[:128]}' is none of this response's input."
                raise invalid(message, "after", "invalid_value")
            items = items[at + 1 :]
        page = items[: int(limit)]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        return json_response({"object": "list", "data": page, **ends, "has_more": len(items) > len(page)})

    async def _find(self, request: Request) -> Kept:
        wanted = request.path_params["id"]
        found = await self._store.find(request.scope["shoal"][1], wanted)
        if found is None:
            raise not_found(wanted)
        return found

    async def _read(self, scope: Scope, given: object) -> ResponseWording:
        checked = _CHECKER.check(given, self._strict)
        body = {key: value for key, value in checked.items() if value is not None and key in _CHECKER.known}
        check_meaning(body, self._store.days > 0)
        request_id, key_id = scope["shoal"]
        items = await self._items(key_id, body["input"])
        before = await self._before(key_id, body.get("previous_response_id"))
        if len(before) + len(items) > MOST_INPUT:
            raise _too_long()
        ignored = tuple(key for key in checked if key not in _CHECKER.known)
        told = chat_body(body, [*before, *items])
        request = ChatRequest(
            request_id, told, key_id, retry_count(scope), ignored, endpoint="responses", names=NAMES,
            conversation=named_conversation(body),
        )  # fmt: skip
        answer = Answer(request_id, body, body.get("store", True) and self._store.days > 0)
        return ResponseWording(request, answer, items, self._store)

    async def _counted(self, scope: Scope, given: object) -> ChatRequest:
        return (await self._read(scope, given)).request

    async def _items(self, key_id: str, given: str | list[Item]) -> list[Item]:
        items = as_items(given)
        check_items(items)
        named = references(items)
        if not named:
            return items
        if self._store.days <= 0:
            message = "'item_reference' is not supported. Responses are not stored here; send the items themselves."
            raise invalid(f"{message} Clients do that with `store` set to false.", "input", "unsupported_parameter")
        try:
            return filled_in(items, await self._store.said(key_id, named))
        except TooLong:
            most = f"{MAX_CHAIN} responses and {MOST_BYTES:,} bytes are the most"
            message = f"Items named by 'item_reference' are of too many responses: {most}. Send the items themselves."
            raise invalid(message, "input", "context_length_exceeded") from None

    async def _before(self, key_id: str, previous: str | None) -> list[Item]:
        if previous is None:
            return []
        try:
            return await self._store.conversation(key_id, previous)
        except Broken:
            message = f"Previous response with id '{previous}' not found."
            raise invalid(message, "previous_response_id", "previous_response_not_found") from None
        except TooLong:
            raise _too_long() from None


def _too_long() -> ApiError:
    message = (
        f"The conversation of 'previous_response_id' is too long: {MOST_INPUT:,} items, {MAX_CHAIN} responses and "
        f"{MOST_BYTES:,} bytes are the most. Begin a new one with what matters of it."
    )
    return invalid(message, "previous_response_id", "context_length_exceeded")


def not_found(response_id: str) -> ApiError:
    """404: this key has stored no such response."""
    return ApiError(404, f"Response with id '{response_id[:128]}' not found.", code="response_not_found")


def _listed(item: Item, response_id: str, at: int) -> Item:
    """An input item as it is listed: with an id, and its text in parts."""
    told = {"id": f"{response_id.replace('resp', 'item', 1)}_{at}", "status": "completed", **item}
    if isinstance(told.get("content"), str):
        kind = "output_text" if told.get("role") == "assistant" else "input_text"
        told["content"] = [{"type": kind, "text": told["content"]}]
    return told
