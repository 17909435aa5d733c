"""The one generative wire path: any server that speaks OpenAI's completions, a local child or a remote one."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from experts.answer_limit import AnswerLimit
from experts.errors import ExpertFailed, ExpertUnauthorised
from experts.http.chunks import ChunkStream, as_stream
from experts.http.embedding import vectors_in
from experts.http.parts import join
from experts.http.reading import reading
from experts.http.refusal import from_status, from_stream
from experts.http.text import as_chat, text_request
from experts.http.upstream import MODELS, Answer, Upstream
from experts.spec import Timeouts
from experts.wire import MAX_CHOICES, MAX_TOKENS, Call, Completion, Event, Events, Prompt, Usage, call_id, is_framed


class OpenAIExpert:
    """An expert behind an OpenAI-compatible server; see `experts.protocol.Expert`.

    `base_url` ends in /v1, maybe with a query behind it; `model` is the name the server knows; `key` is sent as a
    bearer token and never shown.
    `fingerprint` is told in place of the server's own `system_fingerprint`, where that says nothing of the model;
    `limit` is how long an answer may get whose request does not say.
    Raises ExpertUnauthorised for a key that no HTTP header can carry.
    """

    def __init__(
        self,
        expert_id: str,
        base_url: str,
        model: str,
        *,
        key: str | None = None,
        timeouts: Timeouts,
        unix_socket: Path | None = None,
        max_concurrency: int = 64,
        fingerprint: str | None = None,
        limit: AnswerLimit | None = None,
    ) -> None:
        self.id = expert_id
        self._fingerprint = fingerprint
        self._limit = limit
        self._model = model
        self._key = key = key.strip() if key else None
        if key and not (key.isascii() and key.isprintable()):
            raise ExpertUnauthorised(expert_id, "the key holds characters that no key has; look for a line break in it")
        self._upstream = Upstream(expert_id, base_url, key, timeouts, unix_socket, max_concurrency)

    async def complete(self, call: Call) -> Completion:
        """The whole answer, its `model` set to the expert's id. Raises ExpertError."""
        body = {**self._limited(call.body), "model": self._model, "stream": False}
        body.pop("stream_options", None)
        answer = await self._ask(call, body, whole=True)
        with reading(answer, self.id):
            return self._completion(await answer.read_all(), call)

    async def stream(self, call: Call) -> AsyncGenerator[Events, None]:
        """The answer as it is made; the last event carries usage and no choices. Raises ExpertError."""
        options = {**(call.body.get("stream_options") or {}), "include_usage": True}
        body = {**self._limited(call.body), "model": self._model, "stream": True, "stream_options": options}
        answer = await self._ask(call, body, whole=False)
        with reading(answer, self.id):
            kind = answer.header("content-type") or ""
            if "json" in kind:  # it does not stream
                yield as_stream(self._completion(await answer.read_all(), call))
                return
            if "html" in kind:
                raise ExpertFailed(self.id, "the upstream sent a web page instead of a stream")
            text, tools = bool(call.prompts), bool(call.body.get("tools"))
            chunks = ChunkStream(self.id, _choices(call), self._key, self._fingerprint, text, tools)
            events: list[Event] = []
            while not chunks.done and (data := await answer.read()):
                events = chunks.feed(data)
                if events and not chunks.done:
                    yield events
                    events = []
            yield [*events, *chunks.close()]
            await answer.finish()

    def _limited(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._limit.on(body) if self._limit is not None else body

    def _completion(self, raw: bytes, call: Call) -> Completion:
        whole = _completion(self.id, raw, self._key, call)
        if self._fingerprint:
            whole.body["system_fingerprint"] = self._fingerprint
        return whole

    async def embed(self, inputs: Sequence[Prompt], dimensions: int | None = None) -> tuple[NDArray[np.float32], Usage]:
        """Vectors from the server's /v1/embeddings, shape (inputs, dimensions). Raises ExpertError."""
        body: dict[str, Any] = {"model": self._model, "input": list(inputs), "encoding_format": "float"}
        if dimensions is not None:
            body["dimensions"] = dimensions
        answer = await self._well(await self._upstream.post(orjson.dumps(body), "/embeddings", whole=True))
        with reading(answer, self.id):
            return vectors_in(self.id, await answer.read_all(), len(inputs))

    async def count(self, call: Call) -> int | None:
        """Tokens of the prompt, or None: llama.cpp counts, OpenAI does not. Raises ExpertError."""
        body = {"model": self._model, "messages": call.body["messages"]}
        answer = await self._upstream.post(orjson.dumps(body), "/messages/count_tokens")
        with reading(answer, self.id):
            if answer.status in _COUNTS_NOT:
                return None
            return _counted(await (await self._well(answer)).read_all())

    async def models(self) -> list[str]:
        """The names that the server lists at /v1/models. Raises ExpertError."""
        answer = await self._upstream.models()
        with reading(answer, self.id):
            if answer.status in _NOT_THERE:
                raise ExpertFailed(self.id, f"the upstream answered {answer.status} to {MODELS}")
            return _listed(self.id, await (await self._well(answer)).read_all())

    async def aclose(self) -> None:
        """Close every connection. A second call does nothing."""
        await self._upstream.aclose()

    async def _ask(self, call: Call, body: dict[str, Any], whole: bool) -> Answer:
        """The head of an answer of 200. Raises ExpertError for any other."""
        if call.prompts:
            told = orjson.dumps(text_request(body, call.prompts))
            return await self._well(await self._upstream.post(told, "/completions", whole=whole))
        return await self._well(await self._upstream.post(orjson.dumps(body), whole=whole))

    async def _well(self, answer: Answer) -> Answer:
        """The same answer, of 200. Raises ExpertError for any other, which is closed."""
        if answer.status == 200:
            return answer
        with reading(answer, self.id):
            raise from_status(self.id, answer.status, await answer.read_all(), answer.header, self._key)


_NOT_THERE: Final = (404, 405, 501)
"""Of a list of models they say that there is none, not that the server is down."""

_COUNTS_NOT: Final = (*_NOT_THERE, 400, 401, 403, 422)
"""It counts no tokens, or not of such a prompt, or lets nobody in where it has no path. It answers chats all the same,
so counting, which any client may ask for, must not close it to everybody."""


def _listed(expert: str, raw: bytes) -> list[str]:
    try:
        listed = orjson.loads(raw)["data"]
        names = [str(each["id"]) for each in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        names, listed = [], None
    if not isinstance(listed, list):
        raise ExpertFailed(expert, "the upstream sent no list of models")
    return names


def _counted(raw: bytes) -> int | None:
    try:
        counted = int(orjson.loads(raw)["input_tokens"])
    except (orjson.JSONDecodeError, KeyError, OverflowError, TypeError, ValueError):
        return None
    return counted if 0 <= counted <= MAX_TOKENS else None


def _completion(expert: str, raw: bytes, key: str | None, call: Call) -> Completion:
    """What was answered to `call` with 200, as a completion. Raises ExpertFailed, or ExpertRefused if it says so."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise ExpertFailed(expert, f"the upstream sent {len(raw)} bytes that are not JSON") from None
    if isinstance(body, dict) and body.get("error"):
        raise from_stream(expert, body["error"], key)
    try:
        body = as_chat(body) if call.prompts else body
    except (AttributeError, TypeError):
        raise ExpertFailed(expert, "the upstream sent JSON that is no text completion") from None
    if isinstance(body, dict):
        join(body.get("choices"), "message")
    if not _is_completion(body, any(tool.get("type") == "custom" for tool in call.body.get("tools") or ())):
        raise ExpertFailed(expert, "the upstream sent JSON that is no chat.completion")
    if len(body["choices"]) > _choices(call):
        raise ExpertFailed(expert, f"the upstream sent more choices than the {_choices(call)} that were asked for")
    usage = Usage.read(body.get("usage"))
    body |= {"object": "chat.completion", "model": expert, "usage": usage.to_openai(body.get("usage"))}
    _fill_in(body, id="", created=int(time.time()))
    body.pop("timings", None)
    for position, choice in enumerate(body["choices"]):
        _complete_choice(choice, position)
    return Completion(body, usage)


def _choices(call: Call) -> int:
    """How many answers are asked for in all."""
    return (call.body.get("n") or 1) * max(1, len(call.prompts))


def _complete_choice(choice: dict[str, Any], position: int) -> None:
    """Add what OpenAI always says and many a server leaves out."""
    message = choice["message"]
    _fill_in(choice, index=position, logprobs=None)
    _fill_in(message, role="assistant", content=None, refusal=None)
    for call in message.get("tool_calls") or ():
        call["id"] = call.get("id") or call_id()
        function = call.get("function")
        if function is not None and function.get("arguments") is None:
            function["arguments"] = "{}"
    if not choice.get("finish_reason"):
        choice["finish_reason"] = "tool_calls" if message.get("tool_calls") else "stop"


def _fill_in(told: dict[str, Any], **usual: Any) -> None:
    """Add what is not there, or null."""
    told |= {name: value for name, value in usual.items() if told.get(name) is None}


def _is_completion(body: Any, custom: bool) -> bool:
    """Whether it is a chat completion, with calls of custom tools only where `custom` ones were offered."""
    if not isinstance(body, dict) or body.get("object", "chat.completion") != "chat.completion":
        return False
    choices = body.get("choices")
    return (
        isinstance(choices, list)
        and 0 < len(choices) <= MAX_CHOICES
        and all(_is_choice(each, custom) for each in choices)
    )


def _is_choice(choice: Any, custom: bool) -> bool:
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        return False
    message, calls = choice["message"], choice["message"].get("tool_calls")
    return (
        bool(message)
        and is_framed(choice)
        and isinstance(message.get("refusal"), str | None)
        and isinstance(message.get("content"), str | None)
        and (calls is None or (isinstance(calls, list) and all(_is_call(each, custom) for each in calls)))
    )


def _is_call(call: Any, custom: bool) -> bool:
    """Whether it is a tool call; one of a `custom` tool, which has no function, is passed on as it is."""
    if not isinstance(call, dict):
        return False
    function = call.get("function")
    if function is None:
        return custom
    return (
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str | None)
    )
