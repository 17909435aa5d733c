"""The pool with real experts: servers on loopback, and SmolLM2 in child processes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from experts.errors import ExpertFailed, ExpertOverloaded, ExpertRefused, ExpertUnavailable
from experts.policy import Policy
from experts.pool import Pool
from experts.pooling.breaker import Breaker
from experts.spec import Encoder, Power, Price, Registry, Weights
from experts.wire import Call, Completion
from router.meter.energy import SharedCpuClock
from tests.upstream import Exchange, Upstream, answer_well, running

HELLO = Call({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}, "r")


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """One dimension for every letter a text may begin with."""
    vectors = np.zeros((len(texts), 128), np.float32)
    vectors[range(len(texts)), [ord(text[0]) for text in texts]] = 1
    return vectors


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running() as upstream:
        yield upstream


def remote(upstream: Upstream, expert_id: str = "pike", **more: Any) -> dict[str, Any]:
    about = {"id": expert_id, "description": "d", "params_b": 8, "context": 4096}
    return {**about, "kind": "openai", "url": upstream.url, "model": expert_id, **more}


def local(smollm: Weights, path: Path, expert_id: str = "chat", **more: Any) -> dict[str, Any]:
    weights = smollm.model_copy(update={"source": f"file:{path}"})
    about = {"id": expert_id, "kind": "llama_cpp", "description": "d", "params_b": 0.135, "context": 256, "slots": 1}
    return {**about, "memory_mb": 300, "weights": weights.model_dump(), **more}


def registry(*experts: dict[str, Any], fallback: str | None = None, memory_budget_mb: int = 4096) -> Registry:
    return Registry(
        version=1,
        encoder=Encoder(path=Path("router/encoder"), sha256="0" * 64),
        fallback=fallback or experts[0]["id"],
        policies={"balanced": Policy(threshold=0.8)},
        power=Power(dynamic_w_per_core=2, source="s", as_of=date(2026, 1, 1)),
        memory_budget_mb=memory_budget_mb,
        experts=experts,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def pooling(
    registry: Registry,
    folder: Path = Path(),
    environ: Mapping[str, str] | None = None,
    new_breaker: Callable[[], Breaker] = Breaker,
) -> AsyncIterator[Pool]:
    pool = Pool(
        registry,
        weights_dir=folder,
        registry_dir=folder,
        embed=embed,
        count_tokens=len,
        environ=environ or {},
        new_breaker=new_breaker,
    )
    try:
        yield pool
    finally:
        await pool.aclose()


async def ask(pool: Pool, expert_id: str, call: Call = HELLO) -> Completion:
    async with pool.lease(expert_id) as expert:
        return await expert.complete(call)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.01)


def engines() -> list[psutil.Process]:
    """The engines that run for us now."""
    return [process for process in psutil.Process().children() if _is_engine(process)]


def _is_engine(process: psutil.Process) -> bool:
    try:
        return any("launch_llama_cpp" in part for part in process.cmdline())
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return False


async def test_lends_an_expert_and_counts_who_uses_it(upstream: Upstream) -> None:
    async with pooling(registry(remote(upstream))) as pool:
        assert pool.readiness()["pike"].state == "cold" and pool.readiness()["pike"].ready
        assert pool.down("pike") is None and pool.all_down() == {}
        async with pool.lease("pike") as expert:
            assert pool.readiness()["pike"].in_flight == 1
            assert (await expert.complete(HELLO)).body["model"] == "pike"
        readiness = pool.readiness()["pike"]
        assert (readiness.state, readiness.loaded, readiness.in_flight) == ("ready", True, 0)
        assert pool.cpu_ns("pike") == 0, "it has no process of ours"
        assert pool.cpu_ns("roach") is None
        with pytest.raises(KeyError):
            pool.lease("roach")


@pytest.mark.parametrize(
    ("kind", "file", "rows"),
    [
        ("answers", "answers", [{"id": "a", "questions": ["How?"], "answer": "So."}]),
        ("labels", "labels", [{"input": "How?", "label": "So."}, {"input": "Why?", "label": "Thus."}]),
        ("scripted", "script", [{"match": ".*", "reply": "So."}]),
    ],
)
async def test_opens_what_runs_in_this_process_and_renews_it_when_its_file_changes(
    kind: str, file: str, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    about = {"id": "carp", "kind": kind, "description": "d", "params_b": 0, "context": 4096, file: path}
    call = Call({"messages": [{"role": "user", "content": "How?"}]}, "r", embed(["How?"])[0])
    async with pooling(registry(about)) as pool:
        assert (await ask(pool, "carp", call)).body["choices"][0]["message"]["content"] == "So."
        path.write_text(path.read_text().replace("So.", "Otherwise."))
        async with contextlib.aclosing(await pool.adopt(registry(about))) as edited:
            assert (await ask(edited, "carp", call)).body["choices"][0]["message"]["content"] == "Otherwise."


async def test_some_work_some_wait_the_rest_are_told_to_come_back(upstream: Upstream) -> None:
    async with pooling(registry(remote(upstream, max_concurrency=2))) as pool:
        release = asyncio.Event()

        async def work() -> str:
            async with pool.lease("pike"):
                await release.wait()
                return "done"

        tasks = [asyncio.create_task(work()) for _ in range(4)]
        await until(lambda: pool.readiness()["pike"].waiting == 2)
        assert pool.readiness()["pike"].in_flight == 2
        with pytest.raises(ExpertOverloaded, match="2 requests are being answered and 2 wait"):
            await ask(pool, "pike")
        tasks[2].cancel()
        await until(lambda: pool.readiness()["pike"].waiting == 1)
        release.set()
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [False, False, True, False]
        assert pool.readiness()["pike"][4:6] == (0, 0)


async def test_a_wait_ends(upstream: Upstream) -> None:
    patience = {"first_byte_s": 0.1}
    async with pooling(registry(remote(upstream, max_concurrency=1, timeouts=patience))) as pool, pool.lease("pike"):
        with pytest.raises(ExpertOverloaded, match=r"no place came free within 0\.1 s"):
            await ask(pool, "pike")


async def test_a_failing_expert_is_left_alone_for_a_while(upstream: Upstream) -> None:
    clock, well = Clock(), False

    @upstream.behave("pike")
    async def sometimes(exchange: Exchange) -> None:
        if well:
            await answer_well(exchange)
        else:
            await exchange.send(b"{}", 500)

    async with pooling(registry(remote(upstream)), new_breaker=lambda: Breaker(clock=clock)) as pool:
        for _ in range(5):
            with pytest.raises(ExpertFailed):
                await ask(pool, "pike")
        asked = len(upstream.seen)
        readiness = pool.readiness()["pike"]
        assert (readiness.ready, readiness.state) == (False, "open")
        assert pool.down("pike") == "open" and pool.all_down() == {"pike": "open"}
        assert "500" in (readiness.reason or "")
        with pytest.raises(ExpertUnavailable, match="failed just now"):
            await ask(pool, "pike")
        assert len(upstream.seen) == asked

        clock.now += 11
        assert pool.readiness()["pike"].ready
        with pytest.raises(ExpertFailed):  # one may try
            await ask(pool, "pike")
        with pytest.raises(ExpertUnavailable):
            await ask(pool, "pike")
        assert len(upstream.seen) == asked + 1

        well = True
        clock.now += 11
        assert (await ask(pool, "pike")).body["model"] == "pike"
        assert pool.readiness()["pike"].state == "ready"


async def test_only_one_tries_whether_it_is_well_again(upstream: Upstream) -> None:
    clock = Clock()
    async with pooling(registry(remote(upstream)), new_breaker=lambda: Breaker(1, clock=clock)) as pool:
        with pytest.raises(ExpertFailed):
            async with pool.lease("pike"):
                raise ExpertFailed("pike", "broken")
        clock.now += 11
        async with pool.lease("pike"):
            with pytest.raises(ExpertUnavailable):
                await ask(pool, "pike")
        await ask(pool, "pike")


async def test_what_is_not_the_experts_fault_is_not_held_against_it(upstream: Upstream) -> None:
    async with pooling(registry(remote(upstream)), new_breaker=lambda: Breaker(1)) as pool:
        errors = ExpertRefused("pike", "no", 400, None, None), asyncio.CancelledError(), ExpertFailed("other", "x")
        for error in (*errors, GeneratorExit(), ValueError("ours")):
            with pytest.raises(type(error)):
                async with pool.lease("pike"):
                    raise error
        await ask(pool, "pike")


async def test_a_missing_key_is_named(upstream: Upstream) -> None:
    experts = registry(remote(upstream, key_env="PIKE_KEY"))
    async with pooling(experts) as pool:
        with pytest.raises(ExpertUnavailable, match="set the environment variable PIKE_KEY"):
            await ask(pool, "pike")
    async with pooling(experts, environ={"PIKE_KEY": "sk-1"}) as pool:
        await ask(pool, "pike")
    assert upstream.seen[0].headers["authorization"] == "Bearer sk-1"


async def test_an_expert_that_cannot_be_loaded_harms_no_one(
    upstream: Upstream, smollm: Weights, smollm_weights: Path, tmp_path: Path
) -> None:
    clock = Clock()
    experts = registry(remote(upstream), local(smollm, Path("later.gguf")))
    async with pooling(experts, tmp_path, new_breaker=lambda: Breaker(clock=clock)) as pool:
        await pool.warm(["chat", "pike"])
        readiness = pool.readiness()
        assert readiness["pike"].loaded
        assert (readiness["chat"].ready, readiness["chat"].state, readiness["chat"].memory_mb) == (False, "failed", 0)
        assert pool.down("chat") == "failed"
        for _ in range(2):
            with pytest.raises(ExpertUnavailable, match=r"there is no file .*later\.gguf"):
                await ask(pool, "chat")
        await ask(pool, "pike")
        shutil.copy(smollm_weights, tmp_path / "later.gguf")
        clock.now += 11
        assert (await ask(pool, "chat")).body["model"] == "chat"
        assert pool.readiness()["chat"].loaded


async def test_a_bent_file_says_so_and_harms_no_one(upstream: Upstream, smollm: Weights, tmp_path: Path) -> None:
    bent = tmp_path / "bent.gguf"
    bent.write_bytes(b"GGUF" + bytes(2000))
    weights = smollm.model_copy(
        update={"sha256": hashlib.sha256(bent.read_bytes()).hexdigest(), "size_bytes": bent.stat().st_size}
    )
    async with pooling(registry(remote(upstream), local(weights, bent))) as pool:
        with pytest.raises(ExpertUnavailable, match="is not a GGUF file"):
            await ask(pool, "chat")
        with pytest.raises(ExpertUnavailable):
            await ask(pool, "chat")
        assert not pool.readiness()["chat"].ready
        await ask(pool, "pike")


@pytest.mark.skipif(sys.platform != "linux", reason="CPU time of a child can only be read on Linux")
async def test_loading_is_told_apart_from_the_first_answers_own_work(
    smollm: Weights, smollm_weights: Path, upstream: Upstream
) -> None:
    async with pooling(registry(local(smollm, smollm_weights), remote(upstream))) as pool:
        clock = SharedCpuClock(lambda: pool.cpu_ns("chat"))
        shares = []
        for _ in range(2):
            mark = clock.start()
            await ask(pool, "chat")
            shares.append(clock.finish(mark))
            assert not clock.blind
        loaded_ns = pool.loading_ns()
        assert loaded_ns > 0
        assert all(shares)
        assert sum(shares) <= (pool.cpu_ns("chat") or 0), "the first pays for no load"
        successor = await pool.adopt(registry(remote(upstream)))
        pool.retire()
        assert successor.loading_ns() == loaded_ns, "an expert that went took its load with it"
        assert successor.cpu_ns("chat") is None
        await successor.aclose()


async def test_many_ask_at_once_and_it_is_loaded_once(smollm: Weights, smollm_weights: Path) -> None:
    async with pooling(registry(local(smollm, smollm_weights, slots=4))) as pool:
        answers = await asyncio.gather(*[ask(pool, "chat") for _ in range(20)])
        assert len(answers) == 20
        assert len(engines()) == 1
        readiness = pool.readiness()["chat"]
        assert readiness.pid == engines()[0].pid
        assert readiness.memory_mb == 300
        if (cpu_ns := pool.cpu_ns("chat")) is not None:
            assert cpu_ns > 0
    assert engines() == []


async def test_who_leaves_while_it_loads_does_not_stop_the_load(smollm: Weights, smollm_weights: Path) -> None:
    async with pooling(registry(local(smollm, smollm_weights))) as pool:
        task = asyncio.create_task(ask(pool, "chat"))
        await until(lambda: pool.readiness()["chat"].state == "loading")
        task.cancel()
        await until(lambda: pool.readiness()["chat"].state == "ready")


async def test_a_dead_child_fails_at_once_until_it_is_back(smollm: Weights, smollm_weights: Path) -> None:
    async with pooling(registry(local(smollm, smollm_weights))) as pool:
        await pool.warm(["chat"])
        pid = pool.readiness()["chat"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.readiness()["chat"].state == "restarting")
        assert not pool.readiness()["chat"].ready
        assert pool.down("chat") == "restarting" and pool.all_down() == {"chat": "restarting"}
        with pytest.raises(ExpertUnavailable):
            await ask(pool, "chat")
        await until(lambda: pool.readiness()["chat"].loaded)
        assert pool.readiness()["chat"].pid != pid
        await ask(pool, "chat")


async def test_who_waited_for_a_child_that_died_keeps_no_place(smollm: Weights, smollm_weights: Path) -> None:
    async with pooling(registry(local(smollm, smollm_weights, max_concurrency=1))) as pool:
        await pool.warm(["chat"])
        pid = pool.readiness()["chat"].pid
        assert pid is not None
        async with pool.lease("chat"):
            waiting = asyncio.create_task(ask(pool, "chat"))
            await until(lambda: pool.readiness()["chat"].waiting == 1)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pool.readiness()["chat"].state == "restarting")
        with pytest.raises(ExpertUnavailable):
            await waiting
        assert pool.readiness()["chat"].in_flight == 0
        await until(lambda: pool.readiness()["chat"].loaded)
        await ask(pool, "chat")


async def test_idle_experts_make_room_and_the_fallback_stays(
    upstream: Upstream, smollm: Weights, smollm_weights: Path
) -> None:
    one, two = local(smollm, smollm_weights, "one"), local(smollm, smollm_weights, "two")
    async with pooling(registry(one, two, fallback="two", memory_budget_mb=400)) as pool:
        async with pool.lease("one"):
            with pytest.raises(ExpertUnavailable, match="memory_budget_mb is 400"):
                await ask(pool, "two")
        await ask(pool, "two")
        assert pool.readiness()["one"].state == "cold"
        with pytest.raises(ExpertUnavailable, match="two 300"):
            await ask(pool, "one")


async def test_an_edit_keeps_what_it_does_not_touch(upstream: Upstream, smollm: Weights, smollm_weights: Path) -> None:
    before = registry(local(smollm, smollm_weights), remote(upstream, "roach"))
    async with pooling(before) as old:
        await old.warm(["chat"])
        pid = old.readiness()["chat"].pid
        price = Price(input_usd_per_mtok=1, output_usd_per_mtok=2, source="s", as_of=date(2026, 1, 1))
        dearer = local(smollm, smollm_weights, price=price, description="another")
        async with contextlib.aclosing(await old.adopt(registry(dearer, remote(upstream, "tench")))) as new:
            old.retire()
            assert list(new.readiness()) == ["chat", "tench"]
            assert new.readiness()["chat"].pid == pid
            await ask(new, "chat")
            await ask(new, "tench")
            assert old.readiness()["roach"].state == "closed"
            with pytest.raises(ExpertUnavailable, match="no longer in the registry"):
                await ask(old, "roach")
        assert engines() == []


async def test_who_began_before_an_edit_ends_on_what_it_began_with(smollm: Weights, smollm_weights: Path) -> None:
    async with pooling(registry(local(smollm, smollm_weights))) as old:
        await old.warm(["chat"])
        first = old.readiness()["chat"].pid
        adopted = await old.adopt(registry(local(smollm, smollm_weights, context=128)))
        async with contextlib.aclosing(adopted) as new:
            with old.hold():
                old.retire()
                await ask(new, "chat")
                await ask(old, "chat")
                second = new.readiness()["chat"].pid
                assert old.readiness()["chat"].pid == first != second
                lease = old.lease("chat")
                expert = await lease.__aenter__()
            assert (await expert.complete(HELLO)).body["model"] == "chat"
            assert {process.pid for process in engines()} == {first, second}
            await lease.__aexit__(None, None, None)
            await until(lambda: {process.pid for process in engines()} == {second})
            await ask(new, "chat")
