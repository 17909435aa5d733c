"""The endpoints that generate, and those that read what they have stored."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from router.api.chat import chat_completions
from router.api.completions import completions
from router.api.messages.endpoint import count_tokens, messages
from router.api.responses.endpoint import Forget, Responses
from router.api.responses.store import ResponseStore
from router.pipeline import Pipeline
from router.settings import Settings


class Surfaces:
    """Every surface over one pipeline."""

    def __init__(self, pipeline: Pipeline, settings: Settings, forget: Forget) -> None:
        """`forget` is told of deleted responses."""
        limit, strict = settings.max_body_bytes, settings.strict
        self._store = ResponseStore(settings.responses_path, settings.responses_days)
        self._responses = Responses(pipeline, limit, strict, self._store, forget)
        self.hot: dict[tuple[str, str], ASGIApp] = {
            ("POST", "/v1/chat/completions"): chat_completions(pipeline, limit, strict),
            ("POST", "/v1/completions"): completions(pipeline, limit, strict),
            ("POST", "/v1/responses"): self._responses.create,
            ("POST", "/v1/responses/input_tokens"): self._responses.input_tokens,
            ("POST", "/v1/messages"): messages(pipeline, limit, strict),
            ("POST", "/v1/messages/count_tokens"): count_tokens(pipeline, limit, strict),
        }
        """By method and path."""

    def routes(self) -> list[BaseRoute]:
        """What is asked less often."""
        responses = self._responses
        return [
            Route("/v1/responses/{id}", responses.get, methods=["GET"]),
            Route("/v1/responses/{id}", responses.delete, methods=["DELETE"]),
            Route("/v1/responses/{id}/input_items", responses.input_items),
            Route("/v1/responses/{id}/cancel", responses.cancel, methods=["POST"]),
        ]

    async def aclose(self) -> None:
        """Close what is stored."""
        await self._store.aclose()
