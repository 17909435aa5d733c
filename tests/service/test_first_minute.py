"""What a stranger does first: the default registry, real weights, three requests, a report, a power cut."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.server import ROOT, Server, eventually

HELP = [{"role": "user", "content": "How do I add my own expert to Shoal?"}]
TICKET = [
    {"role": "user", "content": "Hi, I was charged twice for order 4411 last week. Please refund one of the payments."}
]
OPEN = [{"role": "user", "content": "Write one short sentence about the sea."}]


@pytest.fixture(scope="module")
def server(start: Callable[..., Server]) -> Server:
    return start(ROOT / "registry.yaml")


def children(pid: int) -> list[int]:
    """The child processes of a process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def sockets(pid: int) -> set[str]:
    """The inodes of a process's open sockets."""
    links = [str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return {link[8:-1] for link in links if link.startswith("socket:[")}


def listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on a port of this machine."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_three_requests_three_experts_one_report(server: Server) -> None:
    client = server.client()
    before = server.report()["requests"]
    answers = {
        name: client.chat.completions.create(model="auto", messages=messages, max_completion_tokens=24, temperature=0)
        for name, messages in (("help", HELP), ("ticket", TICKET), ("open", OPEN))
    }
    assert [answer.model for answer in answers.values()] == ["shoal-help", "triage", "chat"]
    assert "registry.yaml" in answers["help"].choices[0].message.content
    assert answers["ticket"].choices[0].message.content == "billing_refund"
    assert answers["open"].choices[0].message.content.strip()
    assert answers["open"].usage.completion_tokens > 0
    assert answers["open"].model_extra["shoal"]["energy_j"] > answers["ticket"].model_extra["shoal"]["energy_j"]
    report = server.report()
    assert report["requests"] == before + 3
    receipts = [answer.model_extra["shoal"] for answer in answers.values()]
    if before == 0:
        for unit in ("cost_usd", "energy_j", "co2_g"):
            assert (report[unit] or 0) == pytest.approx(sum(receipt[unit] or 0 for receipt in receipts), abs=1e-9)


@pytest.mark.parametrize(
    ("short", "expert"),
    [("How do I start Shoal?", "shoal-help"), ("tell me a joke", "chat"), ("it is the red one", "triage")],
)
def test_a_new_task_in_a_few_words_is_not_taken_for_the_one_before(server: Server, short: str, expert: str) -> None:
    messages = [*TICKET, {"role": "assistant", "content": "I am sorry."}, {"role": "user", "content": short}]
    found = server.post("/v1/route", {"model": "auto", "messages": messages})[1]
    assert found["decision"]["expert"] == expert
    answer = server.client().chat.completions.create(model="auto", messages=messages, max_completion_tokens=8)
    assert (answer.model, answer.model_extra["shoal"]["decision"]) == (expert, found["decision"])


@pytest.mark.parametrize("between", ["\n\n", "\n", " "])
def test_an_order_about_a_pasted_complaint_is_no_complaint(server: Server, between: str) -> None:
    order = f"Summarise this mail in one sentence:{between}{TICKET[0]['content']}\n\nRegards, Ida"
    found = server.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": order}]})[1]
    assert found["decision"]["expert"] == "chat"


def test_the_local_model_streams_like_openai(server: Server) -> None:
    chunks = list(
        server.client().chat.completions.create(
            model="chat",
            messages=OPEN,
            max_completion_tokens=16,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {chunk.model for chunk in chunks} == {"chat"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in ("stop", "length")
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-1].model_extra["shoal"]["decision"]["expert"] == "chat"


def test_the_local_model_follows_a_json_schema(server: Server) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
        "required": ["city", "people"],
        "additionalProperties": False,
    }
    answer = server.client().chat.completions.create(
        model="chat",
        messages=[{"role": "user", "content": "Paris has 2 million people. Extract city and people as JSON."}],
        response_format={"type": "json_schema", "json_schema": {"name": "town", "schema": schema, "strict": True}},
        max_completion_tokens=64,
        temperature=0,
    )
    found = json.loads(answer.choices[0].message.content)
    assert set(found) == {"city", "people"}


def test_kill_9_in_a_stream_leaves_an_entry_and_no_child(start: Callable[..., Server]) -> None:
    server = start(ROOT / "registry.yaml")
    server.client().chat.completions.create(model="auto", messages=TICKET)
    stream = iter(
        server.client().chat.completions.create(
            model="chat", messages=OPEN, max_completion_tokens=400, temperature=0, stream=True
        )
    )
    next(stream)
    assert server.process is not None
    engines = children(server.process.pid)
    assert engines
    assert not sockets(engines[0]) & listening(server.port), "a model's process could take our clients' connections"
    server.stop(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in engines))  # no child outlives the server
    server.start()
    assert server.report()["by_status"] == {"ok": 1, "interrupted": 1}
