"""`/v1/models` as Anthropic's clients read it: what a model is called there, and pages of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from router.api.errors import invalid

SHOWN: Final = "20"
MOST: Final = 1000
"""Models of a page where no `limit` is given, and at most, as at Anthropic."""

Model = dict[str, Any]


def told(model: Model) -> Model:
    """A model of OpenAI's list as Anthropic's shows one; what only Shoal says of it stays."""
    own = {key: value for key, value in model.items() if key not in ("id", "object", "created", "owned_by")}
    return {
        "type": "model", "id": model["id"], "display_name": model["id"],
        "created_at": datetime.fromtimestamp(model["created"], UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active", "max_input_tokens": model.get("context_length"), **own,
    }  # fmt: skip


def page(models: Sequence[Model], query: Mapping[str, str]) -> dict[str, Any]:
    """The models that `limit` and `after_id` or `before_id` ask for. Raises a 400 `ApiError`."""
    limit = query.get("limit", SHOWN)
    if not (limit.isascii() and limit.isdigit() and len(limit) < 10 and 1 <= int(limit) <= MOST):
        raise invalid(f"Invalid value for 'limit': 1 to {MOST}.", "limit", "invalid_value")
    after, before = (_place(models, query, name) for name in ("after_id", "before_id"))
    if after is not None and before is not None:
        raise invalid("'after_id' and 'before_id' exclude each other; give one.", "before_id", "invalid_value")
    rest = models[:before] if after is None else models[after + 1 :]
    shown = rest[: int(limit)] if before is None else rest[-int(limit) :]
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
    return {"data": [told(model) for model in shown], "has_more": len(rest) > len(shown), **ends}


def _place(models: Sequence[Model], query: Mapping[str, str], name: str) -> int | None:
    wanted = query.get(name)
    if wanted is None:
        return None
    at = next((at for at, model in enumerate(models) if model["id"] == wanted), None)
    if at is None:
        raise invalid(f"Invalid value for '{name}': '{wanted[:128]}' is no model here.", name, "invalid_value")
    return at
