"""One server for all client libraries: scripted experts, a flaky upstream on loopback, and the real local model."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import yaml

from tests.service.server import ROOT, Server, rows, write_registry
from tests.upstream import Exchange, Upstream, completion, running, story


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some of these libraries keep connections in caches and never close them; that is not ours to judge."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@dataclass(frozen=True)
class Served:
    """A running server, and the upstream behind its expert `flaky`."""

    server: Server
    upstream: Upstream

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"{self.server.base}/v1"


@pytest.fixture(scope="session")
def flaky() -> Iterator[Upstream]:
    """A server that answers every second request with 500, in a thread of its own."""
    started: list[Upstream] = []
    ready, done = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with running() as upstream:
            upstream.behave("flaky")(every_second_time)
            started.append(upstream)
            ready.set()
            await done.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield started[0]
    loop.call_soon_threadsafe(done.set)
    thread.join()
    loop.close()


async def every_second_time(exchange: Exchange) -> None:
    """500 first, then a good answer, and so on."""
    asked = exchange.body["messages"][-1]["content"]
    times = every_second_time.__dict__.setdefault("times", {})
    times[asked] = times.get(asked, 0) + 1
    if times[asked] % 2:
        await exchange.send(b'{"error": {"message": "once more", "type": "server_error"}}', 500)
    elif exchange.body.get("stream"):
        await exchange.stream(*story(model="flaky"))
    else:
        reply = '{"city": "Paris", "people": 2}' if "TOWN" in asked else "Now it works"
        await exchange.send(orjson.dumps(completion("flaky", reply)))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, flaky: Upstream) -> Iterator[Served]:
    """The server. Every test only asks."""
    folder = tmp_path_factory.mktemp("clients")
    server = Server(folder, registry(tmp_path_factory.mktemp("registry"), flaky.url)).start()
    yield Served(server, flaky)
    server.stop()
    sweep()


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """What a library left open is collected here, so that no test elsewhere is blamed for it."""
    yield
    sweep()


def sweep() -> None:
    """Collect what nobody holds any more, without a word about sockets that were not closed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


PLACES = [{"city": "Paris", "people": 2}, {"city": "Oslo", "people": 1}]
REPLIES = [
    {"match": "that is no town", "reply": '{"city": "Paris", "people": 2000}'},
    {"match": "PLACES", "tool_calls": [{"name": "IterableTown", "arguments": {"tasks": PLACES}}]},
]
"""What `big` says beside its script: to one who complains of a town, and to one who asks for several."""


def registry(folder: Path, flaky_url: str) -> Path:
    """The scripted registry with the flaky upstream and the local model of the default one."""
    path = write_registry(folder)
    script = folder / "big.jsonl"
    rows(script, [*REPLIES, *map(orjson.loads, script.read_text().splitlines())])
    told = yaml.safe_load(path.read_text())
    chat = next(e for e in yaml.safe_load((ROOT / "registry.yaml").read_text())["experts"] if e["id"] == "chat")
    chat = {key: value for key, value in chat.items() if key not in ("examples", "card")}
    upstream = {"id": "flaky", "kind": "openai", "description": "d", "url": flaky_url, "model": "flaky"}
    told["experts"] += [chat, {**upstream, "params_b": 1, "context": 4096, "capabilities": ["stream"]}]
    path.write_text(yaml.safe_dump(told))
    return path
