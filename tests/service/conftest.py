"""One server for all tests that only ask, and others that end with their module."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.server import OPENED, Server, write_registry


@pytest.fixture(autouse=True)
def _clients_closed() -> Iterator[None]:
    """Closes the clients that a test opened; those that a module shares were opened before it."""
    before = len(OPENED)
    yield
    while len(OPENED) > before:
        OPENED.pop().close()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Starts servers, and ends them when the module is done."""
    servers: list[Server] = []

    def start_one(registry: Path, *, ready: bool = True, options: tuple[str, ...] = (), **env: str) -> Server:
        server = Server(tmp_path_factory.mktemp("server"), registry, env, options)
        servers.append(server)
        return server.start(ready)

    yield start_one
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of scripted experts for all tests that only ask."""
    server = Server(tmp_path_factory.mktemp("server"), write_registry(tmp_path_factory.mktemp("registry"))).start()
    yield server
    server.stop(signal.SIGKILL)
