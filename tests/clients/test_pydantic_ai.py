"""Ten conversations with pydantic-ai."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.conftest import Served

REPLY = "Let me think about everything."


class Town(BaseModel):
    """A town."""

    city: str
    people: int


PARIS = Town(city="Paris", people=2)


def provider(served: Served) -> OpenAIProvider:
    return OpenAIProvider(base_url=served.base_url, api_key="none")


def agent(served: Served, model: str = "big", **options: Any) -> Agent[None, Any]:
    return Agent(OpenAIChatModel(model, provider=provider(served)), **options)


async def test_a_routed_answer(served: Served) -> None:
    found = await agent(served, "auto", instructions="Be kind.").run("write a poem about the sea")
    assert found.output == "Roses are red, violets are blue."
    assert found.usage.output_tokens == 6


async def test_a_stream(served: Served) -> None:
    async with agent(served).run_stream("hello") as stream:
        parts = [part async for part in stream.stream_text(delta=True, debounce_by=None)]
    assert "".join(parts) == REPLY and len(parts) == 5


async def test_tools_to_the_end(served: Served) -> None:
    asked: list[str] = []

    def get_weather(city: str, unit: str = "celsius") -> str:
        """The weather of a city."""
        asked.append(city)
        return f"sun in {city}"

    found = await agent(served, "auto", tools=[get_weather]).run("WEATHER in two cities")
    assert sorted(asked) == ["Oslo", "Paris"], "they run side by side, so either may be first"
    assert found.output == "It is sun in Oslo."


@pytest.mark.parametrize("kind", [ToolOutput, NativeOutput, PromptedOutput])
async def test_structured_output(served: Served, kind: Any) -> None:
    found = await agent(served, "auto", output_type=kind(Town)).run("a TOWN as json")
    assert found.output == PARIS


async def test_structured_output_in_a_stream(served: Served) -> None:
    async with agent(served, output_type=NativeOutput(Town)).run_stream("a TOWN") as stream:
        assert await stream.get_output() == PARIS


async def test_errors_are_told(served: Served) -> None:
    with pytest.raises(ModelHTTPError) as caught:
        await agent(served, "nobody").run("hello")
    assert caught.value.status_code == 404


async def test_a_failure_is_tried_again(served: Served) -> None:
    before = len(served.upstream.seen)
    assert (await agent(served, "flaky").run("pydantic-ai")).output == "Now it works"
    assert len(served.upstream.seen) == before + 2


async def test_tools_in_a_stream(served: Served) -> None:
    def get_weather(city: str, unit: str = "celsius") -> str:
        """The weather of a city."""
        return f"sun in {city}"

    async with agent(served, tools=[get_weather]).run_stream("WEATHER in two cities") as stream:
        assert await stream.get_output() == "It is sun in Oslo."


async def test_a_stream_that_breaks_off_raises(served: Served) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        async with agent(served, "poet").run_stream("CUT") as stream:
            await stream.get_output()


async def test_a_conversation_goes_on(served: Served) -> None:
    first = await agent(served).run("hello")
    second = await agent(served).run("a TOWN", message_history=first.all_messages())
    assert '"city"' in second.output
    assert second.usage.input_tokens > first.usage.input_tokens


async def test_responses(served: Served) -> None:
    model = OpenAIResponsesModel("big", provider=provider(served))
    found = await Agent(model, output_type=Town).run("a TOWN")
    assert found.output == PARIS
    async with Agent(model).run_stream("hello") as stream:
        assert await stream.get_output() == REPLY


async def test_the_local_model(served: Served) -> None:
    found = await agent(
        served, "chat", output_type=NativeOutput(Town), model_settings={"max_tokens": 96, "temperature": 0}
    ).run("Paris has 2 people. Give the town as JSON.")
    assert isinstance(found.output, Town)
