"""llama.cpp's server as an expert: what it does otherwise than OpenAI is set right here.

It gives every choice of an `n` the same text and counts the tokens of one (seen with xllamacpp 2026.10), so each choice
is a request of its own; the usage counts a prompt once for all its choices, as OpenAI's does. Asked for
log-probabilities without alternatives it sends twenty, and where a token limit cuts a character in two it ends with
U+FFFD. It reads control tokens in what users write, shows nothing of tool calls where the model's template knows none,
binds an answer to a schema only in part (see `experts.engines.schema_grammar`), and leaves out without a word a grammar
that it cannot compile: so each is tried, once, before an answer is asked for under it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import orjson
from msgspec.structs import replace

from experts.conversation import Conversation
from experts.engines.schema_grammar import ANYTHING, bound_by
from experts.errors import ExpertUnfit
from experts.openai_http import OpenAIExpert
from experts.wire import Call, Completion, Event, Events, Prompt, Usage

_TORN = "\ufffd"
_BEGINS = frozenset('{["-0123456789tfn')
"""How JSON begins."""
_OTHER = "Z"
"""How it does not begin."""
_TRIED = 1024
"""Grammars of which is remembered whether the engine compiles them."""
_SEEDS = 2**32 - 1
"""The engine's have 32 bits, of which the last stands for a seed that it draws."""
_NAMES = {"max_completion_tokens": "max_tokens"}
"""Of parameters, under which either engine knows them; llama-cpp-python's server reads no newer one."""
_WAITING_EVENTS = 16
"""Reads of one choice that may wait for the client; its connection to the engine is not read beyond."""

T = TypeVar("T")


class LlamaCppExpert:
    """See `experts.protocol.Expert`. `server` asks the engine, which binds answers by grammars when `grammars`."""

    def __init__(self, server: OpenAIExpert, conversation: Conversation, *, grammars: bool = True) -> None:
        self._server = server
        self._conversation = conversation
        self._grammars = grammars
        self._compiled: dict[bytes, bool] = {}

    async def complete(self, call: Call) -> Completion:
        """The whole answer. Raises ExpertError."""
        wholes = await _together([self._whole(one) for one in await self._single(call)])
        for whole in wholes:
            _mend(whole.body, call)
        first, usage = wholes[0], _sum([whole.usage for whole in wholes], _count(call))
        if len(wholes) > 1:
            first.body["choices"] = [{**w.body["choices"][0], "index": at} for at, w in enumerate(wholes)]
            first.body["usage"] = usage.to_openai()
        return Completion(first.body, usage)

    async def stream(self, call: Call) -> AsyncGenerator[Events, None]:
        """The answer as it is made; events of several choices come mixed, each with its index. Raises ExpertError."""
        calls = await self._single(call)
        source = self._server.stream(calls[0]) if len(calls) == 1 else self._mixed(calls, _count(call))
        async with aclosing(source):
            async for events in source:
                yield [_trimmed(event) for event in events] if _unasked(call) else events

    async def count(self, call: Call) -> int | None:
        """Tokens of the prompt, as the engine's own template and tokenizer make them. Raises ExpertError."""
        return await self._server.count(self._told(call))

    async def aclose(self) -> None:
        """Close the connections to the engine."""
        await self._server.aclose()

    async def _mixed(self, calls: Sequence[Call], count: int) -> AsyncGenerator[Events, None]:
        arrived: asyncio.Queue[tuple[int, Events | BaseException | None]] = asyncio.Queue(_WAITING_EVENTS)
        tasks = [asyncio.create_task(self._pump(one, at, arrived)) for at, one in enumerate(calls)]
        usages: dict[int, Usage] = {}
        head: dict[str, Any] = {}
        try:
            while len(usages) < len(calls):
                at, events = await arrived.get()
                if isinstance(events, BaseException):
                    raise events
                if passed := _indexed(events or (), at, head, usages):
                    yield passed
            usage = _sum([usages[at] for at in range(len(calls))], count)
            yield [Event.of({**head, "choices": [], "usage": usage.to_openai()}, usage)]
        finally:
            await _end(tasks)

    async def _pump(
        self, call: Call, at: int, arrived: asyncio.Queue[tuple[int, Events | BaseException | None]]
    ) -> None:
        try:
            async with aclosing(self._server.stream(call)) as answer:
                async for events in answer:
                    await arrived.put((at, events))
        except Exception as error:  # raised again by the one who reads
            await arrived.put((at, error))

    async def _whole(self, call: Call) -> Completion:
        whole = await self._server.complete(call)
        choice = whole.body["choices"][0]
        if "grammar" in call.body and choice["finish_reason"] == "stop" and not call.body.get("stop"):
            try:
                orjson.loads(choice["message"]["content"] or "")
            except orjson.JSONDecodeError:
                raise self._unbound() from None
        return whole

    async def _single(self, call: Call) -> list[Call]:
        """The same call for one choice at a time, as the engine is to be asked. Raises ExpertError."""
        call = self._told(call)
        body = {_NAMES.get(name, name): value for name, value in call.body.items() if name != "n"}
        # Told the format itself, the engine lets an answer begin with a fence, and enforces few of a schema's keywords.
        if self._grammars and (grammar := bound_by(body.get("response_format") or {"type": "text"})):
            body["grammar"] = await self._binding(grammar, body.pop("response_format"))
        return _each(body, call)

    async def _binding(self, grammar: str, form: dict[str, Any]) -> str:
        """`grammar`, or where the engine cannot compile it and the client does not insist on it, that of any JSON."""
        if await self._compiles(grammar):
            return grammar
        if (form.get("json_schema") or {}).get("strict"):
            raise self._unbound()
        return ANYTHING

    async def _compiles(self, grammar: str) -> bool:
        """Whether the engine binds an answer by it: of a token it is pushed to say, and may not, it says nothing."""
        name = hashlib.sha256(grammar.encode()).digest()
        if name not in self._compiled:
            body = {"grammar": grammar, "logit_bias": {_OTHER: 100}, "temperature": 0, "max_tokens": 1}
            tried = await self._server.complete(Call(body, "", prompts=(_OTHER,)))
            said = tried.body["choices"][0]["message"]["content"].lstrip()
            if len(self._compiled) >= _TRIED:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[name] = said[:1] in _BEGINS
        return self._compiled[name]

    def _unbound(self) -> ExpertUnfit:
        why = "nothing fits it, or it is too large"
        message = f"The schema is beyond the grammar of this model: {why}. Make it simpler, or ask another model."
        return ExpertUnfit(self._server.id, message, 400, "response_format", "unsupported_parameter")

    def _told(self, call: Call) -> Call:
        if call.prompts:
            return call
        return replace(call, body={**call.body, "messages": self._conversation.told(call.body["messages"])})


def _each(body: dict[str, Any], call: Call) -> list[Call]:
    if _unasked(call):
        body["top_logprobs"] = 1
    seed = body.get("seed")
    # One seed for all choices would give one text.
    seeds = [{} if seed is None else {"seed": (seed + at) % _SEEDS} for at in range(_count(call))]
    prompts: list[tuple[Prompt, ...]] = [(prompt,) for prompt in call.prompts] or [()]
    return [Call({**body, **own}, call.request_id, call.vector, prompt) for prompt in prompts for own in seeds]


def _count(call: Call) -> int:
    """Choices of each prompt."""
    return call.body.get("n") or 1


def _unasked(call: Call) -> bool:
    """Whether log-probabilities are wanted without alternatives."""
    return bool(call.body.get("logprobs")) and not call.body.get("top_logprobs")


def _mend(body: dict[str, Any], call: Call) -> None:
    for choice in body["choices"]:
        message = choice["message"]
        if choice["finish_reason"] == "length" and isinstance(message["content"], str):
            message["content"] = message["content"].rstrip(_TORN)
        if call.body.get("logprobs"):
            choice["logprobs"] = _tidy(choice.get("logprobs"), _unasked(call))


def _tidy(logprobs: dict[str, Any] | None, bare: bool) -> dict[str, Any]:
    """Log-probabilities in OpenAI's keys; without alternatives when `bare`."""
    content = (logprobs or {}).get("content") or []
    for token in content:
        token.pop("id", None)
        token["top_logprobs"] = [] if bare else token.get("top_logprobs") or []
        for other in token["top_logprobs"]:
            other.pop("id", None)
    return {"content": content, "refusal": None}


def _trimmed(event: Event) -> Event:
    """An event without the alternatives nobody asked for."""
    if b'"top_logprobs"' not in event.raw:
        return event
    chunk = event.chunk
    for choice in chunk["choices"]:
        if choice.get("logprobs"):
            choice["logprobs"] = _tidy(choice["logprobs"], True)
    return Event.of(chunk, event.usage)


def _indexed(events: Events, at: int, head: dict[str, Any], usages: dict[int, Usage]) -> list[Event]:
    """The events of choice `at` with its index and the head all share; a usage event goes into `usages`."""
    passed: list[Event] = []
    for event in events:
        if event.usage is not None:
            usages[at] = event.usage
            continue
        if not head:
            head.update({name: value for name, value in event.chunk.items() if name != "choices"})
        passed.append(Event.of({**head, "choices": [{**choice, "index": at} for choice in event.chunk["choices"]]}))
    return passed


def _sum(usages: Sequence[Usage], count: int) -> Usage:
    """Of `count` choices for each prompt in turn. A prompt is one, and cached as far as it was for all its choices."""
    source = usages[0].source
    if source == "none" or any(usage.source != source for usage in usages):
        return Usage()
    return Usage(
        sum(usage.input for usage in usages[::count]),
        sum(usage.output for usage in usages),
        sum(min(usage.cached for usage in usages[at : at + count]) for at in range(0, len(usages), count)),
        sum(usage.reasoning for usage in usages),
        source,
    )


async def _together(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """All results in order; when one fails the others are given up."""
    if len(work) == 1:
        return [await work[0]]
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await _end(tasks)


async def _end(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
