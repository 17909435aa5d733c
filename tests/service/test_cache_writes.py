"""An upstream that says what it wrote into its prompt cache: told in every surface's words, kept and charged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from router.meter.ulid import ulid_bytes
from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.upstream import Exchange, chunk, completion, event

CACHING = """
  - id: caching
    kind: openai
    description: Keeps prompts
    url: {url}
    model: caching
    params_b: 0.1
    context: 8192
    capabilities: [stream]
    price:
      input_usd_per_mtok: 2
      output_usd_per_mtok: 4
      cached_usd_per_mtok: 0.2
      cache_write_usd_per_mtok: 2.5
      source: its bill
      as_of: 2026-11-01
"""
USAGE = {
    "prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1010,
    "prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300},
}  # fmt: skip
COST_NUSD = 100 * 2_000 + 600 * 200 + 300 * 2_500 + 10 * 4_000
HI = [{"role": "user", "content": "hello"}]


async def answer_from_a_cache(exchange: Exchange) -> None:
    """Whole or as a stream, with the usage of both."""
    if exchange.body.get("stream"):
        said = [chunk({"role": "assistant", "content": "hi"}, model="caching"), chunk({}, "stop", model="caching")]
        last = {**chunk({}, model="caching"), "choices": [], "usage": USAGE}
        await exchange.stream(*map(event, [*said, last]), b"data: [DONE]\n\n")
    else:
        await exchange.send(orjson.dumps({**completion("caching", "hi"), "usage": USAGE}))


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with distant_upstream() as upstream:
        upstream.behave("caching")(answer_from_a_cache)
        path = write_registry(tmp_path_factory.mktemp("registry"))
        path.write_text(path.read_text() + CACHING.format(url=upstream.url))
        yield start(path)


OPENAI = {"prompt_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300, "audio_tokens": 0}}
ANTHROPIC = {"input_tokens": 100, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300}
ASKS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": HI}, OPENAI),
    "a response": (
        "/v1/responses", {"input": "hello"},
        {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 300}},
    ),
    "a message": ("/v1/messages", {"messages": HI, "max_tokens": 50}, ANTHROPIC),
}  # fmt: skip


def charged(server: Server, request_id: str) -> tuple[int, ...]:
    query = "SELECT input_tokens, cached_tokens, cache_write_tokens, cost_nusd FROM attempts WHERE request_id = ?"
    (found,) = server.query(query, ulid_bytes(request_id))
    return found


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("what", ASKS)
def test_what_a_cache_took_is_told_and_charged(server: Server, what: str, stream: bool) -> None:
    path, body, usage = ASKS[what]
    options = {"stream_options": {"include_usage": True}} if stream and what == "chat" else {}
    asked = json.dumps({"model": "caching", "stream": stream, **body, **options}).encode()
    status, answer, headers = server.send("POST", path, asked, {"content-type": "application/json"})
    assert status == 200, answer
    lines = [line.removeprefix(b"data: ") for line in answer.split(b"\n") if line.startswith(b"data: {")]
    events = [json.loads(line) for line in lines] if stream else [json.loads(answer)]
    found = [part["usage"] for part in (each.get("response") or each for each in events) if part.get("usage")][-1]
    assert found.items() >= usage.items()
    assert charged(server, headers["x-request-id"]) == (1000, 600, 300, COST_NUSD)


def test_books_with_writes_add_up(server: Server) -> None:
    server.post("/v1/chat/completions", {"model": "caching", "messages": HI})
    assert server.report()["cache_write_tokens"] % 300 == 0 < server.report()["cache_write_tokens"]
    assert server.shoal("meter", "audit").returncode == 0
