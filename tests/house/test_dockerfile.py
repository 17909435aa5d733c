"""What the linter does not know of the image: who it runs as, what is in it, that its healthcheck tells the truth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[tuple[str, str]]:
    """(instruction, its words), continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (root / "Dockerfile").read_text()).replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return [(name, words.strip()) for name, words in lines]


@pytest.fixture
def service() -> Iterator[HTTPServer]:
    """A server that answers `status` to GET /healthz."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_nothing_serves_as_root(instructions: list[tuple[str, str]]) -> None:
    after_last_stage = [name for name, _ in instructions][::-1].index("FROM")
    users = [words for name, words in instructions[-after_last_stage:] if name == "USER"]
    assert users
    assert int(users[-1]) > 0


def test_the_python_is_one_exact_release(instructions: list[tuple[str, str]]) -> None:
    (image,) = (words for name, words in instructions if name == "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+", image)


def test_the_context_holds_what_serving_reads_and_no_more(root: Path) -> None:
    rules = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_in >= {"shoal", "eval", "router", "experts", "registry.yaml", "requirements/serve.txt"}
    assert not let_in & {".git", ".venv", ".shoal", "tests", "."}
    assert [path for path in let_in if not (root / path).exists()] == []


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_healthcheck_tells_the_truth(
    instructions: list[tuple[str, str]], service: HTTPServer, status: int, code: int
) -> None:
    (words,) = (words for name, words in instructions if name == "HEALTHCHECK")
    _, *options = json.loads(words.partition("CMD ")[2])
    service.status = status  # type: ignore[attr-defined]
    environment = {**os.environ, "SHOAL_PORT": str(service.server_port), "http_proxy": "http://127.0.0.1:9"}
    assert subprocess.run([sys.executable, *options], env=environment, check=False).returncode == code
