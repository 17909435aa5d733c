"""Text completions as servers send them, told as a chat."""

from __future__ import annotations

from experts.http.text import as_chat, as_chat_chunk, text_request
from tests.upstream import USAGE

BODY = {"model": "m", "messages": [{"role": "user", "content": "Say"}], "max_tokens": 2, "stream": False}
LISTS = {
    "tokens": ["Hel", "lo"],
    "token_logprobs": [-0.5, -1.5],
    "top_logprobs": [{"Hel": -0.5, "Hi": -2.0}, {"ly": -1.0, "lo": -1.5}],
    "text_offset": [0, 3],
}


def test_a_request_has_the_prompt_for_the_messages() -> None:
    assert text_request(BODY, ["Say"]) == {"model": "m", "max_tokens": 2, "stream": False, "prompt": "Say"}
    assert text_request(BODY | {"logprobs": True}, ["a", "b"])["prompt"] == ["a", "b"]
    assert text_request(BODY | {"logprobs": True}, [[1, 2]]) | {"prompt": 0} == {
        "model": "m", "max_tokens": 2, "stream": False, "prompt": 0, "logprobs": 0,
    }  # fmt: skip
    assert text_request(BODY | {"logprobs": True, "top_logprobs": 3}, ["x"])["logprobs"] == 3


def test_openais_lists_become_tokens() -> None:
    choice = {"text": "Hello", "index": 0, "logprobs": LISTS, "finish_reason": "stop"}
    answer = as_chat({"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": USAGE})
    (told,) = answer["choices"]
    assert answer["object"] == "chat.completion"
    assert told["message"] == {"content": "Hello"}
    first, second = told["logprobs"]["content"]
    assert (first["token"], first["logprob"], first["bytes"]) == ("Hel", -0.5, [72, 101, 108])
    assert [top["token"] for top in second["top_logprobs"]] == ["ly", "lo"]


def test_a_chunk_without_text_says_nothing() -> None:
    chunk = {"choices": [{"text": "", "index": 1, "logprobs": None, "finish_reason": "length"}]}
    (told,) = as_chat_chunk(chunk)["choices"]
    assert told == {"index": 1, "finish_reason": "length", "delta": {}, "logprobs": None}


def test_what_is_no_text_completion_stays_what_it_is() -> None:
    for odd in (None, [], {"choices": 7}, {"choices": [None]}, {"choices": [{"text": 7}]}):
        told = as_chat(odd)
        assert told == odd or told["choices"] == odd["choices"]
