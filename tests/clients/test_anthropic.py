"""Ten conversations with Anthropic's official Python client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

from tests.clients.conftest import Served

HI: Any = [{"role": "user", "content": "hello"}]
ASK: Any = [{"role": "user", "content": "WEATHER in two cities"}]
TOOL: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
REPLY = "Let me think about everything."


class Town(BaseModel):
    city: str
    people: int


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[Anthropic]:
    with Anthropic(base_url=served.server.base, api_key="none") as client:
        yield client


def test_a_routed_answer(client: Anthropic) -> None:
    poem: Any = [{"role": "user", "content": "write a poem about the sea"}]
    answer = client.messages.create(model="auto", max_tokens=64, messages=poem)
    assert (answer.model, answer.stop_reason) == ("poet", "end_turn")
    again = [*poem, {"role": "assistant", "content": answer.content}, {"role": "user", "content": "a poem on rain"}]
    assert client.messages.create(model="auto", max_tokens=64, messages=again).model == "poet"


def test_a_stream_of_text(client: Anthropic) -> None:
    with client.messages.stream(model="big", max_tokens=64, messages=HI, system="Be kind.") as stream:
        assert "".join(stream.text_stream) == REPLY
        assert stream.get_final_message().usage.output_tokens == 5


def test_tools_to_the_end(client: Anthropic) -> None:
    called = client.messages.create(model="auto", max_tokens=64, messages=ASK, tools=[TOOL])
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": str(block.input["city"])}
        for block in called.content
    ]
    history = [*ASK, {"role": "assistant", "content": called.content}, {"role": "user", "content": results}]
    answer = client.messages.create(model="auto", max_tokens=64, messages=history, tools=[TOOL])
    assert answer.content[0].text == "It is Oslo."


def test_streamed_tools(client: Anthropic) -> None:
    with client.messages.stream(model="big", max_tokens=64, messages=ASK, tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_message()
    assert "input_json" in kinds
    assert [block.input["city"] for block in final.content] == ["Paris", "Oslo"]


def test_structured_output_is_parsed(client: Anthropic) -> None:
    town: Any = [{"role": "user", "content": "a TOWN"}]
    answer = client.messages.parse(model="auto", max_tokens=64, messages=town, output_format=Town)
    assert answer.parsed_output == Town(city="Paris", people=2)


def test_errors_are_of_the_right_class(client: Anthropic) -> None:
    patient = client.with_options(max_retries=0)
    for change, kind in (
        ({"model": "nobody"}, anthropic.NotFoundError),
        ({"max_tokens": 0}, anthropic.BadRequestError),
        ({"messages": [{"role": "user", "content": "BIGFAIL"}]}, anthropic.InternalServerError),
    ):
        asked: Any = {"model": "big", "max_tokens": 9, "messages": HI, **change}
        with pytest.raises(kind) as caught:
            patient.messages.create(**asked)
        assert caught.value.request_id


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_tried_again(served: Served, client: Anthropic, stream: bool) -> None:
    before = len(served.upstream.seen)
    asked: Any = {"model": "flaky", "max_tokens": 9, "messages": [{"role": "user", "content": f"anthropic {stream}"}]}
    if stream:
        with client.messages.stream(**asked) as events:
            text = events.get_final_text()
    else:
        text = client.messages.create(**asked).content[0].text
    assert text in ("Now it works", "Hello wörld 🐟")
    assert len(served.upstream.seen) == before + 2


def test_a_stream_that_breaks_off_raises(client: Anthropic) -> None:
    cut: Any = [{"role": "user", "content": "CUT"}]
    with pytest.raises(anthropic.APIStatusError), client.messages.stream(model="poet", max_tokens=9, messages=cut) as s:
        s.until_done()


async def test_counting_and_asking_at_once(served: Served) -> None:
    async with AsyncAnthropic(base_url=served.server.base, api_key="none") as client:
        counted = await client.messages.count_tokens(model="big", messages=HI)
        answer = await client.messages.create(model="big", max_tokens=9, messages=HI)
    assert counted.input_tokens == answer.usage.input_tokens


def test_the_local_model(client: Anthropic) -> None:
    likeliest: Any = {"model": "chat", "extra_body": {"temperature": 0}}
    with client.messages.stream(max_tokens=8, messages=HI, **likeliest) as stream:
        final = stream.get_final_message()
    assert final.content[0].text and final.usage.output_tokens <= 8
    town: Any = [{"role": "user", "content": "Paris has 2 people. Give the town as JSON."}]
    parsed = client.messages.parse(max_tokens=96, messages=town, output_format=Town, **likeliest)
    assert isinstance(parsed.parsed_output, Town)
