"""Chat completions as the official client sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from openai import OpenAI

POEM = [{"role": "user", "content": "write a poem about the sea and the wind"}]
RECIPE = [{"role": "user", "content": "recipe for banana bread with nuts"}]
NEITHER = [{"role": "user", "content": "prove that the square root of two is irrational"}]


@pytest.fixture(scope="module")
def client(shared) -> Iterator[OpenAI]:
    with shared.client() as client:
        yield client


def test_each_request_goes_to_its_expert(client: OpenAI) -> None:
    poem = client.chat.completions.create(model="auto", messages=POEM)
    recipe = client.chat.completions.create(model="auto", messages=RECIPE)
    assert (poem.model, recipe.model) == ("poet", "cook")
    assert poem.choices[0].message.content == "Roses are red, violets are blue."
    assert poem.usage is not None
    assert poem.usage.total_tokens == poem.usage.prompt_tokens + poem.usage.completion_tokens


def test_what_nobody_knows_goes_to_the_fallback_and_says_so(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=NEITHER)
    answer = raw.parse()
    assert answer.model == "big"
    shoal = answer.model_extra["shoal"]
    assert shoal["escalated"]["to"] == "big"
    assert shoal["escalated"]["stage"] == "before"
    assert shoal["escalated"]["from"] in ("poet", "cook")
    assert raw.headers["x-shoal-escalated"] == "before"
    assert raw.headers["x-shoal-expert"] == "big"


def test_the_shoal_object_keeps_its_promises(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=POEM)
    shoal = raw.parse().model_extra["shoal"]
    assert shoal["request_id"] == raw.headers["x-request-id"]
    decision = shoal["decision"]
    assert decision["expert"] == "poet"
    assert decision["policy"] == "balanced"
    assert decision["threshold"] == 0.7
    assert decision["label"] == "poet"
    assert [c["expert"] for c in decision["candidates"]] == ["poet", "cook"]
    assert decision["probability"] == decision["candidates"][0]["probability"] >= 0.7
    assert shoal["escalated"] is None
    assert shoal["cost_usd"] > 0
    assert shoal["fallback"]["cost_usd"] > shoal["cost_usd"]
    assert shoal["fallback"]["estimated"] is True
    assert shoal["energy_source"] in ("measured", "modelled", "table")
    assert shoal["energy_final"] is True  # a scripted expert has no device that a counter could measure
    assert shoal["energy_j"] > 0
    assert raw.headers["x-shoal-energy-j"].encode() == orjson.dumps(shoal["energy_j"]), "digit for digit"
    assert (shoal["cost_final"], shoal["fallback"]["left_out"]) == (True, None)
    assert float(raw.headers["x-shoal-probability"]) == pytest.approx(decision["probability"], abs=1e-3)
    assert raw.headers["x-shoal-escalated"] == "no"


@pytest.mark.parametrize("stream", [False, True])
def test_what_nobody_knows_is_null_and_never_nothing(client: OpenAI, stream: bool) -> None:
    def receipt(text: str, model: str = "auto") -> Any:
        told = [{"role": "user", "content": text}]
        answer: Any = client.chat.completions.create(model=model, messages=told, stream=stream)
        return (list(answer)[-1] if stream else answer).model_extra["shoal"]

    unpriced, fallback = receipt("recipe for banana bread"), receipt("explain the halting problem")
    assert (unpriced["decision"]["expert"], fallback["decision"]["expert"]) == ("cook", "big")
    assert unpriced["cost_usd"] is None and unpriced["fallback"]["cost_usd"] > 0
    assert unpriced["energy_j"] > 0 and unpriced["fallback"]["energy_j"] > 0
    assert fallback["cost_usd"] == fallback["fallback"]["cost_usd"] > 0
    assert fallback["energy_j"] > 0 and fallback["fallback"]["energy_j"] is None  # all it took is the router's work
    assert unpriced["fallback"]["co2_g"] > unpriced["co2_g"] and fallback["fallback"]["co2_g"] is None
    for model in ("poet", "big"):
        named = receipt("a poem", model)["fallback"]
        assert [named[name] for name in ("cost_usd", "energy_j", "co2_g")] == [None] * 3, "as in the export"
        assert named["left_out"] == "named"
        assert named["could_answer"] is True


def test_a_stream_looks_like_openais(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="auto", messages=POEM, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Roses are red, violets are blue."
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert {c.model for c in chunks} == {"poet"}
    assert len({c.id for c in chunks}) == 1
    assert all(c.usage is None for c in chunks)
    assert chunks[0].choices[0].delta.content == ""
    assert chunks[-1].model_extra["shoal"]["decision"]["expert"] == "poet"
    assert all("shoal" not in (c.model_extra or {}) for c in chunks[:-1])


def test_a_stream_carries_usage_for_those_who_ask(client: OpenAI) -> None:
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="auto", messages=POEM, stream=True, stream_options=options))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    assert "shoal" in chunks[-1].model_extra
    whole = client.chat.completions.create(model="auto", messages=POEM)
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_the_raw_stream_ends_with_done(shared) -> None:
    body = {"model": "poet", "messages": POEM, "stream": True}
    status, answer, headers = shared.send(
        "POST", "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.endswith(b"data: [DONE]\n\n")
    assert answer.count(b"[DONE]") == 1
    assert b'"usage"' not in answer


def test_names_policies_and_aliases(client: OpenAI) -> None:
    def model(name: str) -> str:
        return client.chat.completions.create(model=name, messages=POEM).model

    assert model("poet") == "poet"
    assert model("cook") == "cook"  # named: no routing, whatever was asked
    assert model("fallback") == "big"
    assert model("gpt-small") == "poet"
    assert model("auto:careful") == model("gpt-auto")
    with pytest.raises(openai.NotFoundError) as caught:
        model("gpt-9")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        model("auto:reckless")


def test_a_named_expert_is_not_judged(client: OpenAI) -> None:
    shoal = client.chat.completions.create(model="cook", messages=POEM).model_extra["shoal"]
    assert shoal["decision"]["probability"] is None
    assert shoal["decision"]["reason"] == "named by the request"


def test_what_an_expert_cannot_do_goes_to_one_that_can(client: OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    answer = client.chat.completions.create(model="auto", messages=POEM, tools=tools)
    assert answer.model == "big"
    assert answer.model_extra["shoal"]["decision"]["candidates"][0]["obstacle"] == "cannot do tools"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="cook", messages=POEM, tools=tools)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tools")


def test_a_long_request_goes_to_a_long_context(client: OpenAI) -> None:
    long = [{"role": "user", "content": "write a poem about the sea. " * 900}]
    assert client.chat.completions.create(model="auto", messages=long).model == "big"


def test_an_expert_that_fails_is_replaced_by_the_fallback(client: OpenAI) -> None:
    broken = [{"role": "user", "content": "write a poem about the sea BREAK"}]
    answer = client.chat.completions.create(model="auto", messages=broken)
    assert answer.model == "big"
    assert answer.model_extra["shoal"]["escalated"]["from"] == "poet"
    chunks = list(client.chat.completions.create(model="auto", messages=broken, stream=True))
    assert {c.model for c in chunks} == {"big"}


def test_a_named_expert_that_fails_is_an_error(client: OpenAI) -> None:
    broken = [{"role": "user", "content": "BREAK"}]
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="poet", messages=broken)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_error"


def test_a_fallback_that_is_down_is_replaced_by_what_still_answers(client: OpenAI) -> None:
    text = "prove that the square root of two is irrational BIGFAIL"
    answer = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": text}])
    assert answer.model in ("poet", "cook")
    assert answer.model_extra["shoal"]["escalated"]["reason"] == "big failed: upstream_unavailable"


def test_all_down_is_a_proper_error(start: Callable, tmp_path: Path) -> None:
    from tests.service.server import write_registry

    server = start(write_registry(tmp_path))
    with pytest.raises(openai.InternalServerError) as caught:
        server.client().chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "write a poem about the sea BREAK BIGFAIL COOKFAIL"}]
        )
    assert caught.value.status_code == 503
    assert caught.value.code == "upstream_unavailable"


def test_a_stream_that_is_cut_raises_at_the_client(client: OpenAI) -> None:
    cut = [{"role": "user", "content": "CUT"}]
    stream = iter(client.chat.completions.create(model="poet", messages=cut, stream=True))
    assert next(stream).choices[0].delta.role == "assistant"
    with pytest.raises(openai.APIError):
        list(stream)


def test_unknown_parameters_are_named_not_sent(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="poet", messages=POEM, extra_body={"n_discard": -1})
    assert raw.headers["x-shoal-ignored-params"] == "n_discard"
