"""Images that tools gave back: who sees gets them where OpenAI's chat allows images, and nobody else is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.service.distant import distant_upstream
from tests.service.server import Server, write_registry
from tests.service.test_disconnects import FAR
from tests.upstream import Upstream

PICTURE = "data:image/png;base64,iVBORw0KGgo="
ASKED = "What is the weather where I live?"
TEXT, SHOWN = {"type": "text", "text": "a map"}, {"type": "image_url", "image_url": {"url": PICTURE}}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
Body = dict[str, Any]


@pytest.fixture(scope="module")
def served(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Upstream]]:
    with distant_upstream() as far:
        path = write_registry(tmp_path_factory.mktemp("registry"))
        blind = FAR.format(url=far.url) + "    capabilities: [stream, tools]\n"
        path.write_text(path.read_text() + blind + blind.replace("far", "seeing").replace("tools]", "tools, vision]"))
        yield start(path), far


def messages(model: str) -> tuple[str, Body]:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE.partition(",")[2]}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [TEXT, {"type": "image", "source": source}]}
    used = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    turns = [(ASKED, "user"), ([used], "assistant"), ([result], "user")]
    return "/v1/messages", {
        "model": model, "max_tokens": 9, "messages": [{"role": role, "content": said} for said, role in turns],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
    }  # fmt: skip


def responses(model: str) -> tuple[str, Body]:
    output = [{"type": "input_text", "text": "a map"}, {"type": "input_image", "image_url": PICTURE}]
    return "/v1/responses", {
        "model": model,
        "input": [
            {"role": "user", "content": ASKED},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": output},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    }


@pytest.mark.parametrize("surface", [messages, responses])
def test_who_sees_gets_the_image_behind_the_results(served: tuple[Server, Upstream], surface: Any) -> None:
    server, far = served
    status, body, _ = server.post(*surface("seeing"))
    assert status == 200, body
    asked, called, result, shown = far.seen[-1].body["messages"]
    assert (asked["content"], called["tool_calls"], shown["role"]) == (ASKED, [CALL], "user")
    (picture,) = shown["content"]
    assert (picture["type"], picture["image_url"]["url"]) == ("image_url", PICTURE)
    said = result["content"] if isinstance(result["content"], str) else "\n".join(p["text"] for p in result["content"])
    assert (result["role"], said) == ("tool", "a map\n[image 1]")


@pytest.mark.parametrize(("surface", "named"), [(messages, "messages"), (responses, "input")])
def test_who_does_not_see_is_not_asked(served: tuple[Server, Upstream], surface: Any, named: str) -> None:
    server, far = served
    before = len(far.seen)
    status, body, _ = server.post(*surface("far"))
    said = f"The model `far` does not support parts other than text in '{named}'. Ask a model that does: `seeing`."
    assert (status, body["error"]["message"]) == (400, said)
    assert len(far.seen) == before
