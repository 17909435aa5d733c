"""A misbehaving upstream with experts that ask it, and what every stream must fulfil."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionChunk

from experts.openai_http import OpenAIExpert
from experts.spec import Timeouts
from experts.wire import Call, Event
from tests.upstream import USAGE, Exchange, Upstream, running

QUICK = Timeouts(connect_s=2, first_byte_s=0.3, idle_s=0.3, total_s=5)
"""For upstreams that are to be given up; one that answers may take its time on a busy machine."""
TEXT = "Hello wörld 🐟"


@dataclass
class Lab:
    """A misbehaving upstream and a way to ask it."""

    upstream: Upstream
    opened: list[OpenAIExpert] = field(default_factory=list)

    def expert(self, model: str, timeouts: Timeouts | None = None, **more: Any) -> OpenAIExpert:
        expert = OpenAIExpert("small", self.upstream.url, model, timeouts=timeouts or Timeouts(), **more)
        self.opened.append(expert)
        return expert

    def streams(self, *parts: bytes, end: bool = True, headers: dict[str, str] | None = None) -> OpenAIExpert:
        """An expert whose stream consists of `parts`, each in a packet of its own."""

        @self.upstream.behave("parts")
        async def behave(exchange: Exchange) -> None:
            if headers is not None:
                await exchange.send(b"".join(parts), headers=headers)
                return
            await exchange.stream(*parts, end=end, pause_s=0.001)
            if not end:
                exchange.writer.close()

        return self.expert("parts")

    def says(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> OpenAIExpert:
        """An expert that answers every request with `body`."""

        @self.upstream.behave("fixed")
        async def behave(exchange: Exchange) -> None:
            await exchange.send(body, status, headers or {"content-type": "application/json"})

        return self.expert("fixed")


@asynccontextmanager
async def open_lab() -> AsyncIterator[Lab]:
    """A fresh upstream; its experts are closed at the end."""
    async with running() as upstream:
        lab = Lab(upstream)
        yield lab
        for expert in lab.opened:
            await expert.aclose()


def call(**body: Any) -> Call:
    return Call({"model": "small", "messages": [{"role": "user", "content": "hi"}], **body}, "r-1")


async def events(expert: OpenAIExpert, **body: Any) -> list[Event]:
    return [event async for arrived in expert.stream(call(**body)) for event in arrived]


def text(events: list[Event], index: int = 0) -> str:
    choices = [choice for event in events for choice in event.chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices if choice["index"] == index)


def check_stream(stream: list[Event], usage: dict[str, Any] = USAGE) -> None:
    """What the protocol promises of every stream."""
    for one in stream:
        ChatCompletionChunk.model_validate(one.chunk, strict=True)
        assert one.raw.startswith(b"data: {") and one.raw.endswith(b"}\n\n") and one.raw.count(b"\n") == 2
    assert {event.chunk["model"] for event in stream} == {"small"}
    assert len({event.chunk["id"] for event in stream}) == 1
    *middle, last = stream
    assert all("usage" not in event.chunk and event.usage is None for event in middle)
    assert last.chunk["choices"] == [] and last.usage is not None
    assert {name: last.chunk["usage"][name] for name in usage} == usage
    assert any(choice["finish_reason"] for event in middle for choice in event.chunk["choices"])
