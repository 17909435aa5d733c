"""An upstream that keeps its own books, and clients of every kind: the ledger must say the same, to the integer."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yaml

from tests.service.server import POEMS, RECIPES, ROOT, rows
from tests.upstream import Exchange, Upstream, chunk, completion, event

KINDS = {
    "whole": 30, "stream": 25, "bare": 12, "fails": 10, "fails_everywhere": 5, "refused": 4, "cut": 6,
    "leaves_stream": 5, "leaves_whole": 3, "again": 5, "uncounted": 6,
}  # fmt: skip
"""What happens to a request, and how often."""

PRICES = {
    "poet": ("0.15", "0.075", "0.60", "0.1875"), "cook": ("0.10", "0.10", "0.40", "0.10"),
    "big": ("2.50", "1.25", "10.00", "2.50"),
}  # fmt: skip
"""Dollars per million tokens of input, cached input, output and input written into a cache, as the upstream bills."""

Tokens = tuple[int, int, int, int, int]
"""Input, output, of it cached, reasoning and written into a cache."""

NOTHING = (0, 0, 0)

USD_PER_KWH = Decimal("0.30")
"""What the router's electricity costs, by a bill that the upstream knows nothing of."""

TOPICS = [*POEMS, *RECIPES, "explain the halting problem", "why is the sky blue", "sum up the French revolution"]


@dataclass(frozen=True)
class Entry:
    """One line of the upstream's books."""

    tag: int
    expert: str
    status: str
    input: int
    output: int
    cached: int
    reasoning: int
    written: int

    @property
    def nusd(self) -> int:
        """What it bills, rounded once to the nano-dollar."""
        fresh, cached, out, written = map(Decimal, PRICES[self.expert])
        exact = (self.input - self.cached - self.written) * fresh + self.cached * cached + self.output * out
        exact += self.written * written
        return int((exact * 1000).quantize(Decimal(1), ROUND_HALF_UP))


@dataclass
class Plan:
    """What shall happen to one request."""

    tag: int
    kind: str
    model: str
    text: str
    usage: Tokens
    words: int

    @property
    def wire(self) -> str:
        """As it travels to the upstream, in a field that Shoal passes on."""
        return json.dumps([self.tag, self.kind, self.usage, self.words])


@dataclass
class Seen:
    """What a client was told of one request."""

    status: int
    request_id: str = ""
    usage: dict[str, Any] | None = None
    shoal: dict[str, Any] | None = None
    error: str = ""
    replayed: bool = False


@dataclass
class Books:
    """Everything the upstream and the clients noted."""

    entries: list[Entry] = field(default_factory=list)
    seen: dict[int, Seen] = field(default_factory=dict)
    arrived: dict[int, asyncio.Event] = field(default_factory=dict)
    replays: list[tuple[Seen, Seen]] = field(default_factory=list)
    """What a client was told when it sent the same again under one Idempotency-Key: nobody works or pays twice."""

    async def answer(self, exchange: Exchange) -> None:
        """Do what the plan says, and write it down first."""
        tag, kind, usage, words = json.loads(exchange.body["stop"][0])
        expert = exchange.body["model"].removesuffix("-m")
        # Where nobody was told a usage both sides count: characters over four.
        prompt = sum(len(message["content"]) for message in exchange.body["messages"]) // 4
        if kind in ("fails_everywhere", "refused") or (kind == "fails" and expert != "big"):
            self._note(tag, expert, "error", (0, 0, *NOTHING))
            status = 400 if kind == "refused" else 500
            error = {"message": "no", "type": "invalid_request_error", "param": "messages", "code": "bad"}
            await exchange.send(orjson.dumps({"error": error}), status)
        elif kind == "leaves_whole":
            self._note(tag, expert, "unheard", (prompt, 0, *NOTHING))
            self.arrived[tag].set()
            await exchange.gone()
        elif exchange.body.get("stream"):
            await self._stream(exchange, tag, kind, expert, usage, words)
        else:
            text, uncounted = "word " * words, kind == "uncounted"
            self._note(tag, expert, "ok", (prompt, len(text) // 4, *NOTHING) if uncounted else usage)
            answer = completion(exchange.body["model"], text) | {"usage": None if uncounted else told(usage)}
            await exchange.send(orjson.dumps(answer))

    async def _stream(self, exchange: Exchange, tag: int, kind: str, expert: str, usage: Tokens, words: int) -> None:
        model = exchange.body["model"]
        said = [chunk({"role": "assistant", "content": ""}, model=model)]
        said += [chunk({"content": f"w{n} "}, model=model) for n in range(words)]
        # Where nobody was told a usage both sides count: characters of the prompt over four, and events with words.
        prompt = sum(len(message["content"]) for message in exchange.body["messages"]) // 4
        if kind in ("cut", "leaves_stream"):
            status = "partial" if kind == "cut" else "cancelled"
            self._note(tag, expert, status, (prompt, words, *NOTHING))
            await exchange.stream(*map(event, said), end=False)
            if kind == "leaves_stream":
                await exchange.gone()
            exchange.writer.close()
            return
        last = [chunk({}, "stop", model=model)]
        if kind == "uncounted":
            usage = (prompt, words, *NOTHING)
        else:
            last.append({**chunk({}, model=model), "choices": [], "usage": told(usage)})
        self._note(tag, expert, "ok", usage)
        await exchange.stream(*map(event, [*said, *last]), b"data: [DONE]\n\n")

    def _note(self, tag: int, expert: str, status: str, usage: Tokens) -> None:
        self.entries.append(Entry(tag, expert, status, *usage))


def told(usage: Tokens) -> dict[str, Any]:
    """Usage as OpenAI writes it."""
    given, made, cached, reasoning, written = usage
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def plans(count: int, seed: int = 0) -> Iterator[Plan]:
    """Requests of every kind, in random order."""
    draw = random.Random(seed)  # noqa: S311
    for tag in range(count):
        (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
        given, made = draw.randrange(3, 5000), draw.randrange(1, 2000)
        usage = (given, made, draw.choice([0, 0, given // 3]), draw.choice([0, made // 2]), given // 4 * (tag % 2))
        model = draw.choice(["auto", "auto", "auto", "poet", "cook", "fallback"])
        yield Plan(tag, kind, model, draw.choice(TOPICS), usage, draw.randrange(2, 40))


async def drive(books: Books, base: str, todo: Iterator[Plan], clients: int = 24) -> None:
    """Send every request, so many at a time; one that failed is tried once more, as clients do."""
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def client() -> None:
            for plan in todo:
                headers = {"idempotency-key": f"books-{plan.tag}"} if plan.kind == "again" else None
                seen = books.seen[plan.tag] = await ask(books, session, plan, headers)
                if plan.kind == "again" and seen.status == 200:
                    books.replays.append((seen, await ask(books, session, plan, headers)))
                if plan.kind == "fails_everywhere":
                    again = Plan(plan.tag + 1_000_000, "whole", plan.model, plan.text, plan.usage, plan.words)
                    books.seen[again.tag] = await ask(books, session, again, {"x-stainless-retry-count": "1"})

        await asyncio.gather(*[client() for _ in range(clients)])


async def ask(books: Books, session: aiohttp.ClientSession, plan: Plan, headers: dict[str, str] | None = None) -> Seen:
    """One request, as its plan wants it."""
    body: dict[str, Any] = {
        "model": plan.model, "messages": [{"role": "user", "content": plan.text}], "stop": [plan.wire],
    }  # fmt: skip
    either = plan.kind in ("fails", "uncounted")
    if plan.kind in ("stream", "bare", "cut", "leaves_stream") or (either and plan.tag % 2):
        body["stream"] = True
    if plan.kind == "stream" or either:
        body |= {"stream_options": {"include_usage": True}} if body.get("stream") else {}
    books.arrived[plan.tag] = asyncio.Event()
    asked = session.post("/v1/chat/completions", json=body, headers=headers)
    if plan.kind == "leaves_whole":
        task = asyncio.ensure_future(asked.__aenter__())
        arrived = asyncio.ensure_future(books.arrived[plan.tag].wait())
        await asyncio.wait({task, arrived}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (task, arrived):
            waiting.cancel()
        await asyncio.wait({task, arrived})
        if not task.cancelled() and task.exception() is None:
            task.result().close()  # it was refused before anybody was asked
        return Seen(0)
    async with asked as answer:
        seen = Seen(answer.status, answer.headers["x-request-id"])
        seen.replayed = answer.headers.get("x-shoal-replayed") == "true"
        if answer.status != 200:
            seen.error = (await answer.json())["error"]["code"]
        elif body.get("stream"):
            await _listen(plan, answer, seen)
        else:
            whole = await answer.json()
            seen.usage, seen.shoal = whole["usage"], whole["shoal"]
    return seen


async def _listen(plan: Plan, answer: aiohttp.ClientResponse, seen: Seen) -> None:
    """Read a stream to its end, or leave after the last word that will come."""
    words = 0
    async for line in answer.content:
        if not line.startswith(b"data: {"):
            continue
        told_now = orjson.loads(line[6:])
        if "error" in told_now:
            seen.error = told_now["error"]["code"]
            return
        seen.usage = told_now.get("usage") or seen.usage
        seen.shoal = told_now.get("shoal") or seen.shoal
        words += any(choice["delta"].get("content") for choice in told_now["choices"])
        if plan.kind == "leaves_stream" and words == plan.words:
            answer.close()
            return


def write_registry(folder: Path, upstream: Upstream) -> Path:
    """Three experts, all at the upstream, each charged in another way."""
    rows(folder / "poems.jsonl", [{"input": text} for text in POEMS])
    rows(folder / "recipes.jsonl", [{"input": text} for text in RECIPES])
    day = {"source": "its bill", "as_of": "2026-11-01"}
    shared = {"kind": "openai", "url": upstream.url, "context": 65536, "description": "x", "capabilities": ["stream"]}
    mid = {"input_usd_per_mtok": 0.15, "output_usd_per_mtok": 0.6, "cached_usd_per_mtok": 0.075, **day}
    mid["cache_write_usd_per_mtok"] = 0.1875
    low = {"input_usd_per_mtok": 0.1, "output_usd_per_mtok": 0.4, **day}
    experts = [
        {"id": "poet", "model": "poet-m", "params_b": 0.1, "examples": "poems.jsonl", "price": mid, **shared},
        {"id": "cook", "model": "cook-m", "params_b": 0.2, "examples": "recipes.jsonl", "price": low, **shared},
        {"id": "big", "model": "big-m", "params_b": 8, "list_price": "openai/gpt-4o", **shared},
    ]
    given = yaml.safe_load((ROOT / "registry.yaml").read_text())
    encoder = {**given["encoder"], "path": str(ROOT / given["encoder"]["path"])}
    policies, power = {"balanced": {"threshold": 0.6}}, {**given["power"], "usd_per_kwh": float(USD_PER_KWH)}
    told_all = {
        "version": 1, "encoder": encoder, "fallback": "big", "policies": policies, "power": power,
        "savings": {"holdback": 0}, "experts": experts,
    }  # fmt: skip
    path = folder / "registry.yaml"
    path.write_text(json.dumps(told_all, default=str))
    return path


def totals(entries: list[Entry]) -> Counter[tuple[str, str, str]]:
    """Counts, tokens and money by expert and by how it ended."""
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in entries:
        for name in ("input", "output", "cached", "reasoning", "written", "nusd"):
            found[entry.expert, entry.status, name] += getattr(entry, name)
        found[entry.expert, entry.status, "count"] += 1
    return found
