"""The only place where an exception becomes a status and a body, in OpenAI's shape or in Anthropic's."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from starlette.exceptions import HTTPException
from starlette.types import Scope

from experts.bug import where
from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertRefused,
    ExpertTimedOut,
    ExpertUnauthorised,
    ExpertUnavailable,
    ExpertUnknown,
    RegistryBlocked,
    RegistryError,
)
from router.decide import NobodyCan, UnknownModel
from router.keys.errors import (
    BudgetSpent,
    KeyNotAllowed,
    KeysUnavailable,
    ModelNotAllowed,
    NoKey,
    NotAdmitted,
    RateLimited,
    TooManyGuesses,
)
from router.keys.key import Role
from router.meter.errors import MeterUnavailable
from router.pipeline import OnlyEmbeds
from router.registry_file import RegistryMoved
from router.store import StoreUnavailable

log = logging.getLogger("shoal.api")

_NAME: Final = re.compile("[a-z][a-z0-9_]{0,63}")

_GIVEN: Final = re.compile(r"(?:expert\b[\w.\[\]-]*|examples)(?=: )")
"""Begins what is wrong with an expert that was to be added: the place in the request's body."""

MAX_RETRY_AFTER_S = 60
"""A Node client sleeps as long as it is told, so it is never told more where it may ask again."""


@dataclass
class ApiError(Exception):
    """An answer that is an error: what the client reads in `error`, and the status beside it."""

    status: int
    message: str
    type: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    """What Anthropic's clients act on; told in its shape alone."""

    def body(self) -> bytes:
        """The JSON body; all four keys, always."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return orjson.dumps({"error": error})

    def event(self) -> bytes:
        """The same as one event of a stream; both official clients raise on it."""
        return b"data: " + self.body() + b"\n\n"


def of_anthropic(scope: Scope) -> bool:
    """Whether a request is one of Anthropic's API; where both APIs have the path, by the header of its clients."""
    path: str = scope["path"]
    both = path.startswith(SHARED_PATH)
    return path.startswith(ANTHROPIC_PATH) or (both and any(name == ANTHROPIC_VERSION for name, _ in scope["headers"]))


def shaped(error: ApiError, anthropic: bool, request_id: str) -> bytes:
    """The body of an answer that is an error, in the shape of the API that was asked."""
    return as_anthropic(error, request_id) if anthropic else error.body()


def shaped_event(error: ApiError, anthropic: bool, request_id: str) -> bytes:
    """The same as an event that ends a stream; the official clients raise on it."""
    return b"event: error\ndata: " + shaped(error, anthropic, request_id) + b"\n\n"


def as_anthropic(error: ApiError, request_id: str) -> bytes:
    """An error in Anthropic's shape; `param` and `code` are told beside."""
    kind = _ANTHROPIC.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    told: dict[str, Any] = {"type": kind, "message": error.message, "param": error.param, "code": error.code}
    if error.details:
        told["details"] = error.details
    return orjson.dumps({"type": "error", "error": told, "request_id": request_id})


ANTHROPIC_PATH: Final = "/v1/messages"
SHARED_PATH: Final = "/v1/models"
ANTHROPIC_VERSION: Final = b"anthropic-version"
"""The header of every request of an Anthropic client, and of no other's."""

_ANTHROPIC: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, message, param=param, code=code)


def unknown_model(model: str) -> ApiError:
    """404, in OpenAI's own words, and what there is."""
    message = (
        f"The model `{model[:256]}` does not exist or you do not have access to it. Ask for `auto`, or for a name that "
        "GET /v1/models lists; `aliases:` in registry.yaml add names."
    )
    return ApiError(404, message, code="model_not_found")


def unauthorised(message: str, code: str | None) -> ApiError:
    """401; the message never holds the key."""
    return ApiError(401, message, code=code, headers={"www-authenticate": "Bearer"})


def stopping() -> ApiError:
    """503: the server ends and can wait for this request no longer."""
    return ApiError(503, "The server is stopping. Try again.", "server_error", code="overloaded", headers=_wait(1))


def as_api_error(error: Exception) -> ApiError:
    """What the client is told of `error`. Unknown ones are our own bug: logged with where, told nothing of."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, OnlyEmbeds):
        message = f"The model `{error}` makes embeddings alone: ask it at /v1/embeddings."
        return invalid(message, "model", "unsupported_parameter")
    if isinstance(error, UnknownModel):
        return unknown_model(str(error))
    if isinstance(error, NobodyCan):
        return invalid(error.message, error.param, error.code)
    if isinstance(error, ExpertError):
        return _of_expert(error)
    if isinstance(error, StoreUnavailable):
        return _of_store(error)
    if isinstance(error, NotAdmitted | KeyNotAllowed | ModelNotAllowed | RateLimited | BudgetSpent):
        return _of_key(error)
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if isinstance(error, RegistryBlocked):
        return ApiError(503, "\n".join(error.problems), "server_error", code="registry_blocked", headers=_wait(5))
    if isinstance(error, RegistryError):
        given = _GIVEN.match(error.problems[0])
        return invalid("\n".join(error.problems), given[0] if given else "registry", "invalid_registry")
    if isinstance(error, RegistryMoved):
        message = f"The registry has changed: {error}. Read it again and make the change anew."
        return ApiError(409, message, param="version", code="registry_moved")
    log.error("bug: %s", where(error))
    return ApiError(500, "Shoal made an error. The request id helps to find it in the log.", "server_error")


def _of_store(error: StoreUnavailable) -> ApiError:
    log.log(logging.DEBUG if error.told else logging.ERROR, "%s", error)
    code, message = next(row[1:] for row in _STORE_ERRORS if isinstance(error, row[0]))
    return ApiError(503, message, "server_error", code=code, headers={"retry-after": "5"})


_STORE_ERRORS: tuple[tuple[type[StoreUnavailable], str, str], ...] = (
    (
        MeterUnavailable, "meter_unavailable",
        "The ledger cannot be read or written now, and nothing is answered unmetered. The server's log says why.",
    ),
    (KeysUnavailable, "keys_unavailable", "Keys cannot be checked now, and nobody is let in unchecked."),
    (StoreUnavailable, "store_unavailable", "What is kept on disk cannot be read or written now."),
)  # fmt: skip


def _of_key(error: NotAdmitted | KeyNotAllowed | ModelNotAllowed | RateLimited | BudgetSpent) -> ApiError:
    if isinstance(error, KeyNotAllowed):
        return ApiError(403, _ROLES[error.role], code="key_not_allowed")
    if isinstance(error, ModelNotAllowed):
        return ApiError(403, f"Your key may not use the model `{str(error)[:256]}`.", code="model_not_allowed")
    if isinstance(error, BudgetSpent):
        message = f"The budget of your key for today, in {error.unit}, is spent. It begins anew at 00:00 UTC."
        # Clients that would sleep through it are told not to ask again.
        headers = {"retry-after": str(math.ceil(error.retry_after_s)), "x-should-retry": "false"}
        return ApiError(429, message, "insufficient_quota", code="insufficient_quota", headers=headers)
    if isinstance(error, RateLimited):
        message = f"Rate limit reached: {error.limit} {error.unit} per minute. Try again later."
        return ApiError(429, message, error.unit, code="rate_limit_exceeded", headers=_wait(error.retry_after_s))
    if isinstance(error, TooManyGuesses):
        message = "Too many wrong API keys came from your address. Try again later."
        return ApiError(429, message, "requests", code="rate_limit_exceeded", headers=_wait(error.retry_after_s))
    if isinstance(error, NoKey):
        return unauthorised(f"{error} Send it as: Authorization: Bearer YOUR_KEY", None)
    return unauthorised(str(error), "invalid_api_key")


_ROLES: Final[dict[Role, str]] = {
    "inference": "Your key is for models; this needs an admin key: SHOAL_ADMIN_KEY, or shoal keys create NAME --admin.",
    "figures": "Your key reads figures (/v1/meter, /v1/dashboard, /metrics) and opens nothing else. A key for "
    "models is made with shoal keys create NAME, one for /admin with --admin.",
    "admin": "Your key opens /admin and reads figures; it calls no model. A key for models is made "
    "with shoal keys create NAME.",
}
"""What is told to who came with a right key of this role, to a door that is for others."""


def _wait(seconds: float) -> dict[str, str]:
    return {"retry-after": str(min(MAX_RETRY_AFTER_S, max(1, math.ceil(seconds))))}


def _of_expert(error: ExpertError) -> ApiError:
    if isinstance(error, ExpertRefused):
        status = error.status if error.status in _REFUSALS else 400
        return ApiError(status, error.message, param=error.param, code=error.code)
    if isinstance(error, ExpertOverloaded):
        headers = _wait(error.retry_after_s or 1)
        message = f"The expert `{error.expert}` has no room now. Try again in {headers['retry-after']} s."
        return ApiError(503, message, "server_error", code="overloaded", headers=headers)
    status, code, what = next(row[1:] for row in _EXPERT_ERRORS if isinstance(error, row[0]))
    # The details may hold paths: they are in the operator's log, not for the client.
    headers = {"retry-after": "1"} if status == 503 else {}
    return ApiError(status, f"The expert `{error.expert}` {what}.", "server_error", code=code, headers=headers)


_REFUSALS: Final = (400, 413)
"""Statuses of an upstream that are told as they are. Others mean something else here, or nothing to clients: 409
is one that they send again, 422 one that OpenAI never says."""

_LOG = "if it stays so, the server's log says why"

_EXPERT_ERRORS: tuple[tuple[type[ExpertError], int, str, str], ...] = (
    (
        ExpertUnknown, 503, "upstream_unavailable",
        "is not where the registry says: a server answers there and knows no such model or address. Whoever runs Shoal "
        "has to correct its `model` or `url`",
    ),
    (ExpertUnavailable, 503, "upstream_unavailable", f"cannot be reached now. Try again later; {_LOG}"),
    (
        ExpertTimedOut, 504, "upstream_timeout",
        "did not answer in time. Try again, or ask for less; whoever runs Shoal sets its `timeouts`",
    ),
    (
        ExpertUnauthorised, 502, "upstream_auth",
        "refused the key this server has for it. Whoever runs Shoal has to set another (`key_env`)",
    ),
    (ExpertFailed, 502, "upstream_error", f"broke off or sent something that is no answer. Try again; {_LOG}"),
    (ExpertError, 502, "upstream_error", f"failed. Try again; {_LOG}"),
)  # fmt: skip


def _of_framework(error: HTTPException) -> ApiError:
    listed = "GET /openapi.json lists what is here."
    if error.status_code == 404:
        # Whoever changes a base URL gets this first, one /v1 too few or too many.
        bases = "Base URLs end in /v1 for OpenAI's clients and come without it for Anthropic's"
        return ApiError(404, f"Unknown URL. {bases}. {listed}", code="unknown_url")
    if error.status_code == 405:
        return ApiError(405, f"This method is not supported at this URL. {listed}", code="method_not_supported")
    return ApiError(error.status_code, str(error.detail))


def error_code(error: BaseException) -> str:
    """The short name the ledger keeps of a failure; an upstream's own only where it is a name."""
    if isinstance(error, ExpertRefused):
        return error.code if error.code and _NAME.fullmatch(error.code) else f"refused_{error.status}"
    if isinstance(error, Exception):
        answer = as_api_error(error)
        return answer.code or answer.type
    return type(error).__name__
