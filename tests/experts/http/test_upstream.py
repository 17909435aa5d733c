"""Connections and time: what OpenAIExpert does when servers are down, slow, gone, or the caller leaves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from experts.errors import (
    ExpertFailed,
    ExpertTimedOut,
    ExpertUnavailable,
)
from experts.openai_http import OpenAIExpert
from experts.spec import Timeouts
from experts.wire import Event
from tests.experts.lab import QUICK, Lab, call, check_stream, events, open_lab, text
from tests.upstream import SSE, Exchange, answer_well, completion, running, story


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with open_lab() as lab:
        yield lab


async def test_a_server_that_is_down_is_unavailable() -> None:
    with socket.socket() as bound:  # bound but not listening: the kernel refuses
        bound.bind(("127.0.0.1", 0))
        expert = OpenAIExpert("small", f"http://127.0.0.1:{bound.getsockname()[1]}/v1", "ok", timeouts=QUICK)
        with pytest.raises(ExpertUnavailable):
            await expert.complete(call())
        with pytest.raises(ExpertUnavailable):
            await events(expert)
        await expert.aclose()


async def test_a_host_that_does_not_exist_is_unavailable() -> None:
    expert = OpenAIExpert("small", "http://nowhere.invalid/v1", "ok", timeouts=Timeouts(connect_s=10))
    with pytest.raises(ExpertUnavailable):
        await expert.complete(call())
    await expert.aclose()


async def test_a_server_that_does_not_accept_times_out() -> None:
    with socket.socket() as listening, socket.socket() as filler, socket.socket() as more:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for occupant in (filler, more):  # the backlog is full: further connections hang
            occupant.setblocking(False)
            occupant.connect_ex(listening.getsockname())
        expert = OpenAIExpert("small", f"http://127.0.0.1:{listening.getsockname()[1]}/v1", "ok", timeouts=QUICK)
        with pytest.raises(ExpertTimedOut, match="connect_s"):
            await expert.complete(call())
        await expert.aclose()


async def test_a_black_hole_times_out_before_the_first_byte(lab: Lab) -> None:
    left = asyncio.Event()

    @lab.upstream.behave("hang")
    async def behave(exchange: Exchange) -> None:
        await exchange.gone()
        left.set()

    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await events(lab.expert("hang", QUICK))
    await asyncio.wait_for(left.wait(), 5)


async def test_a_whole_answer_may_take_as_long_as_it_takes(lab: Lab) -> None:
    @lab.upstream.behave("thoughtful")
    async def behave(exchange: Exchange) -> None:
        await asyncio.sleep(2 * QUICK.first_byte_s)
        await answer_well(exchange)

    assert (await lab.expert("thoughtful", QUICK).complete(call())).body["model"] == "small"


async def test_a_server_that_answers_nothing_is_not_waited_for(lab: Lab) -> None:
    lab.upstream.deaf = True
    patient = lab.expert("ok", Timeouts(first_byte_s=0.3, total_s=600))
    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await patient.complete(call())
    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await patient.embed(["x"])


async def test_a_server_that_stops_listening_may_still_finish(lab: Lab) -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    @lab.upstream.behave("last")
    async def behave(exchange: Exchange) -> None:
        asked.set()
        await go.wait()
        await answer_well(exchange)

    expert = lab.expert("last", Timeouts(first_byte_s=0.1))
    answer = asyncio.create_task(expert.complete(call()))
    await asked.wait()
    lab.upstream.stop_listening()
    await asyncio.sleep(0.3)  # it is asked something else meanwhile
    go.set()
    assert (await answer).body["model"] == "small"


async def test_silence_after_the_head_is_noticed_before_a_longer_first_byte(lab: Lab) -> None:
    @lab.upstream.behave("headed")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="headed")[: len(lab.upstream.seen)], end=False)
        await exchange.gone()

    expert = lab.expert("headed", Timeouts(first_byte_s=500, idle_s=0.2, total_s=600))
    for _ in range(3):
        with pytest.raises(ExpertTimedOut, match="idle_s"):
            await events(expert)


async def test_slow_headers_count_as_no_first_byte(lab: Lab) -> None:
    @lab.upstream.behave("slow headers")
    async def behave(exchange: Exchange) -> None:
        await exchange.write(b"HTTP/1.1 200 OK\r\ncontent-type: ")
        await exchange.gone()

    with pytest.raises(ExpertTimedOut, match="first_byte_s"):
        await events(lab.expert("slow headers", QUICK))


async def test_silence_in_the_middle_is_an_idle_timeout(lab: Lab) -> None:
    @lab.upstream.behave("silent")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="silent")[:2], end=False)
        await exchange.gone()

    got: list[Event] = []
    with pytest.raises(ExpertTimedOut, match="idle_s"):
        async for arrived in lab.expert("silent", Timeouts(idle_s=0.3)).stream(call()):
            got += arrived
    assert text(got) == "Hel"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_drip_is_stopped_by_the_total(lab: Lab, stream: bool) -> None:
    left = asyncio.Event()

    @lab.upstream.behave("drip")
    async def behave(exchange: Exchange) -> None:
        kind = SSE if stream else {"content-type": "application/json"}
        exchange.head(200, {**kind, "transfer-encoding": "chunked"})
        try:
            while True:
                await exchange.part(b" ")
                await asyncio.sleep(0.02)
        finally:
            left.set()

    expert = lab.expert("drip", Timeouts(idle_s=5, total_s=0.3))
    with pytest.raises(ExpertTimedOut, match="total_s"):
        await (events(expert) if stream else expert.complete(call()))
    await asyncio.wait_for(left.wait(), 5)


async def test_a_slow_reader_is_not_a_silent_upstream(lab: Lab) -> None:
    @lab.upstream.behave("steady")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="steady"), pause_s=0.05)

    stream: list[Event] = []
    async for arrived in lab.expert("steady", Timeouts(idle_s=0.5)).stream(call()):
        await asyncio.sleep(0.6)
        stream += arrived
    check_stream(stream)


async def test_connections_are_used_again(lab: Lab) -> None:
    expert = lab.expert("ok")
    for _ in range(3):
        await expert.complete(call())
        check_stream(await events(expert))
    assert lab.upstream.connections == 1


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
async def test_a_stale_connection_is_replaced_unnoticed(lab: Lab, reset: bool) -> None:
    expert = lab.expert("once")

    @lab.upstream.behave("once")
    async def behave(exchange: Exchange) -> None:
        if len(lab.upstream.seen) != 2:
            await exchange.send(orjson.dumps(completion()))
        elif reset:
            exchange.reset()
        else:
            exchange.writer.close()

    await expert.complete(call())
    assert (await expert.complete(call())).usage.input == 12
    first, broken, again = lab.upstream.seen
    assert first.connection == broken.connection != again.connection


async def test_a_new_connection_that_breaks_is_no_stale_one(lab: Lab) -> None:
    @lab.upstream.behave("hang up")
    async def behave(exchange: Exchange) -> None:
        exchange.reset()

    expert = lab.expert("hang up")
    with pytest.raises(ExpertFailed):
        await expert.complete(call())
    assert len(lab.upstream.seen) == 1, "the request may be what broke it"


async def test_rubbish_instead_of_http_is_a_failure(lab: Lab) -> None:
    @lab.upstream.behave("rubbish")
    async def behave(exchange: Exchange) -> None:
        await exchange.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        exchange.writer.close()

    with pytest.raises(ExpertFailed):
        await lab.expert("rubbish").complete(call())


async def test_trailers_end(lab: Lab) -> None:
    @lab.upstream.behave("trailers")
    async def behave(exchange: Exchange) -> None:
        exchange.head(200, {**SSE, "transfer-encoding": "chunked"})
        await exchange.part(story()[0])
        await exchange.write(b"0\r\n")
        for _ in range(40):
            await exchange.write(b"x: " + b"y" * 10_000 + b"\r\n")
        await exchange.gone()

    with pytest.raises(ExpertFailed, match="headers or trailers of more than 65536 bytes"):
        await events(lab.expert("trailers", QUICK))


@pytest.mark.parametrize("stream", [True, False])
async def test_cancelling_closes_the_upstream_at_once(lab: Lab, stream: bool) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    @lab.upstream.behave("long")
    async def behave(exchange: Exchange) -> None:
        if stream:
            await exchange.stream(*story(model="long")[:2], end=False)
        begun.set()
        await exchange.gone()
        left.set()

    expert = lab.expert("long")
    task = asyncio.create_task(events(expert) if stream else expert.complete(call()))  # type: ignore[arg-type]
    await begun.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(left.wait(), 5)


async def test_leaving_a_stream_closes_the_upstream_at_once(lab: Lab) -> None:
    left = asyncio.Event()

    @lab.upstream.behave("long")
    async def behave(exchange: Exchange) -> None:
        await exchange.stream(*story(model="long")[:2], end=False)
        await exchange.gone()
        left.set()

    stream = lab.expert("long").stream(call())
    async for _ in stream:
        break
    await stream.aclose()
    await asyncio.wait_for(left.wait(), 5)


async def test_many_at_once_share_a_bounded_pool(lab: Lab) -> None:
    expert = lab.expert("ok", max_concurrency=4)
    answers = await asyncio.gather(*(expert.complete(call()) for _ in range(40)))
    assert len(answers) == 40 and lab.upstream.connections <= 4


async def test_a_unix_socket_is_reached_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / "child.sock"
    async with running(str(path)) as upstream:
        expert = OpenAIExpert("small", upstream.url, "ok", timeouts=Timeouts(), unix_socket=path)
        assert (await expert.complete(call())).body["model"] == "small"
        check_stream(await events(expert))
        await expert.aclose()
    path.unlink(missing_ok=True)
    gone = OpenAIExpert("small", upstream.url, "ok", timeouts=QUICK, unix_socket=path)
    with pytest.raises(ExpertUnavailable):
        await gone.complete(call())
    await gone.aclose()


async def test_a_closed_expert_says_so(lab: Lab) -> None:
    expert = lab.expert("ok")
    await expert.complete(call())
    await expert.aclose()
    await expert.aclose()
    with pytest.raises(ExpertUnavailable):
        await expert.complete(call())


async def test_the_environment_sends_no_request_elsewhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await lab.expert("ok").complete(call())).usage.input == 12
