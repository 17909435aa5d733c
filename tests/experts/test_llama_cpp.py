"""SmolLM2 in its child process, asked over its private socket."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from experts.child import Child, Patience
from experts.conversation import Conversation
from experts.engines import llama_cpp
from experts.engines.gguf import control_tokens
from experts.errors import ExpertRefused, ExpertUnavailable
from experts.extras import install
from experts.llama_cpp import LlamaCppExpert
from experts.openai_http import OpenAIExpert
from experts.pooling.opening import Opener
from experts.spec import LlamaCppSpec, Timeouts, Weights
from experts.wire import Call

pytestmark = pytest.mark.asyncio(loop_scope="module")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
WEIGHTS = Weights(source="file:model.gguf", sha256="0" * 64, licence="Apache-2.0")
SECRETS = {"SHOAL_ADMIN_KEY": "canary-1", "OPENAI_API_KEY": "canary-2", "HF_TOKEN": "canary-3"}


def spec(**changes: Any) -> LlamaCppSpec:
    settings: dict[str, Any] = {"context": 2048, "slots": 2, "memory_mb": 400, **changes}
    return LlamaCppSpec(id="chat", kind="llama_cpp", description="d", weights=WEIGHTS, params_b=0.135, **settings)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def child(smollm_weights: Path) -> AsyncIterator[Child]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        child = Child("chat", llama_cpp.recipe(spec(), smollm_weights))
        try:
            await child.start()
            yield child
        finally:
            await child.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat(child: Child, smollm_weights: Path) -> AsyncIterator[LlamaCppExpert]:
    server = OpenAIExpert(
        "chat",
        child.address.base_url,
        "chat",
        key=None,
        timeouts=Timeouts(),
        unix_socket=child.address.unix_socket,
        max_concurrency=8,
        fingerprint=llama_cpp.fingerprint(spec()),
    )
    expert = LlamaCppExpert(server, Conversation(control_tokens(smollm_weights)))
    yield expert
    await expert.aclose()


def ask(text: str, **more: Any) -> Call:
    return Call({"messages": [{"role": "user", "content": text}], "seed": 1, "temperature": 0, **more}, "r")


async def rest_s(child: Child, window_s: float = 0.3) -> float:
    """CPU seconds the child uses in a window of wall time."""
    before = child.cpu_ns()
    await asyncio.sleep(window_s)
    after = child.cpu_ns()
    assert before is not None and after is not None
    return (after - before) / 1e9


async def rests(child: Child) -> float:
    """Wait until the child is idle; CPU seconds it used till then, which are the same on a busy machine."""
    before = child.cpu_ns()
    async with asyncio.timeout(60):
        while await rest_s(child) > 0.01:
            pass
    after = child.cpu_ns()
    assert before is not None and after is not None
    return (after - before) / 1e9


async def works(child: Child) -> None:
    """Wait until the child is busy; on a machine that is busy too, it may not have its turn at once."""
    async with asyncio.timeout(60):
        while await rest_s(child) <= 0.05:
            pass


async def test_answers_and_counts(chat: LlamaCppExpert) -> None:
    answer = await chat.complete(ask("Name three fruits.", max_tokens=24))
    assert "anana" in answer.body["choices"][0]["message"]["content"]
    assert answer.body["model"] == "chat"
    assert answer.usage.source == "upstream"
    assert answer.usage.input > 10 and 0 < answer.usage.output <= 24


async def test_streams(chat: LlamaCppExpert) -> None:
    call = ask("Name three fruits.", max_tokens=24, logprobs=True)
    events = [event async for batch in chat.stream(call) for event in batch]
    choices = [event.chunk["choices"][0] for event in events if event.chunk["choices"]]
    assert "anana" in "".join(choice["delta"].get("content") or "" for choice in choices)
    assert any(choice.get("logprobs") for choice in choices)
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] in (["stop"], ["length"])
    assert events[-1].chunk["choices"] == [] and events[-1].chunk["usage"]["prompt_tokens"] > 10


async def test_keeps_to_a_schema(chat: LlamaCppExpert) -> None:
    schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": True}}
    answer = await chat.complete(ask("Where is the Eiffel tower?", max_tokens=64, response_format=form))
    assert json.loads(answer.body["choices"][0]["message"]["content"])["city"] in ("Paris", "Rome")


async def test_each_choice_is_an_answer_of_its_own(chat: LlamaCppExpert) -> None:
    """Three of them on two slots."""
    call = ask("Tell me about a town.", n=3, max_tokens=12, temperature=1)
    whole = await chat.complete(call)
    texts = [choice["message"]["content"] for choice in whole.body["choices"]]
    assert [choice["index"] for choice in whole.body["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3, "one seed must not give one text"
    assert whole.usage.output == whole.body["usage"]["completion_tokens"] == 36
    alone = await chat.complete(ask("Tell me about a town.", max_tokens=12, temperature=1))
    assert alone.body["choices"][0]["message"]["content"] == texts[0]
    assert whole.usage.input == whole.body["usage"]["prompt_tokens"] == alone.usage.input, "a prompt counts once"

    events = [event async for batch in chat.stream(call) for event in batch]
    said = dict.fromkeys(range(3), "")
    for choice in (choice for event in events for choice in event.chunk["choices"]):
        said[choice["index"]] += choice["delta"].get("content") or ""
    assert said[0] == texts[0]
    assert events[-1].usage is not None
    assert (events[-1].usage.input, events[-1].usage.output) == (alone.usage.input, 36)
    assert events[-1].usage.cached <= events[-1].usage.input
    assert len({event.chunk["id"] for event in events}) == 1


@pytest.mark.parametrize("top", [None, 2])
async def test_as_many_alternatives_as_were_asked(chat: LlamaCppExpert, top: int | None) -> None:
    more = {} if top is None else {"top_logprobs": top}
    call = ask("Name three fruits.", max_tokens=4, logprobs=True, **more)
    whole = (await chat.complete(call)).body["choices"][0]["logprobs"]["content"]
    events = [event async for batch in chat.stream(call) for event in batch]
    streamed = [
        token for e in events for c in e.chunk["choices"] if c.get("logprobs") for token in c["logprobs"]["content"]
    ]
    assert len(whole) == len(streamed) == 4
    assert {len(token["top_logprobs"]) for token in whole + streamed} == {top or 0}
    assert all(token["logprob"] <= 0 for token in whole)


@pytest.mark.parametrize("seed", [-1, 2**32 - 1, 2**33 - 1, 2**32 - 2])
async def test_every_seed_gives_the_same_texts_again(chat: LlamaCppExpert, seed: int) -> None:
    """One of 32 bits the engine takes for a wish to draw its own."""
    call = ask("Tell a tale", seed=seed, temperature=2, max_tokens=8, n=2)
    first, again = [[c["message"]["content"] for c in (await chat.complete(call)).body["choices"]] for _ in range(2)]
    assert first == again


async def test_a_biased_token_is_not_said(chat: LlamaCppExpert) -> None:
    plain = (await chat.complete(ask("Say hi", max_tokens=1))).body["choices"][0]["message"]["content"]
    assert plain == "I"
    biased = await chat.complete(ask("Say hi", max_tokens=1, logit_bias={"57": -100}))
    assert biased.body["choices"][0]["message"]["content"] != "I"


async def test_a_character_cut_by_the_limit_is_left_out(chat: LlamaCppExpert) -> None:
    smile = "Repeat exactly: \U0001f600\U0001f600\U0001f600"
    grammar = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"enum": ["\U0001f600" * 3]}}}
    for limit in range(1, 8):
        answer = await chat.complete(ask(smile, max_tokens=limit, response_format=grammar))
        assert "\ufffd" not in answer.body["choices"][0]["message"]["content"]


async def test_the_fingerprint_is_that_of_the_model(chat: LlamaCppExpert) -> None:
    call = ask("Hello", max_tokens=3)
    told = {(await chat.complete(call)).body["system_fingerprint"]}
    told |= {e.chunk["system_fingerprint"] async for batch in chat.stream(call) for e in batch}
    assert told == {llama_cpp.fingerprint(spec())}
    assert llama_cpp.fingerprint(spec(context=4096)) not in told


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_schema_beyond_the_grammar_is_refused(chat: LlamaCppExpert, streamed: bool) -> None:
    """Such a schema is refused long before; if one slips through, the engine says nothing of it."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"$ref": "#/nowhere"}}}
    call = ask("Hello", max_tokens=8, response_format=form)
    with pytest.raises(ExpertRefused, match="beyond the grammar"):
        if streamed:
            assert not [event async for batch in chat.stream(call) for event in batch]
        await chat.complete(call)


@linux
async def test_stops_when_the_client_of_a_stream_leaves(child: Child, chat: LlamaCppExpert) -> None:
    stream = chat.stream(ask("Tell a long story.", max_tokens=1900, ignore_eos=True))
    async for _ in stream:
        break
    await works(child)
    await stream.aclose()
    assert await rests(child) < 4, "the whole story takes more"


@linux
async def test_stops_when_a_whole_answer_is_cancelled(child: Child, chat: LlamaCppExpert) -> None:
    task = asyncio.create_task(chat.complete(ask("Tell a long story.", max_tokens=1900, ignore_eos=True)))
    await works(child)
    task.cancel()
    assert await rests(child) < 4, "the whole story takes more"


@linux
async def test_has_no_secret_and_little_power(child: Child) -> None:
    place = Path(f"/proc/{child.pid}")
    environ = dict(pair.split("=", 1) for pair in (place / "environ").read_text().split("\0") if pair)
    assert not SECRETS.keys() & environ.keys()
    assert not any("canary" in value for value in environ.values())
    limits = (place / "limits").read_text().splitlines()
    core = next(line for line in limits if line.startswith("Max core file size"))
    data = next(line for line in limits if line.startswith("Max data size"))
    assert core.split()[4:6] == ["0", "0"]
    assert data.split()[3:5] == [str((2 * 400 + 512) * 2**20)] * 2
    assert "NoNewPrivs:\t1" in (place / "status").read_text()


async def test_declared_memory_is_what_it_takes(child: Child) -> None:
    assert 100 < psutil.Process(child.pid).memory_info().rss / 2**20 <= spec().memory_mb


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda whole: b"", "magic"),
        (lambda whole: b"XXXX" + whole[4:], "invalid magic"),
        (lambda whole: whole[:5_000_000], "corrupted or incomplete"),
    ],
)
async def test_a_bad_file_says_what_is_wrong_and_harms_no_one(
    damage: Any, complaint: str, chat: OpenAIExpert, smollm_weights: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(damage(smollm_weights.read_bytes()))
    child = Child("bad", llama_cpp.recipe(spec(), bad), Patience(backoff_s=60))
    try:
        with pytest.raises(ExpertUnavailable) as caught:
            await child.start()
    finally:
        await child.stop()
    assert complaint in str(caught.value)
    assert f"cannot serve {bad}" in str(caught.value)
    assert (await chat.complete(ask("Hello", max_tokens=2))).usage.output == 2


async def test_weights_that_were_changed_meanwhile_are_not_loaded_again(smollm_weights: Path, tmp_path: Path) -> None:
    """A child that died is started anew with the file that was verified, or with none."""
    content = bytearray(smollm_weights.read_bytes())
    own = tmp_path / "model.gguf"
    own.write_bytes(content)
    named = Weights(source="file:model.gguf", sha256=hashlib.sha256(content).hexdigest(), licence="Apache-2.0")
    opener = Opener(tmp_path, tmp_path, lambda texts: np.zeros((len(texts), 1), np.float32), len, {})
    opened = await opener.open(spec().model_copy(update={"weights": named}))
    child = opened.child
    assert child is not None
    try:
        await child.start()
        content[len(content) // 2] ^= 1
        own.write_bytes(content)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while child.deaths < 2 and not (child.deaths and child.state == "ready"):
                await asyncio.sleep(0.01)
        assert child.state == "restarting"
        assert "cannot be started: weights file:model.gguf: " in (child.reason or "")
        assert f"the registry says {named.sha256}. Remedy: put the right file there" in (child.reason or "")
        content[len(content) // 2] ^= 1
        own.write_bytes(content)
        async with asyncio.timeout(60):
            while child.state != "ready":
                await asyncio.sleep(0.01)
    finally:
        await opened.aclose()


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is not None, reason="the extra is installed")
async def test_a_missing_engine_names_its_remedy(smollm_weights: Path) -> None:
    child = Child("chat", llama_cpp.recipe(spec(engine="llama-cpp-python"), smollm_weights), Patience(backoff_s=60))
    try:
        with pytest.raises(ExpertUnavailable, match=re.escape(install("llama-cpp-python"))):
            await child.start()
    finally:
        await child.stop()


async def test_the_command_does_not_depend_on_where_it_runs(smollm_weights: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(smollm_weights.parent)
    child = Child("chat", llama_cpp.recipe(spec(context=256, slots=1), Path(smollm_weights.name)))
    monkeypatch.chdir(os.sep)
    try:
        await child.start()
    finally:
        await child.stop()
