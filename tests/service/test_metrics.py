"""GET /metrics of a real server: the ledger's own figures, and no series for what clients make up."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.server import Server, eventually, write_registry

CANARY = "zebrafink-4711"


def samples(server: Server) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels."""
    status, body = server.get("/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def total(server: Server, name: str) -> float:
    """A counter over all its labels."""
    return sum(value for (sample, *_), value in samples(server).items() if sample == name)


def say(server: Server, text: str, model: str = "auto") -> int:
    """The status of one request."""
    return server.post("/v1/chat/completions", {"model": model, "messages": [{"role": "user", "content": text}]})[0]


def test_counters_equal_the_ledger_shadows_included(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "savings: {holdback: 0.5}\n")
    server = start(path)
    for number in range(12):
        assert say(server, f"write a poem about the sea, number {number}") == 200
    assert say(server, "poem about rain BREAK") == 200
    # A small path that runs beside an answer is in the ledger a moment after it; the poet is asked thirteen times.
    eventually(lambda: server.totals()["by_expert"]["poet"]["attempts"] == 13)
    report = server.report()
    assert report["charged"]["shadow"]["cost_usd"] > 0
    assert total(server, "shoal_requests_total") == report["requests"]
    assert total(server, "shoal_tokens_total") == report["input_tokens"] + report["output_tokens"]
    assert total(server, "shoal_cost_total") / 1e6 == pytest.approx(report["cost_usd"], rel=1e-12)
    assert total(server, "shoal_energy_joules_total") == pytest.approx(report["energy_j"], rel=1e-12)
    assert total(server, "shoal_co2_grams_total") == pytest.approx(report["co2_g"], rel=1e-12)
    assert total(server, "shoal_meter_pending") == 0
    assert total(server, "shoal_meter_write_failures_total") == 0


def test_what_clients_make_up_is_no_label(shared: Server) -> None:
    assert say(shared, "a haiku on autumn", model="poet") == 200
    assert say(shared, CANARY, model=CANARY) == 404
    assert shared.get(f"/{CANARY}")[0] == 404
    assert samples(shared)  # being asked for metrics is an answer too
    before = samples(shared)
    for number in range(200):
        assert say(shared, CANARY, model=f"{CANARY}-{number}") == 404
        assert shared.get(f"/{CANARY}/{number}")[0] == 404
    assert {name for name in samples(shared) if not name[0].startswith("process_")} <= set(before)
    assert CANARY not in shared.get("/metrics")[1].decode()


def test_the_format_is_the_one_every_scraper_reads(shared: Server) -> None:
    for accept in ("*/*", "application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4; q=0.5"):
        status, _, headers = shared.send("GET", "/metrics", None, {"accept": accept})
        assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


def test_every_http_answer_is_counted(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), SHOAL_API_KEYS="a-key-of-the-environment", SHOAL_ADMIN_KEY="an-admin-key")
    admin = {"authorization": "Bearer an-admin-key"}
    right, chat = {"authorization": "Bearer a-key-of-the-environment"}, "/v1/chat/completions"
    done = server.shoal("keys", "create", "once", "--requests-per-minute", "1", "--json")
    once = {"authorization": f"Bearer {json.loads(done.stdout)['key']}"}

    def told(surface: str, code: int) -> float:
        families = text_string_to_metric_families(server.get("/metrics", admin)[1].decode())
        wanted = ("shoal_http_responses_total", {"surface": surface, "code": str(code)})
        return sum(s.value for family in families for s in family.samples if (s.name, s.labels) == wanted)

    def asked(text: str, headers: dict[str, str] = right, model: str = "poet") -> int:
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return server.post(chat, body, headers)[0]

    eventually(lambda: asked("a poem", once) == 200)  # the server hears of a new key in a moment
    before = {(chat, code): told(chat, code) for code in (200, 400, 401, 404, 429, 503)}
    assert asked("a poem", once) == 429
    assert asked("a poem") == 200
    assert asked("a poem", {}) == 401
    assert asked("a poem", model="nobody") == 404
    assert asked("BIGFAIL", model="big") == 503
    assert server.post(chat, b"{", right)[0] == 400
    assert {key: told(*key) - n for key, n in before.items()} == dict.fromkeys(before, 1)

    assert server.get("/v1/models/poet", right)[0] == 200
    assert server.get("/v1/models/big", right)[0] == 200
    assert told("/v1/models/{model}", 200) == 2
    assert [server.get(path, right)[0] for path in (f"/{CANARY}", "/v1/nothing")] == [404, 404]
    assert told("other", 404) == 2
    assert server.get("/metrics")[0] == 401
    assert told("/metrics", 401) == 1


def test_answers_of_the_connection_and_clients_that_left_are_counted(shared: Server) -> None:
    def told(surface: str, code: str) -> float:
        return samples(shared).get(("shoal_http_responses_total", *sorted((surface, code))), 0)

    def connected(*parts: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", shared.port), timeout=60)
        connection.sendall(b"".join(parts))
        return connection

    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    counted = told("other", "400"), told("other", "431"), told("/v1/chat/completions", "400")
    with connected(b"this is no HTTP\r\n\r\n") as broken:
        assert broken.recv(100).startswith(b"HTTP/1.1 400")
    with connected(head, b"x: ", b"x" * 40_000, b"\r\n\r\n") as long:
        assert long.recv(100).startswith(b"HTTP/1.1 431")
    with connected(head, b"transfer-encoding: chunked\r\n\r\n", b"no size\r\n") as garbled:
        assert garbled.recv(100).startswith(b"HTTP/1.1 400")
    now = told("other", "400"), told("other", "431"), told("/v1/chat/completions", "400")
    assert now == tuple(n + 1 for n in counted)

    left = told("/v1/chat/completions", "499")
    body = json.dumps({"model": "poet", "messages": [{"role": "user", "content": "NEVER"}]}).encode()
    connection = connected(head, b"content-length: %d\r\n\r\n" % len(body), body)
    eventually(lambda: json.loads(shared.get("/readyz")[1])["experts"]["poet"]["in_flight"] == 1)
    connection.close()
    eventually(lambda: told("/v1/chat/completions", "499") == left + 1)


def test_any_of_two_workers_tells_of_both(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(write_registry(tmp_path), options=("--workers", "2"))

    def by_worker(name: str) -> dict[str, float]:
        """The sums of a metric; every series is there once."""
        families = text_string_to_metric_families(server.get("/metrics")[1].decode())
        found = [s for family in families for s in family.samples]
        assert len({(s.name, *sorted(s.labels.items())) for s in found}) == len(found)
        sums = dict.fromkeys({s.labels["worker"] for s in found}, 0.0)
        for sample in found:
            sums[sample.labels["worker"]] += sample.value if sample.name == name else 0
        return sums

    eventually(lambda: set(by_worker("shoal_requests_total")) == {"0", "1"})
    last: dict[str, float] = {}
    for number in range(30):
        assert say(server, f"a poem, number {number}", model="poet") == 200
        now = by_worker("shoal_requests_total")
        assert all(now[worker] >= counted for worker, counted in last.items()), "a counter went back"
        last = now
    eventually(lambda: sum(by_worker("shoal_requests_total").values()) == 30)

    before = by_worker("process_start_time_seconds")
    assert server.process is not None
    children = psutil.Process(server.process.pid).children()
    killed = next(child for child in children if "spawn_main" in str(child.cmdline()))
    killed.kill()
    killed.wait()  # until then it might still take a connection with it

    def replaced() -> bool:
        """Whether exactly one number is now another process's."""
        now = by_worker("process_start_time_seconds")
        return set(now) == set(before) and sum(now[worker] != began for worker, began in before.items()) == 1

    eventually(replaced)
    assert server.stop() in (0, -signal.SIGTERM)
