"""Not a word of a prompt, an answer or a feedback is in the data folder or the log, unless the registry asks for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from experts.registry import load_registry
from router.learn.editions import Editions
from router.learn.retention import Retention
from router.meter.hours_schema import DAY_US
from router.meter.ledger import Ledger
from router.meter.steady import utc_us
from tests.service.distant import distant_upstream
from tests.service.server import Server, eventually, write_registry
from tests.upstream import Exchange, event

CANARY = "zebrafink-4711"
"""In every text the tests send."""


def everything(server: Server) -> bytes:
    """All bytes of the data folder but the weights, which are there before any request, and of the log.

    A server that writes a file anew gives a draft the file's name: a look during which a file went is taken again, for
    what was in it may be where the look had been before.
    """
    data = server.folder / "data"
    while True:
        files = [each for each in data.rglob("*") if each.is_file() and "weights" not in each.relative_to(data).parts]
        assert data / "ledger.sqlite" in files
        try:
            return b"".join(each.read_bytes() for each in files) + server.log().encode()
        except FileNotFoundError:
            continue


def holding_canary(server: Server) -> set[str]:
    """The names of the files of the data folder, but the weights, that hold the canary."""
    data = server.folder / "data"
    while True:
        try:
            return {each.name for each in data.rglob("*") if _holds(each)}
        except FileNotFoundError:  # as above
            continue


def use(server: Server) -> None:
    """Send the canary every way a client can."""
    texts = [
        f"write a poem about the {CANARY}",
        f"recipe for {CANARY}",
        f"{CANARY} COOKFAIL recipe",
        f"{CANARY} CUT poem",
    ]
    for text in texts:
        for stream in (False, True):
            messages = [{"role": "system", "content": CANARY}, {"role": "user", "content": text}]
            body = {"model": "auto", "messages": messages, "stream": stream, "user": CANARY}
            _, _, headers = server.send(
                "POST", "/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
            )
            words = {"expected": CANARY, "comment": CANARY}
            server.post("/v1/feedback", {"request_id": headers["x-request-id"], "score": 1, **words})
    server.post("/v1/embeddings", {"model": "encoder", "input": CANARY})
    server.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": CANARY}]})
    server.post("/v1/feedback", {"request_id": CANARY, "score": 1})


def test_no_word_is_kept_by_default(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path))
    use(server)
    assert server.query("SELECT count(*) FROM vectors")[0][0] >= 6
    assert server.query("SELECT count(*) FROM texts") == [(0,)]
    assert CANARY.encode() not in everything(server)
    server.stop()
    assert CANARY.encode() not in everything(server)


def test_responses_keep_words_unless_told_not_to_and_only_they(start: Callable[..., Server], tmp_path: Path) -> None:
    registry = write_registry(tmp_path)
    asked = {"model": "auto", "input": f"write a poem about the {CANARY}"}
    kept, off = start(registry), start(registry, SHOAL_RESPONSES_DAYS="0")
    assert kept.post("/v1/responses", {**asked, "store": False})[0] == 200
    assert CANARY.encode() not in everything(kept)
    assert kept.post("/v1/responses", asked)[0] == 200
    holding = holding_canary(kept)
    assert holding
    assert all(name.startswith("responses.sqlite") for name in holding), holding
    assert off.post("/v1/responses", asked)[0] == 200
    assert CANARY.encode() not in everything(off)


async def _echo(exchange: Exchange) -> None:
    """Fail, with the whole request in the error message, as some servers do."""
    await exchange.send(json.dumps({"error": {"message": json.dumps(exchange.body)}}).encode(), 500)


async def _echo_in_stream(exchange: Exchange) -> None:
    await exchange.stream(event({"error": {"message": json.dumps(exchange.body)}}))


async def _echo_as_head(exchange: Exchange) -> None:
    await exchange.write(json.dumps(exchange.body).encode() + b"\r\n\r\n")


async def _echo_as_refusal(exchange: Exchange) -> None:
    error = {"message": json.dumps(exchange.body), "type": "invalid_request_error"}
    await exchange.send(json.dumps({"error": error}).encode(), 400)


@pytest.mark.parametrize("behave", [_echo, _echo_in_stream, _echo_as_head, _echo_as_refusal])
def test_an_upstream_that_quotes_the_request_brings_it_into_no_log(
    start: Callable[..., Server], tmp_path: Path, behave: Callable[[Exchange], Awaitable[None]]
) -> None:
    with distant_upstream() as upstream:
        upstream.behave("echo")(behave)
        server = start(write_registry(tmp_path), SHOAL_FALLBACK_URL=upstream.url, SHOAL_FALLBACK_MODEL="echo")
        for stream in (False, True):
            messages = [{"role": "user", "content": CANARY}]
            server.post("/v1/chat/completions", {"model": "fallback", "messages": messages, "stream": stream})
        server.stop()
    assert len(upstream.seen) >= 2
    assert "fallback: " in server.log()
    assert CANARY.encode() not in everything(server)


def _holds(path: Path) -> bool:
    """Whether a file holds the canary; the weights were there before."""
    return path.is_file() and "weights" not in path.parts and CANARY.encode() in path.read_bytes()


def test_words_that_were_asked_for_are_gone_when_their_time_is_up(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "learning: {keep_text: true, text_days: 2}\n")
    server = start(path)
    use(server)
    assert CANARY.encode() in everything(server)
    assert CANARY.encode() not in server.log().encode()

    async def three_days_later() -> int:
        ledger = Ledger.open(server.ledger)  # beside the server's own
        learning = load_registry(path, {}).registry.learning
        editions = Editions(server.folder / "data" / "learned")
        removed = await Retention(ledger, editions, lambda: learning, lambda: utc_us() + 3 * DAY_US).forget()
        await ledger.aclose()
        return removed

    assert asyncio.run(three_days_later()) >= 6
    assert CANARY.encode() not in everything(server)
    assert server.query("SELECT count(*) FROM vectors")[0][0] >= 6


def test_vectors_go_from_everywhere_once_they_are_not_to_be_kept_any_more(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    path = write_registry(tmp_path)
    server = start(path)
    use(server)
    heads = server.folder / "data" / "heads"
    without = {each.name for each in heads.iterdir()}
    assert server.shoal("learn", "apply", "--force").returncode == 0
    eventually(lambda: not without & {each.name for each in heads.iterdir()}, server.log)
    with_them = {each.name for each in heads.iterdir()}
    vectors = [vector for (vector,) in server.query("SELECT vector FROM vectors")]
    assert len(vectors) >= 6
    assert all(each in everything(server) for each in vectors)
    server.stop()
    path.write_text(path.read_text() + "learning: {keep_vectors: false}\n")
    server.start()
    eventually(lambda: not any(each in everything(server) for each in vectors), server.log)
    eventually(lambda: not with_them & {each.name for each in heads.iterdir()}, server.log)
    shown = json.loads(server.shoal("learn", "show", "--json").stdout)
    assert (shown["requests"], shown["unscored"], shown["edition"]) == (0, 0, 1)


def test_nothing_at_all_is_kept_where_that_is_turned_off(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "learning: {keep_vectors: false}\n")
    server = start(path)
    use(server)
    assert server.query("SELECT count(*) FROM vectors") == [(0,)]
    assert server.query("SELECT count(*) FROM texts") == [(0,)]
    assert server.query("SELECT count(*) FROM requests")[0][0] >= 8
