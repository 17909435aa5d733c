"""POST /v1/route: who would answer and why; nothing is generated, nothing recorded. The same path as real requests."""

from __future__ import annotations

import asyncio

import orjson
from starlette.types import Receive, Scope, Send

from router.api.body import ClientLeft, read_json
from router.api.chat import chat_request
from router.api.edge import send_json
from router.explain import explain
from router.pipeline import Pipeline


class Route:
    """The endpoint, as a plain ASGI application."""

    def __init__(self, pipeline: Pipeline, max_body_bytes: int) -> None:
        self._pipeline = pipeline
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            request = chat_request(scope, await read_json(scope, receive, self._max_body_bytes))
        except ClientLeft:
            return
        choice = await self._pipeline.choose(request)
        told = await asyncio.to_thread(explain, choice)  # other promises are tried for it, which takes its time
        await send_json(send, orjson.dumps(told))
