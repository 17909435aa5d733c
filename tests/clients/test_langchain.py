"""Ten conversations with langchain-openai."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from tests.clients.conftest import Served

REPLY = "Let me think about everything."


class Town(BaseModel):
    """A town."""

    city: str
    people: int


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


def llm(served: Served, model: str = "big", **options: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=served.base_url, api_key="none", **options)


def test_a_routed_answer(served: Served) -> None:
    answer = llm(served, "auto").invoke([SystemMessage("Be kind."), HumanMessage("write a poem about the sea")])
    assert answer.content == "Roses are red, violets are blue."
    assert answer.response_metadata["model_name"] == "poet"
    assert answer.usage_metadata["total_tokens"] > 0


def test_a_stream_with_usage(served: Served) -> None:
    chunks = list(llm(served, stream_usage=True).stream("hello"))
    assert "".join(str(chunk.content) for chunk in chunks) == REPLY
    assert sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks) == 5


def test_tools_to_the_end(served: Served) -> None:
    bound = llm(served, "auto").bind_tools([get_weather])
    messages: list[Any] = [HumanMessage("WEATHER in two cities")]
    called = bound.invoke(messages)
    assert [call["args"]["city"] for call in called.tool_calls] == ["Paris", "Oslo"]
    results = [
        ToolMessage(get_weather.invoke({"city": call["args"]["city"]}), tool_call_id=call["id"])
        for call in called.tool_calls
    ]
    assert bound.invoke([*messages, called, *results]).content == "It is sun in Oslo."


def test_streamed_tool_calls_add_up(served: Served) -> None:
    whole: Any = None
    for chunk in llm(served).bind_tools([get_weather]).stream("WEATHER"):
        whole = chunk if whole is None else whole + chunk
    assert [call["args"]["city"] for call in whole.tool_calls] == ["Paris", "Oslo"]


@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
def test_structured_output(served: Served, method: Any) -> None:
    found = llm(served, "auto").with_structured_output(Town, method=method).invoke("a TOWN as json")
    assert found == Town(city="Paris", people=2)


def test_a_forced_tool(served: Served) -> None:
    bound = llm(served).bind_tools([get_weather], tool_choice="get_weather")
    assert [call["name"] for call in bound.invoke("hello").tool_calls] == ["get_weather"]


def test_errors_are_of_the_right_class(served: Served) -> None:
    with pytest.raises(openai.NotFoundError):
        llm(served, "nobody").invoke("hello")
    with pytest.raises(openai.BadRequestError):
        llm(served, temperature=3).invoke("hello")


def test_a_failure_is_tried_again(served: Served) -> None:
    before = len(served.upstream.seen)
    assert llm(served, "flaky", max_retries=2).invoke("langchain").content == "Now it works"
    assert len(served.upstream.seen) == before + 2


def test_a_stream_that_breaks_off_raises(served: Served) -> None:
    with pytest.raises(openai.APIError, match="broke off"):
        list(llm(served, "poet").stream("CUT"))


def test_responses_go_on(served: Served) -> None:
    model = llm(served, use_responses_api=True, output_version="responses/v1")
    first = model.invoke("hello")
    assert isinstance(first, AIMessage) and first.text == REPLY
    second = model.invoke("and now?", previous_response_id=first.response_metadata["id"])
    assert second.text == REPLY


def test_embeddings_of_texts(served: Served) -> None:
    embeddings = OpenAIEmbeddings(
        model="encoder", base_url=served.base_url, api_key="none", check_embedding_ctx_length=False
    )
    vectors = embeddings.embed_documents(["a", "b"])
    assert [len(vector) for vector in vectors] == [384, 384]


async def test_the_local_model_and_many_at_once(served: Served) -> None:
    answers = await llm(served).abatch(["hello", "JSON"])
    assert answers[0].content == REPLY
    assert json.loads(str(answers[1].content))["city"] == "Paris"
    local = llm(served, "chat", max_tokens=96, temperature=0)
    assert (await local.ainvoke("Say hi")).content
    town = await local.with_structured_output(Town, method="json_schema").ainvoke("Paris has 2 people. As JSON.")
    assert isinstance(town, Town)
