"""Whether the server of an expert answers and has its model is told as it is, over a real socket, and never raised."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from experts.reach import Reach, reach
from experts.spec import OpenAISpec
from tests.upstream import JSON, Exchange, Upstream, running

KEY = "sk-reach-canary-1234567890"


def spec(url: str, model: str = "sqlcoder", **more: Any) -> OpenAISpec:
    told = {"id": "sql", "kind": "openai", "description": "d", "params_b": 3, "context": 8192}
    return OpenAISpec.model_validate({**told, "url": url, "model": model, **more})


def listing(*names: object) -> bytes:
    return json.dumps({"object": "list", "data": [{"id": name} for name in names]}).encode()


Asked = Callable[..., Coroutine[Any, Any, tuple[Reach, Upstream]]]


@pytest.fixture
def asked() -> Asked:
    """What is told of a server that answers GET /v1/models so."""

    async def ask(
        body: bytes, status: int = 200, headers: dict[str, str] = JSON, **more: Any
    ) -> tuple[Reach, Upstream]:
        async with running() as upstream:

            @upstream.behave("")
            async def behave(exchange: Exchange) -> None:
                await exchange.send(body, status, headers)

            return await reach(spec(upstream.url, **more), {"SQL_KEY": KEY}), upstream

    return ask


async def test_a_server_that_has_the_model_is_fine(asked: Asked) -> None:
    found, upstream = await asked(listing("other", "sqlcoder"), key_env="SQL_KEY")
    assert (found.state, found.warning) == ("fine", None)
    assert found.told == f"{upstream.url} answers and has the model 'sqlcoder'"
    (exchange,) = upstream.seen
    assert (exchange.path, exchange.headers["authorization"]) == ("/v1/models", f"Bearer {KEY}")


async def test_a_model_that_it_does_not_list_is_told_with_those_it_does(asked: Asked) -> None:
    found, upstream = await asked(listing("a\x1b[31m", KEY, *(f"m{n}" for n in range(9))), key_env="SQL_KEY")
    assert found.state == "no_such_model"
    assert found.warning == (
        f"{upstream.url} answers, but lists no model 'sqlcoder'; it lists 'a\\x1b[31m', '[redacted]', 'm0', 'm1', 'm2' "
        "and 6 more. Remedy: name one of these, unless the server knows yours by another name"
    )
    found, _ = await asked(listing())
    assert found.state == "no_such_model" and "it lists none" in found.told


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": {}}', b'{"data": [7]}', b"[" * 5000])
async def test_what_is_no_list_of_models_is_told_as_none(asked: Asked, body: bytes) -> None:
    found, _ = await asked(body)
    assert (found.state, "no list of models" in found.told) == ("no_list", True)


async def test_a_wrong_place_and_a_wrong_key_are_told_without_what_the_server_says(asked: Asked) -> None:
    found, _ = await asked(b'{"error": {"message": "HUSH"}}', 404)
    assert found.state == "no_list"
    assert found.warning and "404" in found.warning and "up to and including /v1" in found.warning
    refused, _ = await asked(b'{"error": {"message": "HUSH"}}', 401, key_env="SQL_KEY")
    assert (refused.state, "401" in refused.told) == ("unauthorised", True)
    unset = await reach(spec("http://127.0.0.1:1/v1", key_env="SQL_KEY"), {})
    assert (unset.state, "SQL_KEY" in unset.told) == ("unauthorised", True)
    line_break = await reach(spec("http://127.0.0.1:1/v1", key_env="SQL_KEY"), {"SQL_KEY": "a\r\nx: y"})
    assert line_break.state == "unauthorised"
    assert not any("HUSH" in found.told + str(found.warning) for found in (found, refused))


async def test_a_redirection_is_not_followed(asked: Asked) -> None:
    async with running() as elsewhere:
        found, _ = await asked(b"", 307, {"location": f"{elsewhere.url}/models"}, key_env="SQL_KEY")
        assert (found.state, elsewhere.connections) == ("no_list", 0)
    assert "307" in found.told


async def test_nobody_there_and_one_who_says_nothing_are_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = await reach(spec(f"http://user:hush@127.0.0.1:{port}/v1?key=hush"), {})
    assert found.state == "unreachable"
    assert found.warning and "Remedy: see that it runs there" in found.warning and "hush" not in found.warning
    async with running() as upstream:
        upstream.deaf = True
        silent = await reach(spec(upstream.url), {}, within_s=0.05)
    assert silent.state == "unreachable"


async def test_a_body_without_end_is_given_up() -> None:
    async with running() as upstream:

        @upstream.behave("")
        async def behave(exchange: Exchange) -> None:
            exchange.head(200, {**JSON, "content-length": "9"})
            await exchange.write(b"[")
            await exchange.gone()

        found = await reach(spec(upstream.url), {}, within_s=0.05)
    assert found.state == "unreachable"
