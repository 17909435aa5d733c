"""Text completions, as the official client sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.service.server import ROOT, Server

REPLY = "Let me think about everything."


@pytest.fixture(scope="module")
def client(shared: Server) -> Iterator[OpenAI]:
    with shared.client() as client:
        yield client


@pytest.fixture(scope="module")
def real(start: Any) -> Iterator[OpenAI]:
    """The default registry with the local model."""
    server: Server = start(ROOT / "registry.yaml")
    with server.client() as client:
        yield client


def test_a_prompt_is_gone_on_with(client: OpenAI) -> None:
    answer = client.completions.create(model="auto", prompt="once upon a time")
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert [(c.text, c.index, c.finish_reason, c.logprobs) for c in answer.choices] == [(REPLY, 0, "stop", None)]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model_extra["shoal"]["decision"]["expert"] == answer.model == "big"


def test_several_prompts_and_choices_with_echo(client: OpenAI) -> None:
    answer = client.completions.create(model="big", prompt=["once ", "JSON "], n=2, echo=True)
    assert [c.index for c in answer.choices] == [0, 1, 2, 3]
    assert [c.text for c in answer.choices] == [f"once {REPLY}"] * 2 + ['JSON {"city": "Paris", "people": 2}'] * 2
    chunks = list(client.completions.create(model="big", prompt=["once ", "JSON "], n=2, echo=True, stream=True))
    said = dict.fromkeys(range(4), "")
    for choice in (c for chunk in chunks for c in chunk.choices):
        said[choice.index] += choice.text
    assert list(said.values()) == [c.text for c in answer.choices]
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_sixteen_tokens_when_no_limit_is_given(client: OpenAI, shared: Server) -> None:
    long = client.completions.create(model="big", prompt="x", max_tokens=2)
    assert (long.choices[0].text, long.choices[0].finish_reason) == ("Let me ", "length")


def test_logprobs_are_parallel_lists(client: OpenAI) -> None:
    told = client.completions.create(model="big", prompt="x", logprobs=2).choices[0].logprobs
    assert "".join(told.tokens) == REPLY
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset)
    assert told.text_offset[:3] == [0, 4, 7]
    assert all(len(top) == 2 and token in top for token, top in zip(told.tokens, told.top_logprobs, strict=True))
    offsets = [
        offset
        for chunk in client.completions.create(model="big", prompt="x", logprobs=0, stream=True)
        for choice in chunk.choices
        if choice.logprobs
        for offset in choice.logprobs.text_offset
    ]
    assert offsets == told.text_offset


def test_a_stream_carries_usage_for_those_who_ask(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.completions.create(model="big", prompt="x", stream=True, stream_options=options))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert "shoal" in chunks[-1].model_extra


def test_a_suffix_goes_to_who_can_fill_the_gap(client: OpenAI) -> None:
    assert client.completions.create(model="auto", prompt="def f():", suffix="return x").model == "big"
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="cook", prompt="x", suffix="y")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "suffix")


def test_what_only_chats_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="cook", prompt="x")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "model")
    assert "/v1/chat/completions" in caught.value.message


def test_token_ids_need_the_model_they_belong_to(client: OpenAI) -> None:
    for model, param in (("auto", "prompt"), ("big", "prompt")):
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=model, prompt=[1, 2, 3])
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", param)


def test_a_stream_that_is_cut_raises_at_the_client(client: OpenAI) -> None:
    with pytest.raises(openai.APIError):
        list(client.completions.create(model="big", prompt="BIGFAIL", stream=True))


def test_the_ledger_names_the_endpoint(shared: Server) -> None:
    text = shared.get("/metrics")[1].decode()
    assert 'shoal_requests_total{endpoint="completions",expert="big",status="ok"}' in text


def test_the_local_model_goes_on_with_text_and_tokens(real: OpenAI) -> None:
    text = real.completions.create(model="chat", prompt="The sea is", max_tokens=4, temperature=0, logprobs=2)
    assert text.choices[0].text == " a place of endless"
    assert text.usage.prompt_tokens == 3 and text.usage.completion_tokens == 4
    told = text.choices[0].logprobs
    assert "".join(told.tokens) == text.choices[0].text
    assert [len(top) for top in told.top_logprobs] == [2] * 4
    tokens = real.completions.create(model="chat", prompt=[504, 3426, 314], max_tokens=4, temperature=0)
    assert tokens.choices[0].text == text.choices[0].text
    both = real.completions.create(model="chat", prompt=["The sea is", "One two"], max_tokens=4, temperature=0)
    assert both.choices[0].text == text.choices[0].text and both.choices[1].text
    assert both.usage.completion_tokens == 8
    chunks = real.completions.create(model="chat", prompt="The sea is", max_tokens=4, temperature=0, stream=True)
    assert "".join(c.text for chunk in chunks for c in chunk.choices) == text.choices[0].text


def test_the_best_of_several_is_the_likeliest(real: OpenAI) -> None:
    asked: dict[str, Any] = {"model": "chat", "prompt": "My dog", "max_tokens": 6, "temperature": 1.2, "seed": 3}
    every = real.completions.create(**asked, n=4, logprobs=0)
    best = real.completions.create(**asked, n=1, best_of=4)

    def likelihood(choice: Any) -> float:
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    assert best.choices[0].text == max(every.choices, key=likelihood).text
    assert best.choices[0].logprobs is None
    assert best.usage.completion_tokens == every.usage.completion_tokens


def test_a_prompt_counts_once_in_answer_stream_and_ledger(real: OpenAI) -> None:
    """However many choices it has; several prompts count each."""
    asked: dict[str, Any] = {"model": "chat", "max_tokens": 2, "temperature": 0}
    count = [real.completions.create(**asked, prompt=prompt).usage.prompt_tokens for prompt in ("My dog", "One two")]
    before = _metered(real)
    told = [
        real.completions.create(**asked, prompt=["My dog", "One two"], n=3).usage,
        real.completions.create(**asked, prompt=["My dog", "One two"], best_of=3).usage,
        *[
            chunk.usage
            for chunk in real.completions.create(
                **asked, prompt=["My dog", "One two"], n=3, stream=True, stream_options={"include_usage": True}
            )
            if chunk.usage
        ],
    ]
    assert [(usage.prompt_tokens, usage.completion_tokens) for usage in told] == [(sum(count), 12)] * 3
    assert _metered(real) - before == 3 * sum(count)


def _metered(client: OpenAI) -> int:
    """Input tokens of the ledger."""
    return int(client.get("/meter", cast_to=httpx.Response).json()["input_tokens"])


def test_a_token_of_no_vocabulary_is_refused(real: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        real.completions.create(model="chat", prompt=[5_000_000])


def test_a_prompt_that_the_engine_finds_too_long_is_named_as_the_client_named_it(real: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        real.completions.create(model="chat", prompt="x " * 5000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")
    assert "This model's maximum context length is 4096 tokens; the prompt holds " in caught.value.message
