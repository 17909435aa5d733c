"""Schemas that the real engine cannot hold an answer to, asked for over the socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml

from tests.service.server import POEMS, ROOT, Server, write_registry

FITS = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
COUNTED = {"type": "object", "properties": {key: {"type": "integer"} for key in "abc"}, "maxProperties": 2}
NOTHING_FITS = {**FITS, "properties": {"a": {"allOf": [{"type": "string"}, {"type": "integer"}]}}}
REPEAT = 'Repeat exactly this and nothing else: {"a": 1, "b": 2, "c": 3, "note": "x"}'


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory, smollm_weights: Path) -> Server:
    """The real model writes poems."""
    path = write_registry(tmp_path_factory.mktemp("registry"))
    registry = yaml.safe_load(path.read_text())
    chat = next(e for e in yaml.safe_load((ROOT / "registry.yaml").read_text())["experts"] if e["id"] == "chat")
    poet = next(e for e in registry["experts"] if e["id"] == "poet")
    del chat["card"], registry["aliases"]
    chat["examples"] = poet["examples"]
    registry["experts"][registry["experts"].index(poet)] = chat
    path.write_text(yaml.safe_dump(registry, sort_keys=False))
    return start(path)


def ask(server: Server, model: str, text: str, schema: dict[str, Any], **more: Any) -> Any:
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    said: Any = [{"role": "user", "content": text}]
    return server.client().chat.completions.create(
        model=model, messages=said, response_format=form, temperature=0, max_completion_tokens=40, **more
    )


@pytest.mark.parametrize("schema", [COUNTED, NOTHING_FITS])
def test_who_cannot_be_bound_is_not_asked_or_says_so_and_stays(server: Server, schema: dict[str, Any]) -> None:
    """Five failures in a row would close it to everybody."""
    assert ask(server, "chat", REPEAT, FITS).model == "chat"
    for stream in (False, True, False, True, False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(server, "chat", REPEAT, schema, stream=stream)
        assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "response_format")
    assert json.loads(server.get("/readyz")[1])["experts"]["chat"]["state"] == "ready"
    assert ask(server, "chat", REPEAT, FITS).model == "chat"


@pytest.mark.parametrize("schema", [COUNTED, NOTHING_FITS])
def test_where_the_router_chose_another_is_asked(server: Server, schema: dict[str, Any]) -> None:
    assert ask(server, "auto", POEMS[0], FITS).model == "chat"
    assert ask(server, "auto", POEMS[0], schema).model == "big"
