"""One browser and one server with real traffic for all tests of the pages."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Browser, found
from tests.service.server import Server, write_registry

XSS = "<img src=x onerror=alert(1)>"
TEXTS = (
    "write a poem about the sea", "recipe for banana bread", "explain the halting problem", "a haiku on autumn",
    "how to roast a chicken", "poem about rain BREAK", "what is the capital of France", "a limerick about a sailor",
)  # fmt: skip


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A window."""
    window = Browser(tmp_path_factory.mktemp("chromium"))
    yield window
    window.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose registry, requests and metadata are full of markup, with forty requests in its ledger."""
    found()  # nothing is started for tests that will be skipped
    registry = write_registry(tmp_path_factory.mktemp("registry"))
    text = registry.read_text().replace("description: Writes poems", f"description: '{XSS}<script>alert(2)</script>'")
    text = text.replace("description: Knows recipes", f"domain: '{XSS}'\n    description: Knows recipes")
    registry.write_text(text.replace("aliases: {", f"aliases: {{'{XSS}': poet, "))
    running = Server(tmp_path_factory.mktemp("server"), registry).start()
    try:
        ask(running)
        yield running
    finally:
        running.stop(signal.SIGKILL)


def ask(running: Server) -> None:
    """Requests of every kind; a tenth by a name that is markup, a quarter with feedback."""
    for number in range(40):
        named = number % 10 == 9
        body = {
            "model": XSS if named else "auto",
            "messages": [{"role": "user", "content": TEXTS[0] if named else TEXTS[number % len(TEXTS)]}],
            "user": XSS,
            "metadata": {"who": f"{XSS}{number}"},
        }
        status, answer, _ = running.post("/v1/chat/completions", body)
        assert status == 200, answer
        if number % 4 == 0:
            feedback = {"request_id": answer["shoal"]["request_id"], "score": 1.0, "comment": XSS}
            assert running.post("/v1/feedback", feedback)[0] == 200
    for wrong in (XSS, f"auto:{XSS}"):
        running.post("/v1/chat/completions", {"model": f"no{wrong}", "messages": [{"role": "user", "content": XSS}]})
