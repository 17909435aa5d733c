"""A label expert answers with a label, and with how sure it is when asked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from experts.errors import ExpertFailed, RegistryError
from experts.labels import LabelsExpert
from experts.spec import LabelsSpec
from experts.wire import Call, Usage
from tests.bag import count_tokens, embed

THINGS = ("order", "parcel", "invoice", "box", "item")
ROWS = [
    {"input": text.format(thing), "label": label}
    for label, text in {
        "refund": "please refund my money for the {}",
        "delivery": "when will the {} arrive at my door",
        "login": "i cannot sign in with my password to see the {}",
    }.items()
    for thing in THINGS
]


def write(path: Path, rows: list[dict[str, str]]) -> LabelsSpec:
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return LabelsSpec(kind="labels", id="triage", description="d", params_b=0, context=4096, labels=path)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> LabelsExpert:
    return LabelsExpert.load(write(tmp_path_factory.mktemp("labels") / "rows.jsonl", ROWS), embed, count_tokens)


def call(text: str, **body: Any) -> Call:
    return Call({"messages": [{"role": "user", "content": text}], **body}, "r-1", embed([text])[0])


@pytest.mark.parametrize(
    ("text", "label"),
    [("REFUND the money please", "refund"), ("it did not arrive", "delivery"), ("wrong password", "login")],
)
async def test_the_answer_is_the_bare_label(expert: LabelsExpert, text: str, label: str) -> None:
    found = await expert.complete(call(text))
    ChatCompletion.model_validate(found.body, strict=True)
    choice = found.body["choices"][0]
    assert choice["message"]["content"] == label and choice["logprobs"] is None and choice["finish_reason"] == "stop"
    assert found.body["model"] == "triage" and found.usage == Usage(len(text.split()), 1, source="tokenizer")


async def test_a_stream_says_the_same(expert: LabelsExpert) -> None:
    asked = call("refund me", logprobs=True, top_logprobs=2)
    stream = [event async for arrived in expert.stream(asked) for event in arrived]
    for event in stream:
        ChatCompletionChunk.model_validate(event.chunk, strict=True)
    _, said, finish, last = stream
    whole = (await expert.complete(asked)).body
    assert said.chunk["choices"][0]["delta"] == {"content": "refund"}
    assert said.chunk["choices"][0]["logprobs"] == whole["choices"][0]["logprobs"]
    assert finish.chunk["choices"][0]["finish_reason"] == "stop"
    assert last.chunk["usage"] == whole["usage"] and last.usage is not None


@pytest.mark.parametrize("top", [0, 2, 20])
async def test_it_tells_how_sure_it_is(expert: LabelsExpert, top: int) -> None:
    found = await expert.complete(call("refund me", logprobs=True, top_logprobs=top))
    ChatCompletion.model_validate(found.body, strict=True)
    (token,) = found.body["choices"][0]["logprobs"]["content"]
    assert token["token"] == "refund" and token["bytes"] == list(b"refund") and math.log(1 / 3) < token["logprob"] <= 0
    others = [each["logprob"] for each in token["top_logprobs"]]
    assert len(others) == min(top, 3) and others == sorted(others, reverse=True)
    if top == 20:
        assert sum(map(math.exp, others)) == pytest.approx(1, abs=1e-4)


async def test_it_is_surer_of_what_it_knows(expert: LabelsExpert) -> None:
    async def sureness(text: str) -> float:
        body = (await expert.complete(call(text, logprobs=True))).body
        return float(body["choices"][0]["logprobs"]["content"][0]["logprob"])

    assert await sureness("please refund my money for the order") > await sureness("the the the")


async def test_without_a_vector_it_fails(expert: LabelsExpert) -> None:
    with pytest.raises(ExpertFailed, match="request vector"):
        await expert.complete(Call({"messages": []}, "r-1"))
    await expert.aclose()


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(RegistryError, match=r"rows.jsonl:2: label is missing"):
        LabelsExpert.load(write(path, [ROWS[0], {"input": "x"}]), embed)
    with pytest.raises(RegistryError, match="every row has the label 'refund'"):
        LabelsExpert.load(write(path, ROWS[:5]), embed)
