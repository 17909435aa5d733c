"""The endpoints that generate, each by its method and path."""

from __future__ import annotations

from starlette.types import ASGIApp

from router.api.chat import chat_completions
from router.api.completions import completions
from router.pipeline import Pipeline
from router.settings import Settings


def surfaces(pipeline: Pipeline, settings: Settings) -> dict[tuple[str, str], ASGIApp]:
    """Every surface over one pipeline."""
    limit, strict = settings.max_body_bytes, settings.strict
    return {
        ("POST", "/v1/chat/completions"): chat_completions(pipeline, limit, strict),
        ("POST", "/v1/completions"): completions(pipeline, limit, strict),
    }
