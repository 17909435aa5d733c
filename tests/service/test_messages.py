"""Messages, as Anthropic's official client sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anthropic
import pytest
from anthropic import Anthropic

from tests.service.distant import distant_upstream
from tests.service.server import ROOT, Server, write_registry
from tests.service.test_disconnects import FAR
from tests.upstream import USAGE, Exchange, chunk, completion, event

HI: Any = [{"role": "user", "content": "hello"}]
ASK: Any = [{"role": "user", "content": "WEATHER in two cities"}]
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
REPLY = "Let me think about everything."


def test_models_are_listed_as_anthropics_clients_read_them(shared: Server) -> None:
    names = [model.id for model in shared.client().models.list()]
    with anthropic_client(shared) as client:
        one = client.models.retrieve("poet")
        assert (one.type, one.display_name, one.max_input_tokens) == ("model", "poet", 4096)
        assert one.created_at.tzinfo is not None
        assert [model.id for model in client.models.list(limit=1000)] == names
        pages = list(client.models.list(limit=2).iter_pages())
        assert [len(each.data) for each in pages[:-1]] == [2] * (len(pages) - 1) and len(pages) > 2
        assert [model.id for each in pages for model in each.data] == names, "each page goes on after the last"
        back = client.models.list(limit=2, before_id=names[5])
        assert [model.id for model in back.data] == names[3:5]
        assert (back.first_id, back.last_id, back.has_more) == (names[3], names[4], True)
        assert not client.models.list(before_id=names[2]).has_more
        wrong: list[dict[str, Any]] = [
            {"limit": 0}, {"limit": 1001}, {"after_id": "nobody"}, {"after_id": names[0], "before_id": names[5]},
        ]  # fmt: skip
        for query in wrong:
            with pytest.raises(anthropic.BadRequestError, match=r"_id'|'limit'"):
                client.models.list(**query)
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("nobody")


def test_errors_of_models_are_told_anthropics_clients_as_theirs(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="a-right-key")
    seen = {}
    for key, wanted in (("a-wrong-key", "poet"), ("a-right-key", "nobody/at-all")):
        with anthropic_client(server, api_key=key) as client, pytest.raises(anthropic.APIStatusError) as caught:
            client.models.retrieve(wanted)
        error, told = caught.value, cast(dict[str, Any], caught.value.body)
        assert (told["type"], told["request_id"]) == ("error", error.request_id), "whoever reports it names the request"
        assert told["error"]["message"] and error.request_id == error.response.headers["x-request-id"]
        seen[error.status_code] = error.type
    assert seen == {401: "authentication_error", 404: "not_found_error"}
    answer = server.send("GET", "/v1/models/nobody", None, {"authorization": "Bearer a-right-key"})[1]
    assert list(json.loads(answer)) == ["error"], "OpenAI's clients are told as before"


def anthropic_client(server: Server, **options: Any) -> Anthropic:
    return Anthropic(base_url=server.base, **{"api_key": "unused", "max_retries": 0, **options})


@pytest.fixture(scope="module")
def client(shared: Server) -> Iterator[Anthropic]:
    with anthropic_client(shared) as client:
        yield client


def test_a_message_is_answered(client: Anthropic) -> None:
    system: Any = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    poem: Any = [{"role": "user", "content": "write a poem about the sea"}]
    raw = client.messages.with_raw_response.create(model="auto", max_tokens=64, system=system, messages=poem)
    answer = raw.parse()
    assert (answer.type, answer.role, answer.model, answer.stop_reason) == ("message", "assistant", "poet", "end_turn")
    assert answer.content[0].text == "Roses are red, violets are blue."
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens == 6
    assert answer.id.startswith("msg_")
    assert answer.model_extra["shoal"]["decision"]["expert"] == "poet"
    assert raw.headers["x-shoal-expert"] == "poet"
    assert raw.headers["request-id"] == raw.headers["x-request-id"]


def test_text_says_nothing_of_citations_as_there_are_none(shared: Server) -> None:
    asked = {"model": "big", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
    status, body, _ = shared.post("/v1/messages", asked)
    assert (status, set(body["content"][0])) == (200, {"type", "text"})  # a null there some clients cannot read


def test_a_stream_has_every_event_in_order(client: Anthropic) -> None:
    asked: Any = {"model": "big", "max_tokens": 64, "messages": HI}
    events = list(client.messages.create(**asked, stream=True))
    assert [event.type for event in events] == [
        "message_start", "content_block_start", *["content_block_delta"] * 5, "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip
    assert events[-2].delta.stop_reason == "end_turn"
    assert events[-2].model_extra["shoal"]["decision"]["expert"] == "big"
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    whole = client.messages.create(**asked)
    assert final.content[0].text == whole.content[0].text == REPLY
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens


def test_tools_whole_and_streamed(client: Anthropic) -> None:
    asked: Any = {"model": "auto", "max_tokens": 64, "messages": ASK, "tools": [TOOL]}
    answer = client.messages.create(**asked)
    assert answer.stop_reason == "tool_use"
    assert [block.input["city"] for block in answer.content] == ["Paris", "Oslo"]
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert [(b.type, b.name, b.input) for b in final.content] == [(b.type, b.name, b.input) for b in answer.content]
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": [{"type": "text", "text": f"rain {at}"}]}
        for at, block in enumerate(answer.content)
    ]
    history = [*ASK, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    assert client.messages.create(**asked | {"messages": history}).content[0].text == "It is rain 1."


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "auto", "disable_parallel_tool_use": True}, 1),
        ({"type": "any"}, 2),
        ({"type": "tool", "name": "get_weather"}, 2),
        ({"type": "none"}, 0),
    ],
)
def test_tool_choice_is_kept(client: Anthropic, choice: Any, called: int) -> None:
    answer = client.messages.create(model="big", max_tokens=64, messages=ASK, tools=[TOOL], tool_choice=choice)
    assert sum(block.type == "tool_use" for block in answer.content) == called


def test_a_call_is_tool_use_whatever_the_upstream_calls_its_end(start: Callable[..., Server], tmp_path: Path) -> None:
    """OpenAI says "stop" of a call that it was told to make, Google of every streamed one, which it does not number."""
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
    path = write_registry(tmp_path)
    with distant_upstream() as upstream:

        @upstream.behave("endless")
        async def calls(exchange: Exchange) -> None:
            if exchange.body.get("stream"):
                said = chunk({}, choices=[{"index": 0, "delta": {"role": "assistant", "tool_calls": [call]}}])
                await exchange.stream(event(said), event(chunk({}, "stop", usage=USAGE)), b"data: [DONE]\n\n")
            else:
                choice = {"index": 0, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "stop"}
                await exchange.send(json.dumps(completion(choices=[choice])).encode())

        path.write_text(path.read_text() + FAR.format(url=upstream.url) + "    capabilities: [stream, tools]\n")
        server = start(path)
        asked: Any = {"model": "far", "max_tokens": 64, "messages": ASK, "tools": [TOOL]}
        with anthropic_client(server) as client:
            whole = client.messages.create(**asked)
            with client.messages.stream(**asked) as stream:
                streamed = stream.get_final_message()
        function = {"name": "get_weather", "parameters": TOOL["input_schema"]}
        tools: Any = [{"type": "function", "function": function}]
        with server.client().chat.completions.stream(model="far", messages=ASK, tools=tools) as stream:
            chat = stream.get_final_completion()
    assert [answer.stop_reason for answer in (whole, streamed)] == ["tool_use", "tool_use"]
    assert [answer.content[0].input for answer in (whole, streamed)] == [{"city": "Paris"}] * 2
    assert chat.choices[0].message.tool_calls[0].function.arguments == '{"city": "Paris"}'


def test_a_refusal_is_told_as_one(start: Callable[..., Server], tmp_path: Path) -> None:
    """OpenAI ends it as any answer; a client that asked for JSON by a schema knows by `refusal` that it gets none."""
    path = write_registry(tmp_path)
    with distant_upstream() as upstream:

        @upstream.behave("endless")
        async def refuses(exchange: Exchange) -> None:
            if exchange.body.get("stream"):
                parts = [chunk({"role": "assistant", "refusal": "I "}), chunk({"refusal": "won't"}), chunk({}, "stop")]
                await exchange.stream(*map(event, parts), b"data: [DONE]\n\n")
            else:
                message = {"role": "assistant", "content": None, "refusal": "I won't"}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                await exchange.send(json.dumps(completion(choices=[choice])).encode())

        path.write_text(path.read_text() + FAR.format(url=upstream.url) + "    capabilities: [stream]\n")
        asked: Any = {"model": "far", "max_tokens": 64, "messages": HI}
        with anthropic_client(start(path)) as client:
            whole = client.messages.create(**asked)
            with client.messages.stream(**asked) as stream:
                streamed = stream.get_final_message()
    assert [(a.stop_reason, a.content[0].text) for a in (whole, streamed)] == [("refusal", "I won't")] * 2


def test_a_stop_sequence_is_named(client: Anthropic) -> None:
    asked: Any = {"model": "big", "max_tokens": 64, "messages": HI, "stop_sequences": ["nothing", "think"]}
    answer = client.messages.create(**asked)
    assert (answer.content[0].text, answer.stop_reason, answer.stop_sequence) == ("Let me ", "stop_sequence", "think")
    with client.messages.stream(**asked) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "think")


def test_a_limit_is_named(client: Anthropic) -> None:
    answer = client.messages.create(model="big", max_tokens=2, messages=HI)
    assert (answer.content[0].text, answer.stop_reason) == ("Let me ", "max_tokens")


def test_structured_output_goes_to_who_can(client: Anthropic) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    messages: Any = [{"role": "user", "content": "write a poem about the sea as JSON"}]
    answer = client.messages.create(model="auto", max_tokens=64, messages=messages, output_config=config)
    assert answer.model == "big" and json.loads(answer.content[0].text)["city"] == "Paris"


@pytest.mark.parametrize(
    ("change", "status", "kind", "said"),
    [
        ({"max_tokens": None}, anthropic.BadRequestError, "invalid_request_error", "max_tokens"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error", "messages"),
        ({"temperature": 1.5}, anthropic.BadRequestError, "invalid_request_error", "temperature"),
        ({"model": "nobody"}, anthropic.NotFoundError, "not_found_error", "nobody"),
        ({"model": "cook", "tools": [TOOL]}, anthropic.BadRequestError, "invalid_request_error", "tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "model": "cook"}, anthropic.BadRequestError,
         "invalid_request_error", "thinking"),
        ({"messages": [*HI, {"role": "assistant", "content": "I"}]}, anthropic.BadRequestError,
         "invalid_request_error", "last message"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}]},
         anthropic.BadRequestError, "invalid_request_error", "tool_use_id"),
        ({"messages": [{"role": "user", "content": "BREAK"}], "model": "poet"}, anthropic.InternalServerError,
         "api_error", "poet"),
    ],
)  # fmt: skip
def test_errors_have_anthropics_shape(
    client: Anthropic, change: dict[str, Any], status: type[anthropic.APIStatusError], kind: str, said: str
) -> None:
    asked: Any = {"model": "big", "max_tokens": 64, "messages": HI}
    with pytest.raises(status) as caught:
        client.messages.create(**asked, extra_body=change)
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert said in body["error"]["message"]
    assert body["request_id"] == caught.value.request_id


def test_a_stream_that_breaks_off_raises(client: Anthropic) -> None:
    cut: Any = [{"role": "user", "content": "CUT"}]
    with pytest.raises(anthropic.APIStatusError):
        list(client.messages.create(model="poet", max_tokens=9, messages=cut, stream=True))


def test_keys_come_as_anthropic_sends_them(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="first-key-of-ours")
    with anthropic_client(server, api_key="first-key-of-ours") as client:
        assert client.messages.create(model="big", max_tokens=9, messages=HI).content
    with anthropic_client(server, api_key="wrong") as client, pytest.raises(anthropic.AuthenticationError) as caught:
        client.messages.create(model="big", max_tokens=9, messages=HI)
    body: Any = caught.value.body
    assert body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_a_thread_is_refused_in_the_words_after_which_clients_send_it_all(shared: Server, thread: Any) -> None:
    """Ignored, the first turn would be answered and the second would come without the first."""
    asked = {"model": "big", "max_tokens": 9, "messages": HI, "thread": thread}
    status, body, _ = shared.post("/v1/messages", asked)
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "thread", "unsupported_parameter")
    assert "send all messages" in body["error"]["message"]
    assert body["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


def test_what_has_no_effect_is_named(client: Anthropic) -> None:
    raw = client.messages.with_raw_response.create(model="big", max_tokens=9, messages=HI, extra_body={"top_k": 3})
    assert raw.headers["x-shoal-ignored-params"] == "top_k"


def test_tokens_are_counted_as_they_are_charged(client: Anthropic) -> None:
    asked: Any = {"model": "big", "messages": HI, "system": "Be brief and kind."}
    counted = client.messages.count_tokens(**asked)
    assert counted.input_tokens == client.messages.create(**asked, max_tokens=9).usage.input_tokens
    assert counted.model_extra["shoal"] == {"expert": "big", "source": "tokenizer"}


def test_the_local_model_counts_and_answers(start: Callable[..., Server]) -> None:
    with anthropic_client(start(ROOT / "registry.yaml")) as client:
        asked: Any = {"model": "chat", "messages": HI, "system": "You are terse."}
        counted = client.messages.count_tokens(**asked)
        with client.messages.stream(**asked, max_tokens=8, extra_body={"temperature": 0}) as stream:
            final = stream.get_final_message()
        spent = final.usage
        assert final.content[0].text
        assert counted.input_tokens == spent.input_tokens + spent.cache_read_input_tokens
        estimated = client.messages.count_tokens(model="triage", messages=HI)
        assert estimated.model_extra["shoal"]["source"] == "estimate"


PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({**PNG, "data": None}, "Missing required parameter: '{}.data'."),
        ({**PNG, "data": ""}, "Invalid '{}.data': string too short."),
        ({**PNG, "media_type": None}, "Missing required parameter: '{}.media_type'."),
        ({**PNG, "media_type": "image/svg"}, "Invalid value: 'image/svg'. Supported values are: 'image/jpeg', "),
        ({**PNG, "type": "url"}, "Missing required parameter: '{}.url'."),
    ],
)
@pytest.mark.parametrize("within", [False, True], ids=["user's", "tool's"])
def test_an_image_without_a_picture_is_refused(client: Anthropic, source: Any, said: str, within: bool) -> None:
    """It went on to the expert as `data:image/png;base64,None`."""
    image: Any = {"type": "image", "source": {name: value for name, value in source.items() if value is not None}}
    used: Any = [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]
    result: Any = {"type": "tool_result", "tool_use_id": "a", "content": [image]}
    messages: Any = [*HI, {"role": "assistant", "content": used}, {"role": "user", "content": [result]}]
    place = "messages[2].content[0].content[0].source" if within else "messages[0].content[0].source"
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(
            model="big", max_tokens=9, messages=messages if within else [{"role": "user", "content": [image]}]
        )
    body: Any = caught.value.body
    assert said.format(place) in body["error"]["message"]
