"""Spans and metrics as a collector receives them from a real server, and not a word of content in them."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from router.otel.names import LATEST
from tests.collector import Collector, values
from tests.service.distant import distant_upstream
from tests.service.server import Server, eventually, write_registry

CANARY = "zebrafink-4711"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def serve(start: Callable[..., Server], folder: Path, collector: Collector, **env: str) -> Server:
    """A server that sends to the collector several times a second."""
    quick = {"OTEL_BSP_SCHEDULE_DELAY": "100", "OTEL_METRIC_EXPORT_INTERVAL": "200"}
    return start(write_registry(folder), OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, **quick, **env)


def use(server: Server) -> None:
    """Requests of every kind, the canary in each."""
    for text in ("write a poem about the sea", "explain the halting problem", "poem about rain BREAK", "CUT poem"):
        for stream in (False, True):
            body = {"model": "auto", "messages": [{"role": "user", "content": f"{text} {CANARY}"}], "stream": stream}
            sent = {"content-type": "application/json", "authorization": f"Bearer {CANARY}", "traceparent": PARENT}
            server.send("POST", "/v1/chat/completions", json.dumps(body | {"user": CANARY}).encode(), sent)
    server.post("/v1/chat/completions", {"model": CANARY, "messages": [{"role": "user", "content": CANARY}]})


def test_a_request_is_a_span_with_its_attempts_inside(start: Callable[..., Server], tmp_path: Path) -> None:
    with Collector() as collector:
        server = serve(start, tmp_path, collector)
        use(server)
        server.stop()
        spans, metrics = collector.spans(), collector.metrics()
    roots = [span for span in spans if span.kind == span.SPAN_KIND_SERVER]
    report = server.report()
    assert (len(roots), len(spans) - len(roots)) == (report["requests"], report["attempts"])
    assert {root.trace_id.hex() for root in roots} == {PARENT.split("-")[1]}
    assert {root.parent_span_id.hex() for root in roots} == {PARENT.split("-")[2]}
    assert {root.name for root in roots} == {"chat auto"}
    inside = {root.span_id: [span for span in spans if span.parent_span_id == root.span_id] for root in roots}
    for root in roots:
        told = values(root.attributes)
        assert told["gen_ai.operation.name"] == "chat"
        assert told["gen_ai.request.model"] == "auto"
        assert len(told["gen_ai.response.id"]) == 26
        starts, ends = [[getattr(s, f"{end}_time_unix_nano") for s in inside[root.span_id]] for end in ("start", "end")]
        assert root.start_time_unix_nano <= min(starts)
        assert max(ends) <= root.end_time_unix_nano
        assert starts[1:] == ends[:-1]  # one after the other
    tried_twice = [parts for parts in inside.values() if len(parts) == 2]
    assert {values(parts[0].attributes)["error.type"] for parts in tried_twice} == {"upstream_error"}
    assert collector.services() == {"shoal"}
    usage = [
        values(p.attributes)["gen_ai.token.type"] for p in metrics["gen_ai.client.token.usage"].histogram.data_points
    ]
    assert set(usage) == {"input", "output"}
    energy = sum(point.as_double for point in metrics["shoal.energy"].sum.data_points)
    assert energy == pytest.approx(report["energy_j"])
    assert CANARY.encode() not in collector.everything
    assert CANARY not in server.log()


@pytest.mark.parametrize("asked", [True, False])
def test_an_expert_elsewhere_is_told_whose_trace_it_works_for(
    start: Callable[..., Server], tmp_path: Path, asked: bool
) -> None:
    heads: list[dict[str, str]] = [
        {"traceparent": PARENT, "tracestate": "vendor=1,other=2"},
        {"traceparent": PARENT, "tracestate": f"{CANARY}\xff"},
        {"traceparent": f"00-{CANARY}-01", "tracestate": "vendor=1"},
        {},
    ]
    with Collector() as collector, distant_upstream() as upstream:
        registry = write_registry(tmp_path)
        local = registry.read_text().split("  - id: big", 1)[0]
        big = (
            f"id: big, kind: openai, description: Elsewhere, url: {upstream.url}, model: ok, params_b: 8, context: 4096"
        )
        registry.write_text(f"{local}  - {{{big}}}\n")
        env = {} if asked else {"OTEL_SDK_DISABLED": "true"}
        server = start(registry, OTEL_EXPORTER_OTLP_ENDPOINT=collector.address, **env)
        for head in heads:
            body = json.dumps({"model": "big", "messages": [{"role": "user", "content": "hello"}]}).encode()
            sent = {"content-type": "application/json", **head}
            assert server.send("POST", "/v1/chat/completions", body, sent)[0] == 200
        server.stop()
        told = [{name: each.headers.get(name) for name in ("traceparent", "tracestate")} for each in upstream.seen]
        spans = collector.spans()
    nothing = {"traceparent": None, "tracestate": None}
    if not asked:
        assert told == [nothing] * 4
        return
    assert told == [heads[0], {"traceparent": PARENT, "tracestate": None}, nothing, nothing]
    attempts = [span for span in spans if span.kind == span.SPAN_KIND_CLIENT]
    assert [span.trace_id.hex() == PARENT.split("-")[1] for span in attempts] == [True, True, False, False]
    assert CANARY not in server.log()


def test_the_newer_names_where_they_are_asked_for(start: Callable[..., Server], tmp_path: Path) -> None:
    with Collector() as collector:
        server = serve(start, tmp_path, collector, OTEL_SEMCONV_STABILITY_OPT_IN=LATEST, OTEL_SERVICE_NAME="ours")
        use(server)
        server.stop()
        metrics = collector.metrics()
    assert collector.services() == {"ours"}
    assert {"gen_ai.client.inference.duration", "gen_ai.client.inference.usage.input_tokens"} <= set(metrics)
    assert not {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} & set(metrics)
    counted = metrics["gen_ai.client.inference.usage.output_tokens"].sum.data_points
    assert sum(point.as_int for point in counted) == server.report()["output_tokens"]
    failed = [values(p.attributes) for p in metrics["gen_ai.client.inference.duration"].histogram.data_points]
    assert "upstream_error" in {each.get("error.type") for each in failed}
    durations = metrics["gen_ai.client.inference.operation.output_tokens"].histogram.data_points
    assert all("error.type" not in values(point.attributes) for point in durations)
    assert CANARY.encode() not in collector.everything


def test_a_collector_that_is_gone_harms_nobody(start: Callable[..., Server], tmp_path: Path) -> None:
    with Collector() as collector:
        server = serve(start, tmp_path, collector)
        eventually(lambda: server.get("/readyz")[0] == 200)
    use(server)
    assert server.report()["requests"] == 8
    assert server.stop() in (0, -signal.SIGTERM)  # it ends in time, though its last spans find nobody


def test_nothing_is_sent_unless_asked_for(start: Callable[..., Server], tmp_path: Path) -> None:
    with Collector() as collector:
        server = serve(start, tmp_path, collector, OTEL_SDK_DISABLED="true")
        use(server)
        server.stop()
        assert collector.bodies == []


def test_what_cannot_be_had_is_told(tmp_path: Path) -> None:
    server = Server(
        tmp_path,
        write_registry(tmp_path),
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    )
    with pytest.raises(AssertionError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' is not spoken here\. Remedy"):
        server.start()


def test_not_a_word_nor_a_key_is_anywhere(start: Callable[..., Server], tmp_path: Path) -> None:
    """Log, ledger, metrics, dashboard, traces: what a client said, and the key it said it with, is in none."""
    key = f"key-{CANARY}-0123456789"
    with Collector() as collector:
        server = serve(start, tmp_path, collector, SHOAL_API_KEYS=key, SHOAL_ADMIN_KEY=f"{key}-admin")
        bearer = {"authorization": f"Bearer {key}"}
        for text in (f"write a poem about the {CANARY}", f"{CANARY} BREAK poem", f"{CANARY} CUT poem", CANARY):
            for stream in (False, True):
                messages = [{"role": "system", "content": CANARY}, {"role": "user", "content": text}]
                body = {"model": "auto", "messages": messages, "stream": stream, "user": CANARY}
                body["metadata"] = {CANARY: CANARY}
                sent = {"content-type": "application/json", "x-canary": CANARY, **bearer}
                server.send("POST", f"/v1/chat/completions?{CANARY}", json.dumps(body).encode(), sent)
        server.post("/v1/chat/completions", {"model": CANARY, "messages": []}, {"authorization": f"Bearer {CANARY}"})
        admin = {"authorization": f"Bearer {key}-admin"}
        seen = [server.get(path, admin) for path in ("/metrics", "/v1/dashboard", "/readyz")]
        server.stop()
    assert [status for status, _ in seen] == [200, 200, 200]
    files = [path for path in (server.folder / "data").glob("*.sqlite*") if path.is_file()]
    ledger = b"".join(path.read_bytes() for path in files)
    assert files
    assert len(collector.spans()) >= 8
    for name, found in {
        "answers": b"".join(body for _, body in seen),
        "traces and metrics": collector.everything,
        "ledger and keys": ledger,
        "log": server.log().encode(),
    }.items():
        assert CANARY.encode() not in found, name
