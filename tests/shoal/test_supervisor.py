"""The process above several workers, asked directly."""

from __future__ import annotations

import os
from socket import socket

import pytest
from uvicorn import Config
from uvicorn.supervisors.multiprocess import Process

from shoal.supervisor import Supervisor

LONG_S = 3600


class Dying(Process):
    """A worker that ends when it is asked whether it lives."""

    def target(self, sockets: list[socket] | None = None) -> None:
        self.child_conn.recv()
        os._exit(9)


@pytest.mark.timeout(120)  # a worker's start takes a while; its silence would be waited for much longer
def test_a_worker_that_dies_while_it_is_asked_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("uvicorn.supervisors.multiprocess.SIGNALS", {})  # those of the tests stay as they are
    monkeypatch.setattr("shoal.supervisor.SILENT_S", LONG_S)
    config = Config("none:app", log_config=None, workers=2)
    supervisor, worker = Supervisor(config, []), Dying(config, [])
    supervisor.processes.append(worker)
    worker.start()
    supervisor.should_exit.set()  # no other takes its place
    supervisor.keep_subprocess_alive()
    assert f"worker {worker.pid} was ended by exit code 9" in caplog.text
