"""POST /v1/completions: go on with a text. Inside it is a chat whose message is the prompt, asked as a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from starlette.types import Scope

from experts.errors import ExpertFailed
from experts.wire import DONE, MAX_CHOICES, Event, Events, Prompt, choices_of
from router.api.chat_meaning import check_bias, check_stream_options
from router.api.chat_schema import Bias, Part, Penalty, StreamOptions, Text, Tokens
from router.api.complaint import empty_array
from router.api.errors import ApiError, invalid
from router.api.surface import Surface, last_events, retry_count
from router.api.validate import Checker
from router.pipeline import Closing, Opening, Pipeline, Reply
from router.request import ChatRequest

DEFAULT_MAX_TOKENS: Final = 16
MAX_PROMPTS: Final = 128

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
_TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
Stop = (
    Annotated[str, Field(min_length=1)]
    | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=4)]
)


class CompletionBody(Part):
    """The body of POST /v1/completions. Every optional field takes null for its default."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    prompt: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)]
        | _TokenIds
        | Annotated[list[_TokenIds], Field(min_length=1, max_length=MAX_PROMPTS, fail_fast=True)]
    )
    best_of: Annotated[int, Field(ge=1, le=20)] | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Bias | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    max_tokens: Tokens | None = None
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    suffix: Text | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    user: str | None = None


_CHECKER: Final = Checker(CompletionBody)
_OURS: Final = frozenset({"prompt", "best_of", "echo", "logprobs", "n", "user"})


class CompletionWording:
    """See `router.api.surface.Wording`."""

    def __init__(self, request: ChatRequest, choices: int, echo: bool, logprobs: bool) -> None:
        self.request = request
        self._logprobs = logprobs
        self._choices = choices
        """Of each prompt; the best of those that were asked for."""
        self._echo = echo
        self._expert = ""
        self._echoed: set[int] = set()
        self._offsets: dict[int, int] = {}

    async def whole(self, reply: Reply) -> dict[str, Any]:
        asked = self.request.body.get("n") or 1
        told: list[dict[str, Any]] = []
        for at in range(0, len(reply.body["choices"]), asked):
            told += self._best(reply.body["choices"][at : at + asked])
        choices = [
            self._choice(choice, choice["message"].get("content") or "", index) for index, choice in enumerate(told)
        ]
        head = {**reply.body, "id": _id(reply.body), "object": "text_completion"}
        return {**head, "choices": choices, "shoal": reply.receipt.to_json()}

    def _best(self, choices: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(choices) > self._choices:
            choices = sorted(choices, key=_likelihood, reverse=True)
        return choices[: self._choices]

    def opened(self, opening: Opening) -> bytes:
        self._expert = opening.expert
        return b""

    def said(self, events: Events) -> bytes:
        return b"".join(map(self._event, events))

    async def closed(self, closing: Closing) -> bytes:
        events = last_events(closing, self.request)
        events[-1] = Event.of({**events[-1].chunk, "shoal": closing.receipt.to_json()})
        return b"".join(map(self._event, events)) + DONE

    async def failed(self, error: ApiError) -> bytes:
        return error.event()

    def _event(self, event: Event) -> bytes:
        chunk = event.chunk
        choices = [
            self._choice(choice, choice["delta"].get("content") or "", choice.get("index") or 0)
            for choice in choices_of(event, self._expert)
        ]
        told: dict[str, Any] = {**chunk, "id": _id(chunk), "object": "text_completion", "choices": choices}
        if self.request.include_usage:
            told.setdefault("usage", None)
        return b"data: " + orjson.dumps(told) + b"\n\n"

    def _choice(self, choice: dict[str, Any], text: str, index: int) -> dict[str, Any]:
        told = choice.get("logprobs") if self._logprobs else None
        logprobs = _lists(told, self._offsets.get(index, 0))
        self._offsets[index] = self._offsets.get(index, 0) + len(text)
        if self._echo and index not in self._echoed:
            self._echoed.add(index)
            text = f"{self._prompt(index)}{text}"
        return {"text": text, "index": index, "logprobs": logprobs, "finish_reason": choice.get("finish_reason")}

    def _prompt(self, index: int) -> Prompt:
        prompts, at = self.request.prompts, index // self._choices
        if not 0 <= at < len(prompts):
            raise ExpertFailed(self._expert, f"the upstream sent a choice {index}, which nobody asked for")
        return prompts[at]


def completions(pipeline: Pipeline, max_body_bytes: int, strict: bool) -> Surface:
    """The endpoint."""

    async def read(scope: Scope, body: object) -> CompletionWording:
        return _read(scope, _CHECKER.check(body, strict))

    return Surface(pipeline, max_body_bytes, read)


def _read(scope: Scope, given: dict[str, Any]) -> CompletionWording:
    body = {key: value for key, value in given.items() if value is not None}
    prompts = _prompts(body["prompt"])
    _check_meaning(body, prompts)
    choices = body.get("n") or 1
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    known = {key: value for key, value in body.items() if key in _CHECKER.known and key not in _OURS}
    known["messages"] = [{"role": "user", "content": max(texts, key=len, default="")}]
    known.setdefault("max_tokens", DEFAULT_MAX_TOKENS)
    asked = max(choices, body.get("best_of") or 1)
    if asked > 1:
        known["n"] = asked
    if "logprobs" in body or asked > choices:
        known["logprobs"] = True
        if body.get("logprobs"):
            known["top_logprobs"] = body["logprobs"]
    request_id, key_id = scope["shoal"]
    ignored = tuple(key for key in given if key not in _CHECKER.known)
    request = ChatRequest(
        request_id,
        known,
        key_id,
        retry_count(scope),
        ignored,
        endpoint="completions",
        prompts=prompts,
        names={"messages": "prompt"},
    )
    return CompletionWording(request, choices, bool(body.get("echo")), "logprobs" in body)


def _prompts(prompt: Any) -> Sequence[Prompt]:
    """What was sent as one or as several, as several."""
    if isinstance(prompt, str):
        return [prompt]
    return [prompt] if prompt and isinstance(prompt[0], int) else list(prompt)


def _check_meaning(body: dict[str, Any], prompts: Sequence[Prompt]) -> None:
    if not prompts:
        raise empty_array("prompt")
    if "stream_options" in body:
        check_stream_options(body)
    if "logit_bias" in body:
        check_bias(body)
    choices, best_of = body.get("n") or 1, body.get("best_of")
    if best_of is not None and best_of < choices:
        raise invalid(f"'best_of' must be at least 'n': {best_of} is less than {choices}.", "best_of", "invalid_value")
    if best_of is not None and best_of > choices and body.get("stream"):
        raise invalid("'best_of' cannot be streamed: the best is known only at the end.", "best_of")
    if len(prompts) * max(choices, best_of or 1) > MAX_CHOICES:
        raise invalid(f"Prompts times choices must be at most {MAX_CHOICES}.", "prompt", "array_above_max_length")
    if body.get("echo") and "logprobs" in body:
        message = "'echo' with 'logprobs' is not supported: experts tell no log-probabilities of a prompt."
        raise invalid(message, "logprobs", "unsupported_parameter")
    if body.get("echo") and not all(isinstance(prompt, str) for prompt in prompts):
        raise invalid("'echo' needs the prompt as text.", "echo", "unsupported_parameter")


def _likelihood(choice: dict[str, Any]) -> float:
    """Mean log-probability of the tokens, as OpenAI defines the best."""
    content = (choice.get("logprobs") or {}).get("content") or []
    return sum(token["logprob"] for token in content) / len(content) if content else float("-inf")


def _lists(logprobs: dict[str, Any] | None, offset: int) -> dict[str, Any] | None:
    """Log-probabilities as four parallel lists; the chosen token is always among the top ones."""
    if not logprobs:
        return None
    tokens = logprobs.get("content") or []
    told: dict[str, Any] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    for token in tokens:
        told["tokens"].append(token["token"])
        told["token_logprobs"].append(token["logprob"])
        top = {other["token"]: other["logprob"] for other in token.get("top_logprobs") or ()}
        told["top_logprobs"].append({**top, token["token"]: token["logprob"]})
        told["text_offset"].append(offset)
        offset += len(token["token"])
    return told


def _id(body: dict[str, Any]) -> str:
    return f"cmpl-{str(body.get('id') or '').removeprefix('chatcmpl-')}"
