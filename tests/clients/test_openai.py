"""Ten conversations with OpenAI's official Python client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.clients.conftest import Served

POEM: Any = [{"role": "user", "content": "write a poem about the sea"}]
ASK: Any = [{"role": "user", "content": "WEATHER in two cities"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Town(BaseModel):
    city: str
    people: int


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=served.base_url, api_key="none") as client:
        yield client


def test_a_routed_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=POEM)
    assert (answer.model, answer.choices[0].finish_reason) == ("poet", "stop")
    again = [*POEM, answer.choices[0].message, {"role": "user", "content": "another poem, on rain in the city"}]
    assert client.chat.completions.create(model="auto", messages=again).model == "poet"


def test_a_stream_by_its_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model="big", messages=[{"role": "user", "content": "hello"}]) as stream:
        events: list[Any] = list(stream)
        final = stream.get_final_completion()
    said = "".join(event.delta for event in events if event.type == "content.delta")
    assert said == final.choices[0].message.content == "Let me think about everything."
    assert events[-1].type == "content.done"


def test_tools_to_the_end(client: OpenAI) -> None:
    called = client.chat.completions.create(model="auto", messages=ASK, tools=[TOOL])
    message = called.choices[0].message
    results: Any = [
        {"role": "tool", "tool_call_id": call.id, "content": json.loads(call.function.arguments)["city"]}
        for call in message.tool_calls
    ]
    final = client.chat.completions.create(model="auto", messages=[*ASK, message, *results], tools=[TOOL])
    assert final.choices[0].message.content == "It is Oslo."


def test_streamed_tool_calls_are_put_together(client: OpenAI) -> None:
    with client.chat.completions.stream(model="big", messages=ASK, tools=[TOOL]) as stream:
        final = stream.get_final_completion()
    arguments = [json.loads(call.function.arguments) for call in final.choices[0].message.tool_calls]
    assert [one["city"] for one in arguments] == ["Paris", "Oslo"]


def test_structured_output_is_parsed(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "a TOWN"}]
    answer = client.chat.completions.parse(model="auto", messages=messages, response_format=Town)
    assert answer.choices[0].message.parsed == Town(city="Paris", people=2)


def test_errors_are_of_the_right_class(client: OpenAI) -> None:
    asked: Any = {"model": "big", "messages": POEM}
    for change, kind in (
        ({"model": "nobody"}, openai.NotFoundError),
        ({"temperature": 3}, openai.BadRequestError),
        ({"messages": [{"role": "user", "content": "BIGFAIL"}]}, openai.InternalServerError),
    ):
        with pytest.raises(kind) as caught:
            client.with_options(max_retries=0).chat.completions.create(**{**asked, **change})
        assert caught.value.request_id
        assert caught.value.type


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_tried_again(served: Served, client: OpenAI, stream: bool) -> None:
    before = len(served.upstream.seen)
    messages: Any = [{"role": "user", "content": f"openai {stream}"}]
    answer: Any = client.chat.completions.create(model="flaky", messages=messages, stream=stream)
    text = "".join(c.choices[0].delta.content or "" for c in answer) if stream else answer.choices[0].message.content
    assert text in ("Now it works", "Hello wörld 🐟")
    assert len(served.upstream.seen) == before + 2


def test_a_stream_that_breaks_off_raises(client: OpenAI) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        list(client.chat.completions.create(model="poet", messages=[{"role": "user", "content": "CUT"}], stream=True))


def test_responses_with_a_parsed_answer(client: OpenAI) -> None:
    first = client.responses.parse(model="auto", input="a TOWN", text_format=Town)
    assert first.output_parsed == Town(city="Paris", people=2)
    with client.responses.stream(model="big", input="and now?", previous_response_id=first.id) as stream:
        final = stream.get_final_response()
    assert final.output_text == "Let me think about everything."
    assert final.previous_response_id == first.id


async def test_many_at_once_with_the_async_client(served: Served) -> None:
    import asyncio

    async with AsyncOpenAI(base_url=served.base_url, api_key="none") as client:
        asked = [client.chat.completions.create(model="auto", messages=POEM) for _ in range(16)]
        answers = await asyncio.gather(*asked)
        vectors = await client.embeddings.create(model="encoder", input=["a", "b"])
        names = [model.id async for model in client.models.list()]
    assert {answer.model for answer in answers} == {"poet"}
    assert len({answer.id for answer in answers}) == 16
    assert len(vectors.data[0].embedding) == 384
    assert names[0] == "auto"


def test_the_local_model(client: OpenAI) -> None:
    schema: Any = {"type": "json_schema", "json_schema": {"name": "t", "schema": Town.model_json_schema()}}
    messages: Any = [{"role": "user", "content": "Paris has 2 million people. Give the town as JSON."}]
    answer = client.chat.completions.create(
        model="chat", messages=messages, response_format=schema, max_tokens=64, temperature=0
    )
    Town.model_validate_json(answer.choices[0].message.content)
    chunks = list(
        client.chat.completions.create(
            model="chat",
            messages=messages,
            max_tokens=8,
            temperature=0,
            stream=True,
            logprobs=True,
            top_logprobs=1,
            n=2,
        )
    )
    assert {c.index for chunk in chunks for c in chunk.choices} == {0, 1}
