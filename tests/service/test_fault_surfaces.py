"""Every surface over an upstream that goes wrong in the middle or says nothing at all, seen by official clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import orjson
import pytest

from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.upstream import Exchange, Upstream, story

EXPERT = """
  - id: {id}
    kind: openai
    description: Somewhere else
    url: {url}
    model: {id}
    params_b: 0.01
    context: 4096
    capabilities: [stream, completions]
    timeouts: {{connect_s: 1, first_byte_s: 1, idle_s: {idle_s}, total_s: 600}}
"""

WORDS = ("Hel", "lo ", "wörld 🐟")


def told(exchange: Exchange) -> list[bytes]:
    """A good stream in the words of the endpoint that was asked."""
    if exchange.path.endswith("/chat/completions"):
        return story(WORDS, exchange.body["model"])
    head = {"id": "cmpl-1", "object": "text_completion", "created": 1700000000, "model": exchange.body["model"]}
    texts = [{"text": word, "index": 0, "logprobs": None, "finish_reason": None} for word in WORDS]
    choices = [[choice] for choice in [*texts, {**texts[0], "text": "", "finish_reason": "stop"}]]
    usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    chunks = [{**head, "choices": choice} for choice in choices] + [{**head, "choices": [], "usage": usage}]
    return [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]


async def cut(exchange: Exchange) -> None:
    await exchange.stream(*told(exchange)[:3], end=False, pause_s=0.002)
    exchange.writer.close()


async def no_done(exchange: Exchange) -> None:
    await exchange.stream(*told(exchange)[:-1])


async def garbage(exchange: Exchange) -> None:
    await exchange.stream(*told(exchange)[:3], b"data: {nonsense\n\n", pause_s=0.002)


async def stall(exchange: Exchange) -> None:
    await exchange.stream(*told(exchange)[:3], end=False, pause_s=0.002)
    await exchange.gone()


def odd_usage(usage: object) -> Callable[[Exchange], Any]:
    """Usage that is none beside a middle event, and then the cut."""

    async def behave(exchange: Exchange) -> None:
        first, second, third = told(exchange)[:3]
        odd = third.replace(b"}\n\n", b',"usage":%b}\n\n' % orjson.dumps(usage))
        await exchange.stream(first, second, odd, end=False, pause_s=0.002)
        exchange.writer.close()

    return behave


async def well(exchange: Exchange) -> None:
    await exchange.stream(*told(exchange))


BROKEN: dict[str, Callable[[Exchange], Any]] = {
    "cut": cut, "no-done": no_done, "garbage": garbage, "stall": stall,
    "half-usage": odd_usage({"total_tokens": 5}), "text-usage": odd_usage("n/a"),
}  # fmt: skip


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with distant_upstream() as far, distant_upstream() as deaf:
        deaf.deaf = True
        far.behaviours.update({**BROKEN, "well": well})
        path = write_registry(tmp_path_factory.mktemp("registry"))
        experts = [entry(name, far, 0.5 if name == "stall" else 30) for name in far.behaviours]
        experts += [entry(deaf_one(surface, stream), deaf, 30) for surface in SURFACES for stream in (False, True)]
        path.write_text(path.read_text() + "".join(experts))
        yield start(path)


def entry(name: str, upstream: Upstream, idle_s: float) -> str:
    return EXPERT.format(id=name, url=upstream.url, idle_s=idle_s)


def chat(server: Server, model: str, stream: bool) -> Any:
    messages: Any = [{"role": "user", "content": "hello"}]
    with server.client() as client:
        answer: Any = client.chat.completions.create(model=model, messages=messages, stream=stream)
        return "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer


def completions(server: Server, model: str, stream: bool) -> Any:
    with server.client() as client:
        answer: Any = client.completions.create(model=model, prompt="hello", stream=stream)
        return "".join(c.choices[0].text for c in answer) if stream else answer


def responses(server: Server, model: str, stream: bool) -> Any:
    with server.client() as client:
        answer: Any = client.responses.create(model=model, input="hello", stream=stream)
        return list(answer)[-1].response.output_text if stream else answer


def messages(server: Server, model: str, stream: bool) -> Any:
    asked: Any = {"model": model, "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]}
    with anthropic.Anthropic(base_url=server.base, api_key="unused", max_retries=0) as client:
        if not stream:
            return client.messages.create(**asked)
        with client.messages.stream(**asked) as answer:
            return answer.get_final_text()


def deaf_one(surface: Callable[..., Any], stream: bool) -> str:
    """An expert for this one question: a breaker opens for one that was asked more often in vain."""
    return f"deaf-{surface.__name__}-{str(stream).lower()}"


SURFACES = [chat, completions, responses, messages]


@pytest.mark.parametrize("surface", SURFACES)
def test_a_good_stream_is_heard(server: Server, surface: Callable[..., Any]) -> None:
    assert surface(server, "well", True) == "Hello wörld 🐟"


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("surface", SURFACES)
def test_a_stream_that_goes_wrong_is_raised_on(server: Server, surface: Callable[..., Any], name: str) -> None:
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        surface(server, name, True)
    body = caught.value.body
    code = body.get("error", body)["code"] if isinstance(body, dict) else None
    assert code == ("upstream_timeout" if name == "stall" else "upstream_error")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("surface", SURFACES)
def test_a_server_that_answers_nothing_is_given_up(server: Server, surface: Callable[..., Any], stream: bool) -> None:
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        surface(server, deaf_one(surface, stream), stream)
    assert "did not answer in time" in caught.value.message
