"""Models, embeddings, route, health, readiness and metrics."""

from __future__ import annotations

import json

import jsonschema_rs
import openai
import pytest

from tests.service.server import write_registry


def test_models_lists_every_name(shared) -> None:
    names = [model.id for model in shared.client().models.list()]
    assert names[:4] == ["auto", "auto:balanced", "auto:careful", "fallback"]
    assert {"poet", "cook", "big", "gpt-small", "encoder"} <= set(names)
    assert shared.client().models.retrieve("auto:careful").id == "auto:careful"
    with pytest.raises(openai.NotFoundError):
        shared.client().models.retrieve("no/such")
    fallbacks = {model.id for model in shared.client().models.list() if (model.model_extra or {}).get("fallback")}
    assert fallbacks == {"big"}
    read = {name: shared.client().models.retrieve(name).model_extra["context_length"] for name in ("poet", "encoder")}
    assert read == {"poet": 4096, "encoder": 256}


def test_a_fallback_that_the_environment_names_tells_what_every_expert_does(start, tmp_path) -> None:
    named = {"SHOAL_FALLBACK_URL": "http://127.0.0.1:9/v1", "SHOAL_FALLBACK_CONTEXT": "9000"}
    server = start(write_registry(tmp_path), **named)
    found = [model.model_dump() for model in server.client().models.list() if model.id in ("fallback", "poet")]
    assert [(model["id"], model["fallback"]) for model in found] == [("fallback", True), ("poet", False)]
    assert found[0]["context_length"] == 9000
    assert "SHOAL_FALLBACK_URL" in found[0]["description"]


def test_a_model_with_a_slash_is_found_however_it_is_written(start, tmp_path) -> None:
    registry = write_registry(tmp_path)
    registry.write_text(registry.read_text().replace("aliases: {", 'aliases: {"org/poet": poet, '))
    server = start(registry)
    for path in ("org/poet", "org%2Fpoet"):
        status, body = server.get(f"/v1/models/{path}")
        found = json.loads(body)
        assert (status, found["id"]) == (200, "org/poet")
        assert set(found) >= {"id", "object", "created", "owned_by"}
    answer = server.post("/v1/chat/completions", {"model": "org/poet", "messages": [{"role": "user", "content": "x"}]})
    assert answer[1]["model"] == "poet"


def test_route_explains_and_generates_nothing(shared) -> None:
    before = shared.totals()["requests"]
    body = {"model": "auto", "messages": [{"role": "user", "content": "a limerick about the baker next door"}]}
    status, found, _ = shared.post("/v1/route", body)
    assert status == 200
    assert found["decision"]["expert"] == "poet"
    assert found["nearest"][0]["input"] == "a limerick about a baker"
    assert found["nearest"][0]["label"] == "poet"
    assert any("threshold at" in change for change in found["would_change"])
    assert found["flips"][0]["expert"] != "poet"
    assert found["smallest"]["by"] == "money"
    assert found["smallest"]["experts"][-1] == "big"
    assert found["moved_by"]["poet"]["domain"] == found["decision"]["probability"]
    assert found["out_of_domain"]["known"] == found["decision"]["known"]
    assert set(found["out_of_domain"]["looks"]) == {"scores", "centroid", "neighbours"}
    answer = shared.client().chat.completions.create(**body)
    assert answer.model_extra["shoal"]["decision"] == found["decision"]
    assert shared.totals()["requests"] == before + 1


def test_the_route_command_says_the_same(shared) -> None:
    text = "a limerick about the baker next door"
    done = shared.shoal("route", text, "--json")
    assert done.returncode == 0, done.stderr
    body = {"model": "auto", "messages": [{"role": "user", "content": text}]}
    assert json.loads(done.stdout) == shared.post("/v1/route", body)[1]
    shown = shared.shoal("route", text)
    assert "poet" in shown.stdout
    assert "smallest expert above its threshold" in shown.stdout


def test_the_openapi_document_names_every_route_and_no_other(shared) -> None:
    found = json.loads(shared.get("/openapi.json")[1])
    told = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    for method, path in told:
        concrete = path.replace("{id}", "x").replace("{model}", "x").replace("{expert}", "x")
        status, answer, _ = shared.send(method, concrete, None, None)
        assert status != 405, (method, path)
        assert status != 404 or json.loads(answer)["error"]["code"] != "unknown_url", (method, path)
    body = found["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert found["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]]["required"] == ["messages", "model"]
    assert told >= {("POST", path) for path in GENERATES}


GENERATES = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "n": 2, "logprobs": True}),
        ("/v1/completions", {"prompt": ["x", "y"], "logprobs": 1}),
        ("/v1/responses", {"input": "x", "tools": [{"type": "function", "name": "f"}]}),
        ("/v1/responses/input_tokens", {"input": "x"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9}),
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "x"}]}),
        ("/v1/embeddings", {"input": ["x"], "model": "encoder"}),
        ("/v1/route", {"messages": [{"role": "user", "content": "x"}], "model": "auto"}),
        ("/v1/chat/completions", {}),
        ("/v1/messages", {}),
    ],
)
def test_answers_are_what_the_document_says(shared, path: str, body: dict) -> None:
    found = json.loads(shared.get("/openapi.json")[1])
    status, answer, _ = shared.post(path, {"model": "big", **body})
    responses = found["paths"][path]["post"]["responses"]
    schema = responses.get(str(status), responses["default"])["content"]["application/json"]["schema"]
    jsonschema_rs.validator_for({**schema, "components": found["components"]}).validate(answer)


def test_health_and_readiness(shared) -> None:
    assert shared.get("/healthz") == (200, b'{"status":"ok"}')
    status, body = shared.get("/readyz")
    found = json.loads(body)
    assert status == 200
    assert found["ready"] is True
    assert found["registry"]["refused_edit"] is None
    assert set(found["experts"]) == {"poet", "cook", "big"}


def test_metrics_count_what_the_ledger_counts(shared) -> None:
    for _ in range(3):
        shared.client().chat.completions.create(model="cook", messages=[{"role": "user", "content": "soup"}])
    text = shared.get("/metrics")[1].decode()
    counted = next(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith('shoal_requests_total{endpoint="chat",expert="cook",status="ok"}')
    )
    assert counted == shared.totals()["by_expert"]["cook"]["requests"]
    assert "soup" not in text
