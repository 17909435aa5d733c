"""Every parameter of a chat completion does what it says, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.service.server import Server, write_registry

HI = [{"role": "user", "content": "hello"}]
ASK = [{"role": "user", "content": "WEATHER in two cities"}]
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
OTHER = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
REPLY = "Let me think about everything."


@pytest.fixture(scope="module")
def client(shared: Server) -> Iterator[OpenAI]:
    with shared.client() as client:
        yield client


def test_n_gives_as_many_choices_and_their_usage(client: OpenAI) -> None:
    one = client.chat.completions.create(model="big", messages=HI)
    three = client.chat.completions.create(model="big", messages=HI, n=3)
    assert [c.index for c in three.choices] == [0, 1, 2]
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    chunks = list(client.chat.completions.create(model="big", messages=HI, n=3, stream=True))
    said = dict.fromkeys(range(3), "")
    roles: dict[int, int] = dict.fromkeys(said, 0)
    for choice in (c for chunk in chunks for c in chunk.choices):
        said[choice.index] += choice.delta.content or ""
        roles[choice.index] += choice.delta.role is not None
    assert set(said.values()) == {REPLY}
    assert set(roles.values()) == {1}
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"] * 3


@pytest.mark.parametrize("stop", ["think", ["nothing", "think"]])
def test_a_stop_text_ends_the_answer_and_is_left_out(client: OpenAI, stop: Any) -> None:
    answer = client.chat.completions.create(model="big", messages=HI, stop=stop)
    assert answer.choices[0].message.content == "Let me "
    assert answer.choices[0].finish_reason == "stop"
    chunks = client.chat.completions.create(model="big", messages=HI, stop=stop, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Let me "


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_ends_the_answer_and_says_so(client: OpenAI, limit: str) -> None:
    answer = client.chat.completions.create(model="big", messages=HI, **{limit: 2})
    assert answer.choices[0].message.content == "Let me "
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize("top", [None, 0, 3])
def test_logprobs_have_as_many_alternatives_as_were_asked(client: OpenAI, top: int | None) -> None:
    more = {} if top is None else {"top_logprobs": top}
    answer = client.chat.completions.create(model="big", messages=HI, logprobs=True, **more)
    content = answer.choices[0].logprobs.content
    assert "".join(token.token for token in content) == REPLY
    assert all(token.logprob <= 0 and bytes(token.bytes).decode() == token.token for token in content)
    assert {len(token.top_logprobs) for token in content} == {top or 0}
    assert client.chat.completions.create(model="big", messages=HI).choices[0].logprobs is None


def test_usage_tells_its_details(shared: Server) -> None:
    _, body, _ = shared.post("/v1/chat/completions", {"model": "big", "messages": HI})
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0}
    assert set(usage["completion_tokens_details"]) == {
        "reasoning_tokens", "audio_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens",
    }  # fmt: skip
    assert set(body["choices"][0]) == {"index", "message", "logprobs", "finish_reason"}
    assert body["choices"][0]["message"] == {"role": "assistant", "content": REPLY, "refusal": None}


def test_parallel_tool_calls_whole_and_streamed(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="big", messages=ASK, tools=[TOOL, OTHER])
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    cities = [json.loads(call.function.arguments)["city"] for call in choice.message.tool_calls]
    assert cities == ["Paris", "Oslo"]
    assert len({call.id for call in choice.message.tool_calls}) == 2

    parts: dict[int, list[Any]] = {}
    for chunk in client.chat.completions.create(model="big", messages=ASK, tools=[TOOL, OTHER], stream=True):
        for call in chunk.choices[0].delta.tool_calls or ():
            parts.setdefault(call.index, []).append(call)
        last = chunk
    assert last.choices[0].finish_reason == "tool_calls"
    for index, (head, *rest) in parts.items():
        assert (head.type, head.function.name, head.function.arguments) == ("function", "get_weather", "")
        assert head.id
        assert rest and all(part.id is None and part.function.name is None for part in rest)
        whole = "".join(part.function.arguments for part in rest)
        assert whole == choice.message.tool_calls[index].function.arguments


def test_a_tool_result_is_answered(client: OpenAI) -> None:
    called = client.chat.completions.create(model="auto", messages=ASK, tools=[TOOL], parallel_tool_calls=False)
    (call,) = called.choices[0].message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
    messages = [*ASK, called.choices[0].message.model_dump(exclude_none=True), result]
    answer = client.chat.completions.create(model="auto", messages=messages, tools=[TOOL])
    assert answer.choices[0].message.content == "It is 21 degrees."


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("auto", []),
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "add"}}, ["add"]),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "add"}}]},
            },
            ["add"],
        ),
    ],
)
def test_tool_choice_is_kept(client: OpenAI, choice: Any, called: list[str]) -> None:
    answer = client.chat.completions.create(model="big", messages=HI, tools=[TOOL, OTHER], tool_choice=choice)
    assert [call.function.name for call in answer.choices[0].message.tool_calls or ()] == called


@pytest.mark.parametrize("stream", [False, True])
def test_functions_as_they_were_before_tools(shared: Server, client: OpenAI, stream: bool) -> None:
    functions = [TOOL["function"]]
    asked: dict[str, Any] = {"model": "big", "messages": ASK, "functions": functions, "function_call": "auto"}
    if stream:
        chunks = list(client.chat.completions.create(**asked, stream=True))
        deltas = [c.choices[0].delta.function_call for c in chunks if c.choices[0].delta.function_call]
        call = {"name": deltas[0].name, "arguments": "".join(d.arguments or "" for d in deltas)}
        assert chunks[-1].choices[0].finish_reason == "function_call"
    else:
        answer = client.chat.completions.create(**asked)
        assert answer.choices[0].finish_reason == "function_call"
        assert answer.choices[0].message.tool_calls is None
        call = answer.choices[0].message.function_call.model_dump()
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Paris"})
    asked["messages"] = [
        *ASK,
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "get_weather", "content": "rain"},
    ]
    assert client.chat.completions.create(**asked).choices[0].message.content == "It is rain."
    status, body, _ = shared.post("/v1/chat/completions", {**asked, "model": "poet"})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "functions", "unsupported_parameter")


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_json_goes_to_who_can(client: OpenAI, kind: str) -> None:
    schema = {"name": "town", "strict": True, "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    wanted: Any = {"type": kind, **({"json_schema": schema} if kind == "json_schema" else {})}
    messages = [{"role": "user", "content": "write a poem about the sea as JSON"}]
    answer = client.chat.completions.create(model="auto", messages=messages, response_format=wanted)
    assert answer.model == "big"
    assert json.loads(answer.choices[0].message.content)["city"] == "Paris"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"verbosity": "low"}, "verbosity"),
        ({"verbosity": "medium"}, None),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"tools": [TOOL]}, "tools"),
        ({"tools": [TOOL], "tool_choice": "none"}, None),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages"),
    ],
)
def test_what_the_expert_cannot_do_is_refused_by_name(shared: Server, more: dict[str, Any], param: str | None) -> None:
    status, body, _ = shared.post("/v1/chat/completions", {"model": "cook", "messages": HI, **more})
    if param is None:
        assert status == 200
    else:
        assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, "unsupported_parameter")


def test_null_means_the_default_for_every_parameter(shared: Server) -> None:
    document = json.loads(shared.get("/openapi.json")[1])
    names = set(document["components"]["schemas"]["ChatBody"]["properties"]) - {"model", "messages"}
    assert len(names) > 30
    asked = {"model": "cook", "messages": HI, **dict.fromkeys(names)}
    status, body, headers = shared.post("/v1/chat/completions", asked)
    assert status == 200, body
    assert "x-shoal-ignored-params" not in headers


def test_roles_and_text_parts(client: OpenAI) -> None:
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "write a poem"}, {"type": "text", "text": "on rain"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, {"type": "text", "text": "or yes"}]},
        {"role": "user", "content": "about the sea and the wind", "name": "ann"},
    ]
    assert client.chat.completions.create(model="auto", messages=messages).model == "poet"


def test_what_has_no_effect_is_named_and_in_strict_mode_refused(start: Callable[..., Server], tmp_path: Path) -> None:
    own = {"user": "u", "metadata": {"a": "b"}, "safety_identifier": "s", "service_tier": "auto", "store": False}
    asked = {"model": "poet", "messages": HI, **own, "top_k": 3}
    server = start(write_registry(tmp_path), SHOAL_STRICT="1")
    status, body, _ = server.post("/v1/chat/completions", asked)
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "top_k", "unknown_parameter")
    del asked["top_k"]
    assert server.post("/v1/chat/completions", asked)[0] == 200
    status, body, _ = server.post("/v1/chat/completions", {**asked, "store": True})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "store", "unsupported_parameter")
    spoken = [{"role": "user", "content": "hi", "mood": "good"}]
    status, body, _ = server.post("/v1/chat/completions", {**asked, "messages": spoken})
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "messages[0].mood", "unknown_parameter")


def test_store_is_named_where_it_has_no_effect(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="poet", messages=HI, store=True, extra_body={"x": 1})
    assert raw.headers["x-shoal-ignored-params"] == "x, store"


def test_events_are_padded_for_those_who_ask(shared: Server) -> None:
    asked = {"model": "poet", "messages": HI, "stream": True, "stream_options": {"include_obfuscation": True}}
    _, answer, _ = shared.send(
        "POST", "/v1/chat/completions", json.dumps(asked).encode(), {"content-type": "application/json"}
    )
    *events, last, done = answer.split(b"\n\n")[:-1]
    assert done == b"data: [DONE]"
    assert {(len(event) + 2) % 64 for event in events} == {0}
    assert all(json.loads(event[6:])["obfuscation"] for event in events)
    assert "obfuscation" not in json.loads(last[6:])


def test_a_context_that_is_too_long_is_refused_in_openais_words(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="poet", messages=[{"role": "user", "content": "word " * 20_000}])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")
