"""GET /v1/models and /v1/models/{id}: what a client may write as `model`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from experts.spec import ENCODER_MODEL, AnySpec, Generative
from router.api.edge import json_response
from router.api.errors import of_anthropic, unknown_model
from router.api.messages.models import page, told
from router.live import Live
from router.snapshot import Snapshot


class Models:
    """Both endpoints."""

    def __init__(self, live: Live, started: int) -> None:
        self._live = live
        self._started = started

    async def list(self, request: Request) -> Response:
        """Every name the caller may use, the routed ones first; of experts it says which is the fallback.

        Anthropic's clients get theirs in pages. Raises a 400 `ApiError`.
        """
        if of_anthropic(request.scope):
            return json_response(page(list(self._seen(request)), request.query_params))
        return json_response({"object": "list", "data": list(self._seen(request))})

    async def get(self, request: Request) -> Response:
        """One of them. Raises a 404 `ApiError`."""
        wanted = request.path_params["model"]
        found = next((model for model in self._seen(request) if model["id"] == wanted), None)
        if found is None:
            raise unknown_model(wanted)
        return json_response(told(found) if of_anthropic(request.scope) else found)

    def _seen(self, request: Request) -> Iterator[dict[str, Any]]:
        snapshot = self._live.seen_by(request.scope["shoal"][1])
        return (model for model in self._all(snapshot) if model["id"] not in snapshot.hidden)

    def _all(self, snapshot: Snapshot) -> Iterator[dict[str, Any]]:
        registry = snapshot.registry
        for name in ("auto", *(f"auto:{policy}" for policy in registry.policies)):
            yield self._model(name, "shoal")
        # An expert may have that id, as the one that SHOAL_FALLBACK_URL names has: it is listed once, at the name.
        told = {spec.id: _told(spec) | {"fallback": spec.id == registry.fallback} for spec in registry.experts}
        for name in dict.fromkeys(("fallback", *told)):
            yield self._model(name, "shoal") | told.get(name, {})
        for alias, target in registry.aliases.items():
            yield self._model(alias, "shoal") | {"description": f"alias of {target}"}
        limit = {"context_length": snapshot.encoder.encoder.max_tokens}
        yield self._model(ENCODER_MODEL, "shoal") | {"description": "the sentence encoder, for /v1/embeddings"} | limit

    def _model(self, name: str, owner: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": owner}


def _told(spec: AnySpec) -> dict[str, Any]:
    """What is said of an expert: what it is for, how much it reads and, where a request names no limit, writes."""
    told: dict[str, Any] = {"description": spec.description, "context_length": spec.context}
    if isinstance(spec, Generative) and spec.default_max_tokens:
        told["default_max_tokens"] = spec.default_max_tokens
    return told
