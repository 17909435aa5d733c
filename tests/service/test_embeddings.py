"""Embeddings by the encoder: both encodings, token ids, batches, and texts that are too long for it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from tokenizers import Tokenizer

from tests.service.distant import distant_upstream
from tests.service.server import ROOT, Server, eventually, write_registry
from tests.service.test_disconnects import statuses
from tests.upstream import Exchange

LIMIT = 256
"""Tokens the encoder reads, its two own among them."""

FITS = "sea " * (LIMIT - 2)

HI = [{"role": "user", "content": "hi"}]


def tokenizer() -> Tokenizer:
    found = Tokenizer.from_file(str(ROOT / "router/encoder/tokenizer.json"))
    found.no_padding()
    found.no_truncation()
    return found


def test_embeddings_in_both_encodings(shared: Server) -> None:
    client = shared.client()
    texts = ["the sea", "the ocean", "a tax form"]
    packed = client.embeddings.create(model="encoder", input=texts)  # the client asks for base64 by itself
    plain = client.embeddings.create(model="encoder", input=texts, encoding_format="float")
    vectors = np.array([row.embedding for row in packed.data], np.float32)
    assert np.array_equal(vectors, np.array([row.embedding for row in plain.data], np.float32))
    assert vectors.shape == (3, 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert packed.usage.prompt_tokens == packed.usage.total_tokens > 0
    alone = client.embeddings.create(model="encoder", input="the ocean")
    assert np.array_equal(np.array(alone.data[0].embedding, np.float32), vectors[1])


def test_vectors_come_with_a_receipt_that_is_their_row(shared: Server) -> None:
    for encoding in ("float", "base64"):
        body = {"model": "encoder", "input": ["the sea", "the ocean"], "encoding_format": encoding}
        _, answer, headers = shared.post("/v1/embeddings", body)
        told = answer["shoal"]
        assert told["request_id"] == headers["x-request-id"]
        assert (headers["x-shoal-expert"], headers["x-shoal-escalated"]) == ("encoder", "no")
        assert "x-shoal-probability" not in headers, "nobody judged it"
        assert json.loads(headers["x-shoal-energy-j"]) == told["energy_j"] > 0
        assert (told["decision"]["expert"], told["decision"]["reason"]) == ("encoder", "named by the request")
        assert told["fallback"]["could_answer"] is False
        lines = shared.shoal("meter", "export", "--format", "jsonl").stdout.splitlines()
        rows = [row for row in map(json.loads, lines) if told["request_id"] in row.values()]
        assert rows, "the ledger has it under this id"
    with shared.client() as client:
        found = client.embeddings.create(model="encoder", input="the sea")
    assert found.model_extra is not None
    assert found.model_extra["shoal"]["energy_source"] == "modelled"


def test_the_encoder_answers_to_an_alias(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text().replace("aliases: {", "aliases: {text-embedding-3-small: encoder, "))
    server = start(path)
    found = server.client().embeddings.create(model="text-embedding-3-small", input="the sea")
    assert (found.model, len(found.data[0].embedding)) == ("encoder", 384)
    status, answer, _ = server.post("/v1/chat/completions", {"model": "text-embedding-3-small", "messages": HI})
    said = "The model `text-embedding-3-small` makes embeddings alone: ask it at /v1/embeddings."
    assert (status, answer["error"]["message"]) == (400, said)


def test_embeddings_of_token_ids_and_of_fewer_dimensions(shared: Server) -> None:
    client = shared.client()
    ids = tokenizer().encode("the ocean", add_special_tokens=False).ids
    plain = client.embeddings.create(model="encoder", input=["the ocean", "x"])
    for given in (ids, [ids, [2]]):
        found = client.embeddings.create(model="encoder", input=given)
        assert found.data[0].embedding == plain.data[0].embedding
        assert len(found.data) == (1 if given is ids else 2)
    short = client.embeddings.create(model="encoder", input="the ocean", dimensions=64).data[0].embedding
    first = np.array(plain.data[0].embedding[:64])
    assert np.allclose(short, first / np.linalg.norm(first), atol=1e-6)


def test_a_full_batch_of_embeddings(shared: Server) -> None:
    found = shared.client().embeddings.create(model="encoder", input=["a", "b"] * 1024)
    assert [row.index for row in found.data] == list(range(2048))
    assert found.data[0].embedding == found.data[2046].embedding != found.data[1].embedding


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "encoder"}, "input"),
        ({"model": "encoder", "input": ""}, "input"),
        ({"model": "encoder", "input": "x", "dimensions": 0}, "dimensions"),
        ({"model": "encoder", "input": "x", "dimensions": 385}, "dimensions"),
        ({"model": "encoder", "input": "x", "encoding_format": "hex"}, "encoding_format"),
        ({"model": "encoder", "input": "x", "extra": 1}, "extra"),
    ],
)
def test_embeddings_refuses_what_openai_refuses(shared: Server, body: dict[str, Any], param: str) -> None:
    status, answer, _ = shared.post("/v1/embeddings", body)
    assert (status, answer["error"]["param"]) == (400, param)


def test_every_token_up_to_the_limit_is_read(shared: Server) -> None:
    ids = tokenizer().encode(FITS, add_special_tokens=False).ids
    text, tokens = (shared.client().embeddings.create(model="encoder", input=given) for given in (FITS, ids))
    assert text.data[0].embedding == tokens.data[0].embedding
    assert text.usage.prompt_tokens == tokens.usage.prompt_tokens == LIMIT
    shorter = shared.client().embeddings.create(model="encoder", input=ids[:-1])
    assert shorter.usage.prompt_tokens == LIMIT - 1
    assert shorter.data[0].embedding != text.data[0].embedding


@pytest.mark.parametrize(
    ("given", "param", "holds"),
    [
        (FITS + "sea", "input", "'input' holds 257."),
        (["sea", FITS + "sea sea"], "input[1]", "'input[1]' holds 258."),
        ([FITS + "sea"], "input[0]", "'input[0]' holds 257."),
        ([2000] * (LIMIT - 1), "input", "'input' holds 257."),
        ([[2000], [2000] * 8192], "input[1]", "'input[1]' holds 8194."),
        ("sea " * 6000, "input", "'input' holds 6002."),
        ("sea " * 1_000_000, "input", "'input' holds more than 8"),
        ("漢" * 1_000_000, "input", "'input' holds more than 32770."),
    ],
    ids=["text", "second", "only", "ids", "second ids", "counted", "million", "no blanks"],
)
def test_what_is_longer_is_refused_and_costs_nothing(shared: Server, given: Any, param: str, holds: str) -> None:
    before = shared.totals()["requests"]
    with shared.client() as client, pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model="encoder", input=given)
    assert (caught.value.type, caught.value.code) == ("invalid_request_error", "context_length_exceeded")
    assert caught.value.param == param
    assert f"maximum context length is {LIMIT} tokens" in caught.value.message
    assert holds in caught.value.message
    assert shared.totals()["requests"] == before


def test_vectors_are_not_credited_as_if_a_chat_model_could_make_them(shared: Server) -> None:
    def told() -> tuple[Any, ...]:
        found = shared.totals()
        guess, sci = found["savings"]["same_token_guess"], found["sci"]
        per = sci["accepted_answers"], sci["per_accepted_answer"], sci["per_1000_output_tokens"]
        return guess["left_out"]["unable"], guess["counterfactual"], guess["requests"], per

    shared.post("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "recipe for soup"}]})
    before, (unable, *rest) = shared.totals()["sci"], told()
    with shared.client() as client:
        for _ in range(3):
            client.embeddings.create(model="encoder", input=["the sea", "a recipe"] * 4)
    assert told() == (unable + 3, *rest)
    after = shared.totals()["sci"]
    took_g = after["operational_g"] - before["operational_g"]
    assert after["vectors_g"] - before["vectors_g"] == pytest.approx(took_g) and took_g > 0
    assert after["per_request"] != before["per_request"]
    assert shared.shoal("meter", "audit").returncode == 0


FAR = """
  - id: far
    kind: openai
    description: Makes embeddings
    url: {url}
    model: vectors
    params_b: 0.1
    context: 512
    capabilities: [embeddings]
"""


def test_an_expert_that_refuses_is_heard_in_our_words(start: Callable[..., Server], tmp_path: Path) -> None:
    with distant_upstream() as upstream:

        @upstream.behave("vectors")
        async def behave(exchange: Exchange) -> None:
            told = {"type": "exceed_context_size_error", "message": "600 tokens are more than 512", "code": 400}
            await exchange.send(json.dumps({"error": told}).encode(), 400)

        path = write_registry(tmp_path)
        path.write_text(path.read_text() + FAR.format(url=upstream.url))
        with start(path).client() as client, pytest.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model="far", input="sea " * 600)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


def test_blanks_are_no_tokens_however_many(shared: Server) -> None:
    found = shared.client().embeddings.create(model="encoder", input=["the" + " " * 200_000 + "sea", "the sea"])
    assert found.usage.prompt_tokens == 8
    assert found.data[0].embedding == found.data[1].embedding


def test_tokens_of_all_inputs_together_are_bounded(shared: Server) -> None:
    for given, tokens in (([[2000] * (LIMIT - 2)] * 1172, 300032), ([["no id"] * 9000] * 100, 900000)):
        status, answer, _ = shared.post("/v1/embeddings", {"model": "encoder", "input": given})
        error = answer["error"]
        assert (status, error["param"], error["code"]) == (400, "input", "max_tokens_per_request")
        assert error["message"].startswith(f"Requested {tokens} tokens, max 300000 tokens per request.")


def test_a_client_that_leaves_is_encoded_for_no_more(shared: Server) -> None:
    before = statuses(shared)
    body = json.dumps({"model": "encoder", "input": [FITS] * 1000}).encode()
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", shared.port)) as connection:
        connection.sendall(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        eventually(lambda: statuses(shared).get("STARTED", 0) == 1)
    eventually(lambda: "STARTED" not in statuses(shared))
    after = statuses(shared)
    assert after.pop("CANCELLED") == before.pop("CANCELLED", 0) + 1
    assert after == before
