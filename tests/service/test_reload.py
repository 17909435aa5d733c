"""Edits of registry.yaml while requests run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from tests.service.server import POEMS, Server, eventually, rows, write_registry


def version(server: Server) -> str:
    """The registry version that serves."""
    found: str = json.loads(server.get("/readyz")[1])["registry"]["version"]
    return found


def ask(server: Server, text: str) -> str:
    """Who answers."""
    status, body, _ = server.post(
        "/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": text}]}
    )
    assert status == 200, body
    found: str = body["model"]
    return found


FAQ = """
  - id: faq
    kind: answers
    description: Answers
    answers: faq.jsonl
    params_b: 0
    context: 4096
"""

GARDENER = """
  - id: gardener
    kind: scripted
    description: Knows plants
    script: gardener.jsonl
    examples: plants.jsonl
    params_b: 0.1
    context: 4096
"""


def test_an_expert_added_by_an_edit_takes_its_traffic_and_no_request_fails(start: Callable, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    server = start(path)
    assert ask(server, "when should I prune my roses") == "big"
    failed: list[object] = []
    done = threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            status, body, _ = server.post(
                "/v1/chat/completions",
                {"model": "auto", "messages": [{"role": "user", "content": "write a poem about the sea"}]},
            )
            if status != 200 or body["model"] != "poet":
                failed.append(body)

    askers = [threading.Thread(target=keep_asking) for _ in range(4)]
    for asker in askers:
        asker.start()
    try:
        _add_gardener(tmp_path, path, server)
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert not failed


def _add_gardener(tmp_path: Path, path: Path, server: Server) -> None:
    plants = ["when to prune roses", "my tomato leaves turn yellow", "how much water does a cactus need",
              "plant bulbs in autumn", "grow basil indoors", "get rid of aphids", "repot an orchid",
              "fertiliser for lawns", "best soil for hydrangeas", "when do I sow carrots"]  # fmt: skip
    rows(tmp_path / "plants.jsonl", [{"input": text} for text in plants])
    rows(tmp_path / "gardener.jsonl", [{"match": ".*", "reply": "In late winter."}])
    before = version(server)
    path.write_text(path.read_text() + GARDENER)
    eventually(lambda: version(server) != before)
    assert ask(server, "when should I prune my roses") == "gardener"


def test_an_invalid_edit_keeps_the_last_good_one_and_says_so(start: Callable, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    server = start(path)
    good = path.read_text()
    before = version(server)
    path.write_text(good.replace("params_b: 0.2", "params_b: -1").replace("fallback: big", "fallback: nobody"))
    eventually(lambda: json.loads(server.get("/readyz")[1])["registry"]["refused_edit"] is not None)
    problems = json.loads(server.get("/readyz")[1])["registry"]["refused_edit"]
    assert len(problems) == 2
    assert all("registry.yaml:" in problem for problem in problems)
    assert version(server) == before
    assert ask(server, "recipe for banana bread") == "cook"
    assert "params_b" in server.log()
    checked = server.shoal("registry", "check")
    assert checked.returncode == 1
    assert "params_b" in checked.stderr
    assert "nobody" in checked.stderr
    path.write_text(good)
    eventually(lambda: json.loads(server.get("/readyz")[1])["registry"]["refused_edit"] is None)


def test_a_removed_expert_is_unknown_and_streams_under_way_finish(start: Callable, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    server = start(path)
    stream = iter(
        server.client().chat.completions.create(
            model="poet", messages=[{"role": "user", "content": "SLOW"}], stream=True
        )
    )
    next(stream)
    text = path.read_text()
    begin, end = text.index("  - id: poet"), text.index("  - id: cook")
    path.write_text((text[:begin] + text[end:]).replace("gpt-small: poet, ", ""))
    eventually(
        lambda: (
            server.post("/v1/chat/completions", {"model": "poet", "messages": [{"role": "user", "content": "x"}]})[0]
            == 404
        )
    )
    assert "ten" in "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_an_edit_by_hand_is_warned_of_once_as_an_addition_is(start: Callable, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    rows(tmp_path / "plants.jsonl", [{"input": "when to prune roses"}, {"input": POEMS[0].upper()}])
    rows(tmp_path / "gardener.jsonl", [{"match": ".*", "reply": "In late winter."}])
    server = start(path)
    assert "examples" not in server.log()
    few, both = "gardener: 2 examples are too few to tell its requests", "poet and gardener have 1 example in common"
    for text in (path.read_text() + GARDENER, path.read_text() + GARDENER + "# another edit\n"):
        before = version(server)
        path.write_text(text)
        eventually(lambda before=before: version(server) != before)
        eventually(lambda: f"registry {version(server)} is live" in server.log())
        assert [server.log().count(said) for said in (few, both)] == [1, 1], server.log()


def test_an_expert_whose_own_file_cannot_be_loaded_never_serves(start: Callable, tmp_path: Path) -> None:
    rows(tmp_path / "faq.jsonl", [{"id": "1", "questions": ["how are you"], "answer": "Well."}])
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + FAQ)
    server = start(path)
    assert ask(server, "how do I cook risotto") == "cook"
    before = version(server)
    for name, line, told in (
        ("cook.jsonl", '{"match": "(", "reply": "x"}', "match: unclosed group. Remedy: "),
        ("cook.jsonl", '{"match": "x", "repyl": "x"}', "repyl: Extra inputs are not permitted. Remedy: "),
        ("cook.jsonl", "match: x", "is not JSON ("),
        ("faq.jsonl", '{"id": "1", "questions": ["how are you"]}', "answer is missing. Remedy: "),
    ):
        good = (tmp_path / name).read_text()
        (tmp_path / name).write_text(f"{line}\n")
        told = f"{name}:1: {told}"
        checked = server.shoal("registry", "check")
        assert (checked.returncode, told in checked.stderr) == (1, True), checked.stdout + checked.stderr
        eventually(lambda: told in server.log(), server.log)  # noqa: B023
        assert version(server) == before
        assert ask(server, "how do I cook risotto") == "cook"
        (tmp_path / name).write_text(good)
    (tmp_path / "bad.jsonl").write_text('{"match": "("}\n')
    field = ("--kind", "scripted", "--description", "Knows plants", "--context", "4096", "--params-b", "0.1")
    added = server.shoal("registry", "add", "gardener", *field, "--set", "script=bad.jsonl")
    assert (added.returncode, "bad.jsonl:1: match: unclosed group. Remedy: " in added.stderr) == (1, True), added.stderr
    assert "bad.jsonl" not in path.read_text()
