"""Where a request says nothing of how long an answer may get, the registry does; the real model, on every surface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.service.server import ROOT, Server

LIMIT = 24
STORY: Any = [{"role": "user", "content": "Tell me a very long story about the sea and all who live in it."}]


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The default registry's model that writes, alone, with a limit that any story passes."""
    given = yaml.safe_load((ROOT / "registry.yaml").read_text())
    chat = next(expert for expert in given["experts"] if expert["id"] == "chat")
    kept = {key: value for key, value in chat.items() if key not in ("examples", "card")}
    own = {"encoder": {**given["encoder"], "path": str(ROOT / given["encoder"]["path"])}}
    own |= {"experts": [{**kept, "default_max_tokens": LIMIT}]}
    path = tmp_path_factory.mktemp("registry") / "registry.yaml"
    path.write_text(
        yaml.safe_dump({**{key: given[key] for key in ("version", "fallback", "policies", "power")}, **own})
    )
    return start(path)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["chat", "auto"])
def test_a_chat(server: Server, model: str, stream: bool) -> None:
    client = server.client().chat.completions
    answer: Any = client.create(model=model, messages=STORY, stream=stream, temperature=0)
    if stream:
        *_, closing = answer
        assert closing.choices[0].finish_reason == "length"
        assert closing.model_extra["shoal"]["decision"]["expert"] == "chat"
    else:
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", LIMIT)
    before = server.report()["output_tokens"]
    asked: dict[str, Any] = {
        "stream": stream,
        "temperature": 0,
        "max_completion_tokens" if stream else "max_tokens": 2 * LIMIT,
    }
    answer = client.create(model=model, messages=STORY, **asked)
    if stream:
        assert [chunk.choices[0].finish_reason for chunk in answer if chunk.choices][-1] == "length"
    else:
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2 * LIMIT)
    assert server.report()["output_tokens"] == before + 2 * LIMIT, "what a request names counts, also when it is more"


@pytest.mark.parametrize(("named", "written"), [({}, LIMIT), ({"max_output_tokens": 2 * LIMIT}, 2 * LIMIT)])
def test_a_response(server: Server, named: dict[str, int], written: int) -> None:
    answer = server.client().responses.create(model="chat", input=STORY, store=False, temperature=0, **named)  # type: ignore[call-overload]
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.usage.output_tokens == written


def test_a_message_and_a_completion_have_limits_of_their_own(server: Server) -> None:
    """Anthropic's must name one; OpenAI's older endpoint has 16 where none is named."""
    asked = {"model": "chat", "messages": STORY, "max_tokens": 2 * LIMIT, "temperature": 0}
    status, message, _ = server.post("/v1/messages", asked)
    assert (status, message["stop_reason"], message["usage"]["output_tokens"]) == (200, "max_tokens", 2 * LIMIT)
    text = server.client().completions.create(model="chat", prompt="Once upon a time there was", temperature=0)
    assert (text.choices[0].finish_reason, text.usage.completion_tokens) == ("length", 16)


def test_the_model_tells_its_limit(server: Server) -> None:
    told = {model.id: model.model_extra or {} for model in server.client().models.list()}
    assert {name for name, more in told.items() if "default_max_tokens" in more} == {"chat"}
    assert told["chat"]["default_max_tokens"] == LIMIT
