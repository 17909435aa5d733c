"""OpenAIExpert gives whole answers or the right error, whatever the server sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion

from experts.answer_limit import AnswerLimit
from experts.conversation import Conversation
from experts.errors import (
    ExpertError,
    ExpertFailed,
    ExpertOverloaded,
    ExpertRefused,
    ExpertTimedOut,
    ExpertUnauthorised,
    ExpertUnknown,
)
from experts.llama_cpp import LlamaCppExpert
from experts.openai_http import OpenAIExpert
from experts.spec import Timeouts
from experts.wire import MAX_TOKENS, Usage
from tests.experts.lab import Lab, call, events, open_lab
from tests.upstream import USAGE, Exchange, completion


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as lab:
        yield lab


async def test_a_whole_answer_names_the_expert_and_its_tokens(lab: Lab) -> None:
    expert = lab.expert("ok", key="k-123")
    answer = await expert.complete(call(stream=True, stream_options={"include_usage": True}, temperature=0.5))
    spent = Usage(12, 3, source="upstream")
    assert answer.body == completion("small", usage=spent.to_openai()) and answer.usage == spent
    ChatCompletion.model_validate(answer.body, strict=True)
    seen = lab.upstream.seen[0]
    assert seen.path == "/v1/chat/completions" and seen.headers["authorization"] == "Bearer k-123"
    assert seen.body == {"model": "ok", "messages": call().body["messages"], "stream": False, "temperature": 0.5}


async def test_a_key_from_a_file_may_end_in_a_line_break_but_not_hold_one(lab: Lab) -> None:
    await lab.expert("ok", key=" k-123\n").complete(call())
    assert lab.upstream.seen[0].headers["authorization"] == "Bearer k-123"
    with pytest.raises(ExpertUnauthorised) as refused:
        lab.expert("ok", key="k-123\nX-Evil: 1")
    assert "k-123" not in str(refused.value)


async def test_a_query_behind_the_url_goes_along_with_every_request(lab: Lab) -> None:
    @lab.upstream.behave("")
    async def models(exchange: Exchange) -> None:
        await exchange.send(b'{"data": []}')

    expert = OpenAIExpert("small", f"{lab.upstream.url}/?api-version=2&x=%20y", "ok", timeouts=Timeouts())
    await expert.complete(call())
    await expert.models()
    await expert.aclose()
    paths = [seen.path for seen in lab.upstream.seen]
    assert paths == ["/v1/chat/completions?api-version=2&x=%20y", "/v1/models?api-version=2&x=%20y"]


async def test_the_callers_body_is_left_alone(lab: Lab) -> None:
    asked = call(stream_options={"include_obfuscation": False})
    before = orjson.dumps(asked.body)
    await lab.expert("ok").complete(asked)
    assert [event async for event in lab.expert("ok").stream(asked)]
    assert orjson.dumps(asked.body) == before
    options = lab.upstream.seen[1].body["stream_options"]
    assert options == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_without_a_limit_gets_the_experts(lab: Lab, stream: bool) -> None:
    """What a request names counts, more or less; where the context might be too short, it is the limit."""
    expert = lab.expert("ok", limit=AnswerLimit(50, context=100))
    short, long = [{"role": "user", "content": "x" * size} for size in (149, 153)]
    asked = [{}, {"max_tokens": 80}, {"max_completion_tokens": 7}, {"messages": [short]}, {"messages": [long]}]
    for body in asked:
        if stream:
            assert await events(expert, **body)
        else:
            await expert.complete(call(**body))
    sent = [seen.body for seen in lab.upstream.seen]
    assert [body.get("max_tokens") for body in sent] == [50, 80, None, 50, None]
    assert [body.get("max_completion_tokens") for body in sent] == [None, None, 7, None, None]


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "absent",
        {},
        {"prompt_tokens": "many"},
        {"prompt_tokens": -4},
        [1],
        {"prompt_tokens": 1e300},
    ],
)
async def test_an_answer_without_sound_usage_counts_nothing_and_says_so(lab: Lab, usage: Any) -> None:
    body = completion(usage=usage)
    if usage == "absent":
        del body["usage"]
    answer = await lab.says(orjson.dumps(body)).complete(call())
    assert answer.usage == Usage(source="none") and answer.body["usage"]["total_tokens"] == 0


@pytest.mark.parametrize("told", [{"prompt_tokens": 12}, {"completion_tokens": 3}])
@pytest.mark.parametrize("other", [{}, {"prompt_tokens": None, "completion_tokens": None}])
async def test_one_count_of_two_is_kept_and_is_not_all(lab: Lab, told: dict[str, int], other: dict[str, None]) -> None:
    answer = await lab.says(orjson.dumps(completion(usage={**other, **told}))).complete(call())
    assert answer.usage == Usage(told.get("prompt_tokens", 0), told.get("completion_tokens", 0), source="none")


async def test_choices_of_which_one_is_not_counted_are_not_counted_together(lab: Lab) -> None:
    usages: list[dict[str, int]] = [USAGE, {"prompt_tokens": 12}]

    @lab.upstream.behave("pair")
    async def behave(exchange: Exchange) -> None:
        await exchange.send(orjson.dumps(completion(usage=usages.pop())))

    answer = await LlamaCppExpert(lab.expert("pair"), Conversation()).complete(call(n=2))
    assert answer.usage == Usage(source="none") and not usages


async def test_zero_tokens_stay_zero_and_subsets_are_read(lab: Lab) -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert (await lab.says(orjson.dumps(completion(usage=zero))).complete(call())).usage == Usage(source="upstream")
    fine = {
        **USAGE,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = await lab.says(orjson.dumps(completion(usage=fine))).complete(call())
    assert answer.usage == Usage(12, 3, 5, 2, "upstream")


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ((32, 9, 135, 94), (32, 103, 94)),  # as in xAI's own example: its total has them beside the completion
        ((21, 0, 81, 60), (21, 60, 60)),
        ((32, 103, 135, 94), (32, 103, 94)),
        ((32, 9, 41, 94), (32, 9, 9)),  # its total says that there were no more
        ((32, 9, 41, 0), (32, 9, 0)),
    ],
)
async def test_reasoning_that_is_counted_beside_the_completion_is_charged(
    lab: Lab, told: tuple[int, ...], counted: tuple[int, int, int]
) -> None:
    asked, said, total, reasoning = told
    usage = {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": total}
    usage |= {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    answer = await lab.says(orjson.dumps(completion(usage=usage))).complete(call())
    assert answer.usage == Usage(counted[0], counted[1], 0, counted[2], "upstream")
    assert answer.body["usage"]["completion_tokens"] == counted[1]
    assert answer.body["usage"]["total_tokens"] == counted[0] + counted[1]
    assert answer.body["usage"]["completion_tokens_details"]["reasoning_tokens"] == counted[2]


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}}, (12, 4, 5)),
        ({"prompt_tokens_details": {"cache_write_tokens": None}}, (12, 0, 0)),
        ({"prompt_tokens_details": None, "cache_creation_input_tokens": 5}, (12, 0, 5)),
        ({"cache_creation_input_tokens": 5, "cache_read_input_tokens": 4}, (12, 4, 5)),
        ({"cache_creation_input_tokens": None, "cache_read_input_tokens": None}, (12, 0, 0)),
        ({"prompt_tokens_details": {"cache_write_tokens": 5}, "cache_creation_input_tokens": 5}, (12, 0, 5)),
        ({"prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 50}}, (12, 8, 4)),
        ({"prompt_tokens_details": {"cached_tokens": 50, "cache_write_tokens": 50}}, (12, 12, 0)),
        # Beside the prompt, as Anthropic counts: the total says so.
        ({"cache_creation_input_tokens": 500, "total_tokens": 515}, (512, 0, 500)),
        ({"cache_creation_input_tokens": 20, "cache_read_input_tokens": 500, "total_tokens": 535}, (532, 500, 20)),
        # More than the prompt is no part of it, whatever the total says, and where there is none.
        ({"cache_creation_input_tokens": 20, "cache_read_input_tokens": 500, "total_tokens": None}, (532, 500, 20)),
        ({"cache_read_input_tokens": 500}, (512, 500, 0)),
    ],
)
async def test_what_is_written_into_a_cache_is_counted_apart(
    lab: Lab, told: dict[str, Any], counted: tuple[int, int, int]
) -> None:
    answer = await lab.says(orjson.dumps(completion(usage={**USAGE, **told}))).complete(call())
    asked, cached, written = counted
    assert answer.usage == Usage(asked, 3, cached, 0, "upstream", written)
    said = answer.body["usage"]
    assert (said["prompt_tokens"], said["total_tokens"]) == (asked, asked + 3)
    assert said["prompt_tokens_details"] == {
        "cached_tokens": cached, "cache_write_tokens": written, "audio_tokens": 0,
    }  # fmt: skip


@pytest.mark.parametrize("written", [-1, "many", 2**41])
async def test_a_count_of_what_a_cache_took_that_is_none_makes_all_of_it_none(lab: Lab, written: object) -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cache_write_tokens": written}}
    assert (await lab.says(orjson.dumps(completion(usage=usage))).complete(call())).usage == Usage()


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
@pytest.mark.parametrize("wrong", [2**27 + 1, 2**31 - 1, 2**32 - 1, 2**40])
async def test_a_count_that_no_request_comes_near_is_none(lab: Lab, name: str, wrong: int) -> None:
    # -1 in 32 bits, say: a few such answers, at joules a token, are more than the ledger's sums hold.
    assert (await lab.says(orjson.dumps(completion(usage={**USAGE, name: wrong}))).complete(call())).usage == Usage()
    largest = {**USAGE, name: MAX_TOKENS}
    assert (await lab.says(orjson.dumps(completion(usage=largest))).complete(call())).usage.source == "upstream"


async def test_no_more_of_a_prompt_is_cached_than_was_read(lab: Lab) -> None:
    usage = {**USAGE, "prompt_tokens_details": {"cached_tokens": 50}}
    answer = await lab.says(orjson.dumps(completion(usage=usage))).complete(call())
    assert answer.usage == Usage(12, 3, 12, 0, "upstream")


BROKEN = {
    "a web page": (b"<html>Bad gateway</html>", {"content-type": "text/html"}),
    "a web page called JSON": (b"<html>", None),
    "empty": (b"", None),
    "an empty object": (b"{}", None),
    "cut JSON": (orjson.dumps(completion())[:-9], None),
    "no choices": (orjson.dumps(completion(choices=[])), None),
    "more choices than can be asked for": (orjson.dumps(completion(choices=completion()["choices"] * 129)), None),
    "choices of the wrong type": (orjson.dumps(completion(choices={"0": {}})), None),
    "no message": (orjson.dumps(completion(choices=[{"index": 0, "finish_reason": "stop"}])), None),
    "an empty message": (orjson.dumps(completion(choices=[{"index": 0, "message": {}}])), None),
    "content of the wrong type": (orjson.dumps(completion(choices=[{"message": {"content": 7}}])), None),
    "tool calls of the wrong type": (orjson.dumps(completion(choices=[{"message": {"tool_calls": ["f"]}}])), None),
    "a call of the wrong type": (
        orjson.dumps(completion(choices=[{"message": {"tool_calls": [{"function": 7}]}}])),
        None,
    ),
    "arguments that are no text": (
        orjson.dumps(completion(choices=[{"message": {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}}])),
        None,
    ),
    "another object": (orjson.dumps(completion(object="list")), None),
    "a list": (b"[]", None),
    "not UTF-8": (b'{"choices":[{"message":{"content":"\xff"}}]}', None),
    "an error in a 200": (b'{"error":{"message":"CUDA out of memory","type":"server_error"}}', None),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_is_no_completion_is_never_passed_on(lab: Lab, name: str) -> None:
    body, headers = BROKEN[name]
    expert = lab.says(body, headers=headers)
    with pytest.raises(ExpertFailed):
        await expert.complete(call())
    with pytest.raises(ExpertFailed):
        await events(expert)


async def test_what_an_answer_leaves_open_is_filled_in(lab: Lab) -> None:
    body = completion(id=None, created=None)
    body["choices"][0] |= {"index": None, "finish_reason": None}
    body["choices"][0]["message"]["role"] = None
    told = (await lab.says(orjson.dumps(body)).complete(call())).body
    ChatCompletion.model_validate(told, strict=True)
    assert told["choices"] == completion()["choices"]


@pytest.mark.parametrize("arguments", [{}, {"arguments": None}])
async def test_a_call_without_id_and_arguments_has_both(lab: Lab, arguments: dict[str, None]) -> None:
    said = {"content": None, "tool_calls": [{"type": "function", "function": {"name": "f", **arguments}}]}
    answer = await lab.says(orjson.dumps(completion(choices=[{"message": said}]))).complete(call())
    (told,) = answer.body["choices"][0]["message"]["tool_calls"]
    assert told["id"].startswith("call_") and told["function"]["arguments"] == "{}"


async def test_a_call_of_no_function_is_an_answer_where_such_a_tool_was_offered(lab: Lab) -> None:
    called = {"id": "c", "type": "custom", "custom": {"name": "t", "input": "x"}}
    body = orjson.dumps(completion(choices=[{"message": {"content": None, "tool_calls": [called]}}]))
    offered = {"type": "custom", "custom": {"name": "t"}}
    answer = await lab.says(body).complete(call(tools=[offered]))
    assert answer.body["choices"][0]["message"]["tool_calls"] == [called]
    function = {"type": "function", "function": {"name": "t"}}
    for tools in ({}, {"tools": [function]}):
        with pytest.raises(ExpertFailed):
            await lab.says(body).complete(call(**tools))


def problem(message: str = "no", **more: Any) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, **more}})


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, problem(), ExpertRefused),
        (422, b'{"detail":[{"msg":"bad"}]}', ExpertRefused),
        (400, b"<html>", ExpertFailed),
        (401, problem(), ExpertUnauthorised),
        (402, problem(), ExpertUnauthorised),
        (403, b"", ExpertUnauthorised),
        (404, problem(code="model_not_found"), ExpertUnknown),
        (405, b"", ExpertUnknown),
        (408, b"", ExpertTimedOut),
        (429, problem(), ExpertOverloaded),
        (503, b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', ExpertOverloaded),
        (500, problem(), ExpertFailed),
        (502, b"<html>Bad gateway</html>", ExpertFailed),
        (302, b"", ExpertFailed),
        (204, b"", ExpertFailed),
    ],
)
async def test_a_status_becomes_the_right_error(lab: Lab, status: int, body: bytes, kind: type[ExpertError]) -> None:
    expert = lab.says(body, status, {"content-type": "application/json", "location": lab.upstream.url})
    with pytest.raises(kind) as whole:
        await expert.complete(call())
    with pytest.raises(kind) as streamed:
        await events(expert)
    assert whole.type is streamed.type is kind and whole.value.expert == "small"
    assert len(lab.upstream.seen) == 2, "neither retried nor redirected"


@pytest.mark.parametrize(
    ("body", "status"),
    [(problem(), 404), (b"", 405), (b"", 403), (problem(), 400), (b"<html>", 200), (b'{"input_tokens": "x"}', 200)]
    + [(b'{"input_tokens": %b}' % wrong, 200) for wrong in (b"-1", b"1e25", b"1e999", b"[1]", b"134217729")],
)
async def test_a_server_that_counts_no_tokens_is_no_worse_for_it(lab: Lab, body: bytes, status: int) -> None:
    assert await lab.says(body, status).count(call()) is None


async def test_a_server_that_counts_tokens_is_believed(lab: Lab) -> None:
    assert await lab.says(b'{"input_tokens": 7}').count(call()) == 7
    with pytest.raises(ExpertOverloaded):
        await lab.says(b"", 503).count(call())


async def test_a_refusal_keeps_the_upstreams_words(lab: Lab) -> None:
    expert = lab.says(problem("too long", param="messages", code="context_length_exceeded"), 400)
    with pytest.raises(ExpertRefused) as refused:
        await expert.complete(call())
    error = refused.value
    assert (error.status, error.param, error.code, error.message) == (
        400, "messages", "context_length_exceeded", "too long",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"n_prompt_tokens": 6031, "n_ctx": 4096}, "This model's maximum context length is 4096 tokens; the prompt "
         "holds 6031. Please shorten it."),
        ({"n_prompt_tokens": "many"}, "try increasing it"),
    ],
)  # fmt: skip
async def test_what_an_engine_tells_whoever_runs_it_is_not_told_a_client(
    lab: Lab, told: dict[str, object], said: str
) -> None:
    expert = lab.says(problem("try increasing it", type="exceed_context_size_error", **told), 400)
    with pytest.raises(ExpertRefused) as refused:
        await expert.complete(call())
    assert (refused.value.code, refused.value.message) == ("context_length_exceeded", said)


@pytest.mark.parametrize(
    "secret",
    ["sk-proj-abcdef123456", "Bearer abc.def.ghi", "AIzaSyA1234567890abcdef", "0123456789abcdef" * 4, "my-own-key"],
)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_no_secret_leaves_in_a_message(lab: Lab, secret: str, status: int) -> None:
    lab.says(problem(f"Incorrect API key provided: {secret} (and more) " + "x" * 9000), status)
    with pytest.raises(ExpertError) as failed:
        await lab.expert("fixed", key="my-own-key").complete(call())
    assert secret.removeprefix("Bearer ") not in str(failed.value) and "[redacted]" in str(failed.value)
    assert len(str(failed.value)) < 600


def http_date(delta: timedelta) -> str:
    return format_datetime(datetime.now(UTC) + delta, usegmt=True)


@pytest.mark.parametrize(
    ("advice", "low", "high"),
    [
        ("1", 1, 1),
        ("0", 0, 0),
        ("2.5", 2.5, 2.5),
        ("300", 60, 60),
        (timedelta(seconds=40), 20, 40),
        (timedelta(days=40), 60, 60),
    ],
)
async def test_advice_to_wait_is_followed_within_reason(
    lab: Lab, advice: str | timedelta, low: float, high: float
) -> None:
    advice = advice if isinstance(advice, str) else http_date(advice)
    with pytest.raises(ExpertOverloaded) as overloaded:
        await lab.says(b"", 429, {"Retry-After": advice}).complete(call())
    assert overloaded.value.retry_after_s is not None and low <= overloaded.value.retry_after_s <= high


ODD_DATES = [
    "Wed, 99 Foo",
    "Mon, 99999999999 Jan 2020 00:00:00 GMT",
    "Mon, 01 Jan -9999999999 00:00:00 GMT",
    "Mon, 01 Jan 2020 00:00:99999999999 GMT",
    "Mon, 01 Jan 2020 00:00:00 +99999999999999",
]


@pytest.mark.parametrize("advice", ["soon", "-5", "nan", "inf", "", *ODD_DATES, http_date(-timedelta(days=1))])
async def test_senseless_advice_is_no_advice(lab: Lab, advice: str) -> None:
    with pytest.raises(ExpertOverloaded) as overloaded:
        await lab.says(b"", 503, {"Retry-After": advice}).complete(call())
    assert overloaded.value.retry_after_s is None
