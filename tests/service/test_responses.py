"""Responses, as the official client sees them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.service.server import Server, write_registry

REPLY = "Let me think about everything."
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture(scope="module")
def client(shared: Server) -> Iterator[OpenAI]:
    with shared.client() as client:
        yield client


def test_a_response_is_made_read_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model="auto", input="write a poem about the sea", instructions="Be brief.")
    assert (made.status, made.output_text, made.model) == ("completed", "Roses are red, violets are blue.", "poet")
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens > 0
    assert (made.store, made.temperature, made.tool_choice, made.tools) == (True, 1.0, "auto", [])
    assert made.model_extra["shoal"]["decision"]["expert"] == "poet"
    assert client.responses.retrieve(made.id).model_dump() == made.model_dump()
    client.responses.delete(made.id)
    for gone in (client.responses.retrieve, client.responses.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            gone(made.id)
        assert caught.value.code == "response_not_found"


def test_a_deleted_response_is_not_answered_again(client: OpenAI) -> None:
    def ask(key: str) -> str:
        return client.responses.create(model="big", input="hello", extra_headers={"idempotency-key": key}).id

    first, other = ask("deleted-later"), ask("kept")
    assert (ask("deleted-later"), ask("kept")) == (first, other)
    client.responses.delete(first)
    assert ask("deleted-later") != first
    assert ask("kept") == other


def test_a_conversation_goes_on(client: OpenAI) -> None:
    first = client.responses.create(model="big", input="WEATHER in Paris", tools=[TOOL], parallel_tool_calls=False)
    (call,) = first.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Paris"})
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = client.responses.create(model="big", previous_response_id=first.id, input=[result], tools=[TOOL])
    assert second.output_text == "It is rain."
    third = client.responses.create(model="auto", previous_response_id=second.id, input="thank you")
    assert third.previous_response_id == second.id
    assert third.usage.input_tokens > second.usage.input_tokens
    client.responses.delete(second.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="big", previous_response_id=third.id, input="and now?")
    assert (caught.value.code, caught.value.param) == ("previous_response_not_found", "previous_response_id")


def test_a_call_without_its_result_is_refused(client: OpenAI) -> None:
    first = client.responses.create(model="big", input="WEATHER", tools=[TOOL])
    for items in (["hello"], [{"type": "function_call_output", "call_id": "call_9", "output": "x"}]):
        given: Any = "hello" if items == ["hello"] else items
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="big", previous_response_id=first.id, input=given)
        assert caught.value.param == "input"


def check_order(events: list[Any]) -> list[str]:
    assert [event.sequence_number for event in events] == list(range(len(events)))
    return [event.type for event in events]


def test_a_stream_of_text(client: OpenAI, shared: Server) -> None:
    asked: dict[str, Any] = {"model": "big", "input": "hello", "top_logprobs": 2}
    events = list(client.responses.create(**asked, stream=True))
    assert check_order(events) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 5,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert "".join(event.delta for event in deltas) == events[9].text == REPLY
    assert all(len(event.logprobs) == 1 and len(event.logprobs[0].top_logprobs) == 2 for event in deltas)
    final = events[-1].response
    assert final.output_text == REPLY
    assert client.responses.retrieve(final.id).output_text == REPLY
    whole = client.responses.create(**asked)
    assert [item.model_dump(exclude={"id"}) for item in whole.output] == [
        item.model_dump(exclude={"id"}) for item in final.output
    ]
    assert whole.usage.model_dump() == final.usage.model_dump()

    body = json.dumps({**asked, "stream": True}).encode()
    _, raw, headers = shared.send("POST", "/v1/responses", body, {"content-type": "application/json"})
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    for block in raw.split(b"\n\n")[:-1]:
        name, data = block.split(b"\n")
        assert name == b"event: " + json.loads(data[6:])["type"].encode()


def test_a_stream_of_calls(client: OpenAI) -> None:
    events = list(client.responses.create(model="big", input="WEATHER", tools=[TOOL], stream=True))
    kinds = check_order(events)
    assert kinds.count("response.function_call_arguments.done") == 2
    said: dict[str, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            said[event.item_id] = said.get(event.item_id, "") + event.delta
    final = events[-1].response
    assert [item.type for item in final.output] == ["function_call"] * 2
    assert {item.id: item.arguments for item in final.output} == said
    assert [event.output_index for event in events if event.type == "response.output_item.done"] == [0, 1]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_was_cut_is_incomplete(client: OpenAI, shared: Server, stream: bool) -> None:
    long = [{"role": "user", "content": "LONG"}]
    made: Any = client.responses.create(model="big", input=long, max_output_tokens=16, stream=stream)
    response = list(made)[-1].response if stream else made
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output[0].status == "incomplete"
    assert response.usage.output_tokens == 16


def test_a_stream_that_breaks_off_fails_and_raises(client: OpenAI) -> None:
    kinds = []
    with pytest.raises(openai.APIError):
        for event in client.responses.create(model="poet", input="CUT", stream=True):
            kinds.append(event.type)
            last = event
    assert kinds[-1] == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error.code == "upstream_error"
    (item,) = last.response.output
    assert (item.status, item.content[0].text) == ("incomplete", "Roses ")
    kept = client.responses.retrieve(last.response.id)
    assert kept.model_dump() == last.response.model_dump()
    again = client.responses.create(model="poet", input="a poem", previous_response_id=kept.id)
    assert again.status == "completed"


STREAMS: dict[str, dict[str, Any]] = {
    "text": {"model": "big", "input": "hello"},
    "logprobs": {"model": "big", "input": "hello", "top_logprobs": 2},
    "calls": {"model": "big", "input": "WEATHER", "tools": [TOOL]},
    "incomplete": {"model": "big", "input": "LONG", "max_output_tokens": 16},
}


@pytest.mark.parametrize("asked", STREAMS.values(), ids=STREAMS)
def test_a_kept_response_is_streamed_again_event_by_event(client: OpenAI, asked: dict[str, Any]) -> None:
    live = [event.model_dump() for event in client.responses.create(**asked, stream=True)]
    identity = live[0]["response"]["id"]
    assert [event.model_dump() for event in client.responses.retrieve(identity, stream=True)] == live
    for after in (0, 4, len(live) - 2, len(live) - 1):
        rest = client.responses.retrieve(identity, stream=True, starting_after=after)
        assert [event.model_dump() for event in rest] == live[after + 1 :]


@pytest.mark.parametrize("asked", STREAMS.values(), ids=STREAMS)
def test_a_response_made_whole_is_streamed_too(client: OpenAI, asked: dict[str, Any]) -> None:
    made = client.responses.create(**asked)
    with client.responses.retrieve(made.id, stream=True) as stream:
        events = list(stream)
    check_order(events)
    assert events[-1].response.model_dump() == made.model_dump()
    done = [event.item.model_dump() for event in events if event.type == "response.output_item.done"]
    assert done == [item.model_dump() for item in made.output]


def test_a_response_that_failed_is_streamed_again_to_its_end(client: OpenAI) -> None:
    live: list[Any] = []
    with pytest.raises(openai.APIError):
        live.extend(event.model_dump() for event in client.responses.create(model="poet", input="CUT", stream=True))
    again = client.responses.retrieve(live[0]["response"]["id"], stream=True)
    assert [event.model_dump() for event in again] == live
    assert live[-1]["type"] == "response.failed"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=1", "stream"),
        ("starting_after=3", "starting_after"),
        ("stream=true&starting_after=x", "starting_after"),
    ],
)
def test_a_stream_asked_for_wrongly_is_refused(client: OpenAI, shared: Server, query: str, param: str) -> None:
    made = client.responses.create(model="big", input="hello")
    status, body = shared.get(f"/v1/responses/{made.id}?{query}")
    assert (status, json.loads(body)["error"]["param"]) == (400, param)


def test_text_format_goes_to_who_can(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    form: Any = {"format": {"type": "json_schema", "name": "town", "schema": schema, "strict": True}}
    made = client.responses.create(model="auto", input="write a poem about the sea as JSON", text=form)
    assert made.model == "big"
    assert json.loads(made.output_text)["city"] == "Paris"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="cook", input="x", text=form)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "text.format")


def test_every_kind_of_input_item(client: OpenAI) -> None:
    items: Any = [
        {"role": "developer", "content": "Be kind."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "WEATHER"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I will look."}]},
        {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "snow"}]},
    ]
    made = client.responses.create(model="big", input=items, tools=[TOOL])
    assert made.output_text == "It is snow."
    listed = client.responses.input_items.list(made.id, order="asc")
    assert [item.type for item in listed.data] == [
        "message", "message", "message", "function_call", "function_call_output",
    ]  # fmt: skip
    newest = client.responses.input_items.list(made.id, limit=2)
    assert [item.type for item in newest.data] == ["function_call_output", "function_call"]
    assert newest.has_more
    rest = client.responses.input_items.list(made.id, limit=3, after=newest.data[-1].id)
    assert [item.type for item in rest.data] == ["message"] * 3
    assert not client.responses.input_items.list(made.id, after=rest.data[-1].id).data, "it was the last"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.input_items.list(made.id, after="item_of_another")
    assert (caught.value.param, caught.value.code) == ("after", "invalid_value")
    assert "'item_of_another' is none of this response's input" in caught.value.message


@pytest.mark.parametrize("limit", ["0", "101", "0000000019", "0000000100000", "000000001" + "9" * 5000, "x", "\u0663"])
def test_a_page_has_a_bound_however_it_is_written(shared: Server, client: OpenAI, limit: str) -> None:
    made = client.responses.create(model="cook", input="hi")
    status, body = shared.get(f"/v1/responses/{made.id}/input_items?limit={urllib.parse.quote(limit)}")
    assert (status, json.loads(body)["error"]["param"]) == (400, "limit")


def test_a_conversation_holds_no_more_items_than_a_request(client: OpenAI) -> None:
    many: Any = [{"role": "user", "content": "x"}] * 2046
    first = client.responses.create(model="big", input=many)
    assert client.responses.create(model="big", input="y", previous_response_id=first.id).status == "completed"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="big", input=many[:2], previous_response_id=first.id)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "previous_response_id")


def test_what_was_said_before_is_named_by_its_id(client: OpenAI) -> None:
    asked: Any = {"role": "user", "content": "WEATHER in Paris"}
    first = client.responses.create(model="big", input=[asked], tools=[TOOL], parallel_tool_calls=False)
    (call,) = first.output
    named: Any = {"type": "item_reference", "id": call.id}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = client.responses.create(model="big", input=[asked, named, result], tools=[TOOL])
    assert second.output_text == "It is rain."
    listed = client.responses.input_items.list(second.id, order="asc").data
    assert [item.type for item in listed] == ["message", "function_call", "function_call_output"]
    rest: Any = [asked, named, result, {"type": "item_reference", "id": second.output[0].id}]
    thanks: Any = {"role": "user", "content": "thank you"}
    third = client.responses.create(model="big", input=[*rest, thanks])
    assert third.usage.input_tokens > second.usage.input_tokens


@pytest.mark.parametrize("identity", ["msg_01M8F3B3Y97GMCZFTR8K4K2F4K_0", "msg_of_another_server", "_", ""])
def test_an_item_that_is_not_here_is_not_found(client: OpenAI, identity: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(model="big", input=[{"type": "item_reference", "id": identity}])
    assert (caught.value.param, caught.value.code) == ("input", "item_not_found")
    assert f"Item with id '{identity}' not found" in caught.value.message
    assert "Send the item itself" in caught.value.message


def test_an_item_without_its_id_is_refused(client: OpenAI) -> None:
    unnamed: Any = {"type": "item_reference"}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="big", input=[unnamed])
    assert (caught.value.param, caught.value.code) == ("input[0].id", "missing_required_parameter")


def test_input_tokens_are_counted_and_nothing_is_made(client: OpenAI, shared: Server) -> None:
    first = client.responses.create(model="big", input="one two three")
    before = shared.totals()["requests"]
    counted = client.responses.input_tokens.count(model="big", input="four five", previous_response_id=first.id)
    assert (counted.object, counted.input_tokens) == ("response.input_tokens", 5 + len(REPLY.split()))
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.input_tokens.count(model="big", input=[])
    assert caught.value.param == "input"
    assert shared.totals()["requests"] == before


def test_what_is_not_stored_is_gone(client: OpenAI) -> None:
    made = client.responses.create(model="big", input="hello", store=False)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_nothing_is_stored_where_the_owner_says_so(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_RESPONSES_DAYS="0")
    status, body, _ = server.post("/v1/responses", {"model": "big", "input": "hello"})
    assert (status, body["store"]) == (200, False)
    status, body, _ = server.post("/v1/responses", {"model": "big", "input": "hello", "previous_response_id": "r"})
    assert (status, body["error"]["param"]) == (400, "previous_response_id")
    named = [{"type": "item_reference", "id": "msg_01M8F3B3Y97GMCZFTR8K4K2F4K_0"}]
    status, body, _ = server.post("/v1/responses", {"model": "big", "input": named})
    assert (status, body["error"]["param"]) == (400, "input")
    assert "send the items themselves" in body["error"]["message"]
    assert not (server.folder / "data" / "responses.sqlite").exists()


def test_no_key_sees_what_another_stored(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="first-key-of-ours,second-key-of-ours")
    with server.client(api_key="first-key-of-ours") as first, server.client(api_key="second-key-of-ours") as second:
        made = first.responses.create(model="big", input="hello")
        assert first.responses.retrieve(made.id).id == made.id
        for ask in (second.responses.retrieve, second.responses.delete, second.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                ask(made.id)
        with pytest.raises(openai.BadRequestError):
            second.responses.create(model="big", input="x", previous_response_id=made.id)
        with pytest.raises(openai.NotFoundError):
            second.responses.create(model="big", input=[{"type": "item_reference", "id": made.output[0].id}])
        assert first.responses.retrieve(made.id).id == made.id


@pytest.mark.parametrize("strict", [True, False, None])
def test_a_tool_is_told_as_strict_as_the_expert_hears_it(shared: Server, strict: bool | None) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    asked = {"model": "big", "input": "hello", "tools": [tool if strict is None else {**tool, "strict": strict}]}
    status, body, _ = shared.post("/v1/responses", asked)
    assert (status, body["tools"][0]["strict"]) == (200, strict is True)
