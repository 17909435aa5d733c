"""What is said of a wrong body, however much of it is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from router.api import validate
from router.api.chat_schema import ChatBody
from router.api.complaint import complaint
from router.api.embeddings.schema import EmbeddingsBody
from router.api.errors import ApiError
from router.api.messages.schema import MessageBody
from router.api.responses.schema import ResponseBody
from router.api.validate import Checker

MANY = 60_000
"""Parts whose problems, each held against each, would keep the server busy until this test is ended."""


MOST = 1_000
"""The same where there may be no more than some."""


def test_a_body_of_very_many_wrong_parts_is_refused_like_one_of_two() -> None:
    said = [refusal(number) for number in (2, MANY)]
    assert said[0] == said[1]
    assert "Supported values are" in said[0]


def refusal(number: int) -> str:
    content = [{"type": "bogus", "text": 1}] * number
    with pytest.raises(ApiError) as refused:
        Checker(ChatBody).check({"model": "auto", "messages": [{"role": "user", "content": content}]})
    return refused.value.message


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **more}


def said(content: Any) -> dict[str, Any]:
    return {"model": "auto", "max_tokens": 1, "messages": [{"role": "user", "content": content}]}


SMALL = {"type": "text", "text": 1, "refusal": 1, "image_url": 1}
FAULTY: list[tuple[type[BaseModel], Any]] = [
    (ChatBody, said([SMALL] * MANY)),
    (ChatBody, chat(messages=[{"role": 1, "content": 1, "name": 1}] * MOST)),
    (ChatBody, chat(prediction={"type": "content", "content": [SMALL] * MANY})),
    (ChatBody, chat(modalities=["x"] * MANY)),
    (ChatBody, chat(metadata={str(at): 1 for at in range(MANY)})),
    (ChatBody, chat(logit_bias={str(at): "x" for at in range(MANY)})),
    (MessageBody, said([{"type": "x", "text": 1, "id": 1}] * MOST)),
    (MessageBody, {**said("hi"), "system": [SMALL] * MOST}),
    (MessageBody, said([{"type": "tool_result", "tool_use_id": "a", "content": [SMALL] * MANY}])),
    (ResponseBody, {"model": "auto", "input": [{"role": 1, "content": 1}] * MOST}),
    (ResponseBody, {"model": "auto", "input": [{"role": "user", "content": [{"type": "x"}] * MOST}]}),
    (ResponseBody, {"model": "auto", "input": [{"call_id": "a", "output": [{"type": "x"}] * MANY}]}),
    (EmbeddingsBody, {"model": "encoder", "input": "a", **{f"z{at}": 1 for at in range(MANY)}}),
    (ChatBody, chat(modalities=["text", "audio", "text"])),
]


@pytest.mark.parametrize("at", range(len(FAULTY)))
def test_of_very_many_faults_few_are_looked_at(at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes ten microseconds of the event loop's time: of 900,000 modalities they took eleven seconds."""
    found: list[int] = []

    def counted(error: ValidationError) -> ApiError:
        found.append(error.error_count())
        return complaint(error)

    monkeypatch.setattr(validate, "complaint", counted)
    model, body = FAULTY[at]
    with pytest.raises(ApiError):
        Checker(model).check(body)
    assert 1 <= found[0] < 30


def test_the_first_unknown_name_is_told_and_known_ones_are_checked_beside_many() -> None:
    many = {f"z{at}": 1 for at in range(MANY)}
    for body, param in [({"input": "a"}, "z0"), ({"input": 1}, "input")]:
        with pytest.raises(ApiError) as refused:
            Checker(EmbeddingsBody).check({"model": "encoder", **many, **body})
        assert refused.value.param == param


def test_a_name_is_repeated_to_its_client_only_as_far_as_it_takes_to_know_it() -> None:
    with pytest.raises(ApiError) as refused:
        Checker(EmbeddingsBody).check({"model": "encoder", "input": "a", "z" * 1_000_000: 1})
    assert refused.value.param == "z" * 63 + "…"
    assert len(refused.value.message) < 200


UNKNOWN = {f"z{at}": 1 for at in range(MANY)}


@pytest.mark.parametrize(
    ("model", "body", "param"),
    [
        (ChatBody, chat(**UNKNOWN), "z0"),
        (ChatBody, chat(messages=[{"role": "user", "content": "hi"}, {"role": "user", **UNKNOWN}]), "messages[1].z0"),
        (ChatBody, said([{"type": "text", "text": "hi", **UNKNOWN}]), "messages[0].content[0].z0"),
        (ChatBody, chat(tool_choice={"type": "custom", "custom": {"name": "f", **UNKNOWN}}), "tool_choice.custom.z0"),
        (
            ResponseBody,
            {"model": "auto", "input": "", "text": {"format": {"type": "text", **UNKNOWN}}},
            "text.format.z0",
        ),
    ],
)
def test_of_very_many_unknown_names_the_first_is_told_where_none_may_be(
    model: type[BaseModel], body: Any, param: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else: pydantic's list of 200,000 in a message kept the event loop for four seconds."""
    monkeypatch.setattr(validate, "complaint", None)
    with pytest.raises(ApiError) as refused:
        Checker(model).check(body, strict=True)
    assert (refused.value.param, refused.value.code) == (param, "unknown_parameter")


def test_names_that_are_free_and_names_by_an_alias_are_known_where_none_other_may_be() -> None:
    schema = {"type": "object", "properties": {"mood": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    body = chat(response_format=form, metadata={"mood": "good"}, logit_bias={"7": 1})
    assert Checker(ChatBody).check(body, strict=True) is body
