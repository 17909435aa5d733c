"""The registry and its experts, changed over HTTP by whoever holds the admin key."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from experts.errors import RegistryError
from router.learn.coverage import TOLD
from shoal import adding
from tests.service.server import Server, eventually, rows, write_registry
from tests.service.test_reload import ask

KEY = "k" * 32
ADMIN = {"authorization": f"Bearer {KEY}"}
GARDENER: dict[str, Any] = {
    "id": "gardener", "kind": "scripted", "description": "Knows plants", "script": "gardener.jsonl",
    "examples": "plants.jsonl", "params_b": 0.1, "context": 4096,
}  # fmt: skip
PLANTS = [
    "when to prune roses", "my tomato leaves turn yellow", "how much water does a cactus need", "plant bulbs in autumn",
    "grow basil indoors", "get rid of aphids", "repot an orchid", "fertiliser for lawns", "best soil for hydrangeas",
    "when do I sow carrots",
]  # fmt: skip


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("admin")
    rows(folder / "plants.jsonl", [{"input": text} for text in PLANTS])
    rows(folder / "gardener.jsonl", [{"match": ".*", "reply": "In late winter."}])
    rows(folder / "broken.jsonl", [{"inptu": "x"}])
    return write_registry(folder)


@pytest.fixture(scope="module")
def server(start: Callable[..., Server], registry: Path) -> Server:
    return start(registry, SHOAL_ADMIN_KEY=KEY)


def call(server: Server, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    data = None if body is None else json.dumps(body).encode()
    status, answer, _ = server.send(method, path, data, {**ADMIN, "content-type": "application/json"})
    return status, json.loads(answer)


def current(server: Server) -> dict[str, Any]:
    status, found = call(server, "GET", "/admin/registry")
    assert status == 200
    return found


def test_the_registry_is_read_changed_and_live_before_the_answer(server: Server, registry: Path) -> None:
    found = current(server)
    assert found["text"] == registry.read_text()
    changed = found["text"].replace("threshold: 0.7", "threshold: 0.71") + "# a comment stays\n"
    status, answer = call(server, "PUT", "/admin/registry", {"text": changed, "version": found["version"]})
    assert status == 200, answer
    assert answer["experts"] == ["poet", "cook", "big"]
    now = current(server)
    assert (now["text"], now["version"]) == (changed, answer["version"])
    assert registry.read_text() == changed
    body = {"model": "auto", "messages": [{"role": "user", "content": "x"}]}
    assert server.post("/v1/route", body)[1]["decision"]["threshold"] == 0.71
    assert f"registry {answer['version']} is live" in server.log()
    assert "registry put by key " in server.log()


def test_a_change_made_for_another_version_is_refused(server: Server) -> None:
    found = current(server)
    status, answer = call(server, "PUT", "/admin/registry", {"text": found["text"] + "# x\n", "version": "0" * 12})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (409, "registry_moved", "version")
    assert current(server) == found


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("params_b: 0.2", "params_b: -1", "registry.yaml:23: experts[1].params_b: must be 0 or more, got -1. Remedy: "),
        ("fallback: big", "fallback: nobody", "registry.yaml:4: fallback: no expert has the id 'nobody'. Remedy: "),
        ("examples: recipes.jsonl", "examples: broken.jsonl", "broken.jsonl:1: input is missing. Remedy: "),
        ("sha256: ", "max_tokens: 128, sha256: ", "encoder: cannot change while serving. Remedy: "),
        ("version: 1", "version: [", "registry.yaml:"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(
    server: Server, registry: Path, old: str, new: str, says: str
) -> None:
    before = current(server)
    assert old in before["text"]
    status, answer = call(server, "PUT", "/admin/registry", {"text": before["text"].replace(old, new)})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "invalid_registry", "registry")
    assert says in answer["error"]["message"]
    assert "/.registry-" not in answer["error"]["message"]
    assert current(server) == before
    assert [path.name for path in registry.parent.glob(".registry-*")] == []
    assert ask(server, "recipe for banana bread") == "cook"


@pytest.mark.parametrize(
    ("old", "held", "says"),
    [
        (b"version: 1", b"version: [", "registry.yaml:2: column 10: a [ opens here and never closes. Remedy: "),
        (b"Writes poems", b"Writes po\xe8ms", "registry.yaml:11: byte 0xe8 is not UTF-8. Remedy: save it as UTF-8."),
    ],
)
def test_a_file_that_nobody_can_read_is_told_with_its_line_left_alone_and_may_be_replaced(
    server: Server, registry: Path, old: bytes, held: bytes, says: str
) -> None:
    before, content = current(server), registry.read_bytes()
    assert old in content
    broken = content.replace(old, held)
    registry.write_bytes(broken)
    for method, path, body in (
        ("DELETE", "/admin/experts/poet", None),
        ("POST", "/admin/experts", {"expert": GARDENER}),
        ("POST", "/admin/experts/preview", {"expert": GARDENER}),
    ):
        status, answer = call(server, method, path, body)
        assert (status, answer["error"]["code"], says in answer["error"]["message"]) == (400, "invalid_registry", True)
    field = ("--kind", "scripted", "--description", "Knows plants", "--context", "4096", "--params-b", "0.1")
    done = server.shoal("registry", "add", "gardener", *field, "--set", "script=gardener.jsonl")
    assert (done.returncode, done.stderr.startswith(f"shoal: {says}")) == (1, True)
    assert registry.read_bytes() == broken
    assert call(server, "PUT", "/admin/registry", {"text": before["text"]})[0] == 200
    assert current(server) == before


def test_a_file_that_is_gone_is_told(server: Server, registry: Path) -> None:
    before, aside = current(server), registry.with_name("aside.yaml")
    registry.rename(aside)
    status, answer = call(server, "GET", "/admin/registry")
    aside.rename(registry)
    assert (status, answer["error"]["code"]) == (503, "registry_blocked")
    assert answer["error"]["message"].startswith("registry.yaml: cannot be read: ")
    assert current(server) == before


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("PUT", "/admin/registry", {}, "text"),
        ("PUT", "/admin/registry", {"text": 3}, "text"),
        ("PUT", "/admin/registry", {"text": "version: 1", "x": 1}, "x"),
        ("POST", "/admin/experts", {"expert": []}, "expert"),
        ("POST", "/admin/experts/preview", {}, "expert"),
    ],
)
def test_a_wrong_body_names_its_parameter(server: Server, method: str, path: str, body: object, param: str) -> None:
    status, answer = call(server, method, path, body)
    assert (status, answer["error"]["param"]) == (400, param)


def test_an_expert_is_previewed_added_and_removed(server: Server, registry: Path) -> None:
    before = current(server)
    status, seen = call(server, "POST", "/admin/experts/preview", {"expert": GARDENER})
    assert status == 200, seen
    assert seen["examples"] == seen["different"] == len(PLANTS)
    assert 0 < seen["recognised"] <= len(PLANTS)
    assert set(seen["taken_from"]) <= {"poet", "cook"}
    alone = seen["without_itself"]
    assert alone["answered"] + sum(alone["elsewhere"].values()) == alone["examples"] == len(PLANTS)
    assert set(alone["alone"]) <= set(PLANTS)
    assert seen["warnings"] == []
    assert current(server) == before
    assert ask(server, "when should I prune my roses") == "big"

    status, added = call(server, "POST", "/admin/experts", {"expert": GARDENER})
    assert status == 201, added
    assert (added["experts"], added["warnings"]) == (["poet", "cook", "big", "gardener"], [])
    assert added["without_itself"] == alone, "who adds without a preview is told as well"
    assert ask(server, "when should I prune my roses") == "gardener"

    status, answer = call(server, "POST", "/admin/experts", {"expert": GARDENER})
    assert status == 400
    assert "'gardener' is already the id of experts[3]. Remedy: " in answer["error"]["message"]

    status, removed = call(server, "DELETE", "/admin/experts/gardener")
    assert (status, removed["experts"]) == (200, ["poet", "cook", "big"])
    assert registry.read_text() == before["text"]
    status, answer = call(server, "DELETE", "/admin/experts/gardener")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    told = "The registry's file has no expert `gardener`. Remedy: an id that GET /admin/registry shows."
    assert answer["error"]["message"] == told
    status, answer = call(server, "DELETE", "/admin/experts/big")
    assert status == 400
    assert "fallback: no expert has the id 'big'" in answer["error"]["message"]
    log = server.log()
    assert "expert 'gardener' added by key " in log
    assert "expert 'gardener' removed by key " in log
    assert KEY not in log


INLINE: dict[str, Any] = {key: value for key, value in GARDENER.items() if key != "examples"}


def files(registry: Path) -> set[str]:
    """Everything beside the registry but what the server keeps."""
    return {str(path.relative_to(registry.parent)) for path in registry.parent.rglob("*")}


def test_examples_come_with_the_expert_and_what_would_move_is_told(server: Server, registry: Path) -> None:
    before, there = current(server), files(registry)
    assert ask(server, "when should I prune my roses") == "big"
    body = {"expert": INLINE, "examples": PLANTS}
    status, seen = call(server, "POST", "/admin/experts/preview", body)
    assert status == 200, seen
    assert seen["examples"] == len(PLANTS)
    moved = {(row["from"], row["to"]): row["requests"] for row in seen["recent"]["moved"]}
    assert 0 < moved["big", "gardener"] <= seen["recent"]["requests"]
    server.stop()
    server.start()
    assert call(server, "POST", "/admin/experts/preview", body)[1]["recent"] == seen["recent"], "a restart forgets none"
    assert (current(server), files(registry)) == (before, there), "a preview leaves nothing behind"

    status, added = call(server, "POST", "/admin/experts", body)
    assert status == 201, added
    assert ask(server, "when should I prune my roses") == "gardener"
    (made,) = files(registry) - there - {"added"}
    assert made.startswith("added/gardener-")
    assert [json.loads(line)["input"] for line in (registry.parent / made).read_text().splitlines()] == PLANTS
    assert f"examples: {made}" in current(server)["text"]

    assert call(server, "POST", "/admin/experts", body)[0] == 400
    assert (registry.parent / made).exists(), "what serves is not taken away by an addition that failed"
    assert call(server, "DELETE", "/admin/experts/gardener")[0] == 200
    assert registry.read_text() == before["text"]


@pytest.mark.parametrize("method", ["/admin/experts", "/admin/experts/preview"])
@pytest.mark.parametrize(
    ("change", "examples", "says"),
    [
        ({"id": "../../x"}, PLANTS, "expert.id: "),
        ({"id": 3}, PLANTS, "expert.id: "),
        ({"params_b": -1}, PLANTS, "expert.params_b: must be 0 or more"),
        ({"examples": "plants.jsonl"}, PLANTS, "the expert names a file of them"),
        ({}, [], "examples"),
        ({}, ["  "], "examples"),
        ({}, ["fine", 3], "examples"),
    ],
)
def test_a_bad_addition_leaves_nothing_behind(
    server: Server, registry: Path, method: str, change: dict[str, Any], examples: list[Any], says: str
) -> None:
    before, there = current(server), files(registry)
    status, answer = call(server, "POST", method, {"expert": {**INLINE, **change}, "examples": examples})
    assert status == 400
    assert says in answer["error"]["message"] + str(answer["error"]["param"])
    assert ".passing-" not in answer["error"]["message"]
    assert (current(server), files(registry)) == (before, there)


@pytest.mark.parametrize("path", ["/admin/experts", "/admin/experts/preview"])
def test_what_is_wrong_with_an_addition_is_told_by_the_place_in_the_body(
    server: Server, registry: Path, path: str
) -> None:
    expert = {"id": "sql", "kind": "openai", "description": "Writes SQL", "url": "nonsense", "context": 4096}
    status, answer = call(server, "POST", path, {"expert": {**expert, "params_b": 3, "capabilities": ["fly"]}})
    said = [line.partition(": ")[0] for line in answer["error"]["message"].splitlines()]
    assert (status, said) == (400, ["expert.model", "expert.url", "expert.capabilities[0]"])
    assert answer["error"]["param"] == "expert.model", "no line: those are of a text that nobody has seen"
    error = call(server, "POST", path, {"expert": {**GARDENER}, "examples": PLANTS})[1]["error"]
    assert (error["param"], error["message"][:9]) == ("examples", "examples:")
    text = registry.read_text()
    registry.write_text(text + "grid_zones: WOR\n")
    error = call(server, "POST", path, {"expert": GARDENER})[1]["error"]
    registry.write_text(text)
    line = len(text.splitlines()) + 1
    assert (error["param"], error["message"].partition(" is ")[0]) == ("registry", f"registry.yaml:{line}: grid_zones:")


def test_the_command_line_adds_an_expert_that_a_running_server_takes_up(
    server: Server, registry: Path, tmp_path: Path
) -> None:
    before = current(server)
    (tmp_path / "plants.txt").write_text("\n".join(["", *PLANTS]) + "\n")
    field = ("registry", "add", "gardener", "--kind", "scripted", "--description", "Knows plants", "--context", "4096")
    said = ("--set", "script=gardener.jsonl", "--examples", str(tmp_path / "plants.txt"))
    wrong = server.shoal(*field, *said, "--params-b", "1", "--set", "params_b=-1")
    assert (wrong.returncode, wrong.stderr.startswith("shoal: --set: params_b: must be 0 or more, got -1")) == (1, True)
    assert server.shoal(*field, "--params-b", "1", "--set", "script").returncode == 2
    openai = ("registry", "add", "Gar dener", "--kind", "openai", "--description", "Knows", "--context", "4096")
    wrong = server.shoal(*openai, "--params-b", "1", "--url", "nonsense", "--set", "price={as_of: 2026-01-01}")
    told = [line.removeprefix("shoal: ").partition(". ") for line in wrong.stderr.splitlines()]
    assert [what for what, *_ in told] == [
        "expert: must be a-z, 0-9, dot, dash and underscore, 64 at most, a letter or digit first, got 'Gar dener'",
        "--model: is missing",
        "--url: is not a URL: relative URL without a base",
        *(f"--set: price.{name}: is missing" for name in ("input_usd_per_mtok", "output_usd_per_mtok", "source")),
    ], "by what was typed: the lines are those of a draft that is gone"
    assert [remedy for *_, remedy in told][1:4:2] == [
        "Remedy: add `--model` (the name the server knows it by).",
        "Remedy: add `input_usd_per_mtok:`.",
    ]
    assert current(server) == before

    previewed = call(server, "POST", "/admin/experts/preview", {"expert": INLINE, "examples": PLANTS})[1]
    done = server.shoal(*field, *said, "--params-b", "0.1", "--capability", "stream", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["experts"] == ["poet", "cook", "big", "gardener"]
    assert told["warnings"] == []
    assert told["without_itself"] == previewed["without_itself"]
    eventually(lambda: current(server)["version"] == told["version"])
    assert ask(server, "when should I prune my roses") == "gardener"
    again = server.shoal(*field, *said, "--params-b", "0.1")
    assert (again.returncode, "'gardener' is already the id of" in again.stderr) == (1, True)
    assert call(server, "DELETE", "/admin/experts/gardener")[0] == 200
    assert registry.read_text() == before["text"]

    (tmp_path / "few.txt").write_text("\n".join([*PLANTS[:2], *(f"when to prune roses, {at}" for at in range(20))]))
    few = server.shoal(*field, *said[:2], "--examples", str(tmp_path / "few.txt"), "--params-b", "0.1")
    assert few.returncode == 0
    assert "gardener: 22 examples, 2 of which differ, are too few to tell its requests from others" in few.stderr
    eventually(lambda: current(server)["version"] != before["version"])
    assert call(server, "DELETE", "/admin/experts/gardener")[0] == 200

    body = {"expert": INLINE, "examples": (tmp_path / "few.txt").read_text().splitlines()}
    said = [call(server, "POST", path, body)[1]["warnings"] for path in ("/admin/experts/preview", "/admin/experts")]
    assert [f"gardener: {warning}" for each in said for warning in each] == [few.stderr.strip()] * 2, "the same words"
    assert call(server, "DELETE", "/admin/experts/gardener")[0] == 200
    status, added = call(server, "POST", "/admin/experts", {"expert": INLINE})
    assert (status, len(added["warnings"]), added["warnings"][0][:11]) == (201, 1, "no examples")
    assert call(server, "DELETE", "/admin/experts/gardener")[0] == 200


class Listing(BaseHTTPRequestHandler):
    """A server that has one model."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"object": "list", "data": [{"id": "poet"}]}')

    def log_message(self, *_: object) -> None:
        return


def test_whether_the_server_of_a_newcomer_answers_is_told_and_hinders_nothing(
    server: Server, request: pytest.FixtureRequest
) -> None:
    own = {"id": "sql", "kind": "openai", "description": "Writes SQL", "model": "poet", "params_b": 3, "context": 4096}
    listing = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    there = f"http://127.0.0.1:{listing.server_port}/v1"
    Thread(target=listing.serve_forever, daemon=True).start()
    request.addfinalizer(listing.server_close)
    request.addfinalizer(listing.shutdown)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    states = {}
    for url, model in ((there, "poet"), (there, "sqlcoder"), (gone, "poet")):
        body = {"expert": {**own, "url": url, "model": model}}
        status, seen = call(server, "POST", "/admin/experts/preview", body)
        assert status == 200
        status, added = call(server, "POST", "/admin/experts", body)
        assert (status, added["server"]) == (201, seen["server"])
        about = [warning for warning in added["warnings"] if url in warning]
        assert about == [warning for warning in seen["warnings"] if url in warning]
        assert call(server, "DELETE", "/admin/experts/sql")[0] == 200
        field = ("registry", "add", "sql", "--kind", "openai", "--url", url, "--model", model, "--description", "d")
        done = server.shoal(*field, "--params-b", "3", "--context", "4096")
        assert done.returncode == 0, done.stderr
        said = [line for line in (done.stderr if about else done.stdout).splitlines() if url in line]
        assert said == [f"sql: {told}" for told in about or [added["server"]["told"]]]
        eventually(lambda: "id: sql" in current(server)["text"] and call(server, "GET", "/v1/models/sql")[0] == 200)
        assert call(server, "DELETE", "/admin/experts/sql")[0] == 200
        states[url, model] = (added["server"]["state"], len(about))
    assert list(states.values()) == [("fine", 0), ("no_such_model", 1), ("unreachable", 1)]
    assert call(server, "POST", "/admin/experts/preview", {"expert": INLINE})[1]["server"] is None


def test_an_expert_of_a_domain_that_others_have_examples_of_is_warned_of_nothing(
    server: Server, registry: Path
) -> None:
    before = current(server)
    body = {"expert": {**INLINE, "domain": "poet"}}
    status, seen = call(server, "POST", "/admin/experts/preview", body)
    assert (status, seen["warnings"]) == (200, []), seen
    status, seen = call(server, "POST", "/admin/experts/preview", {**body, "examples": PLANTS[:2]})
    assert (status, seen["warnings"]) == (200, []), seen
    assert current(server) == before


def test_a_long_example_is_told_by_its_beginning(server: Server) -> None:
    body = {"expert": INLINE, "examples": [*PLANTS, "write a poem about the sea " * 40]}
    status, seen = call(server, "POST", "/admin/experts/preview", body)
    assert status == 200, seen
    (cut,) = (text for text in seen["without_itself"]["alone"] if len(text) > 100)
    assert len(cut) == TOLD and cut.startswith("write a poem") and cut.endswith("…")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\ufeffwhen to prune roses\nrepot an orchid\n".encode(), None),
        (
            "les étés\n".encode("latin-1"),
            "plants.txt: cannot be read (byte 5 is no UTF-8). Remedy: save the file as UTF-8.",
        ),
        (
            "repot an orchid\n".encode("utf-16-le"),
            "plants.txt: cannot be read (byte 2 is a NUL, which no text has). Remedy: save the file as UTF-8.",
        ),
    ],
)
def test_a_file_of_examples_is_read_as_editors_write_it_or_the_remedy_fits(
    tmp_path: Path, content: bytes, said: str | None
) -> None:
    file = tmp_path / "plants.txt"
    file.write_bytes(content)
    if said is None:
        assert adding._requests(file) == ["when to prune roses", "repot an orchid"]
        return
    with pytest.raises(RegistryError) as caught:
        adding._requests(file)
    assert said in str(caught.value)


def test_a_request_goes_on_to_the_end_of_its_line(tmp_path: Path) -> None:
    file = tmp_path / "plants.txt"
    file.write_bytes("when to prune\u2028roses\r\nrepot an\x85orchid\rsow\x0ccarrots\n".encode())
    assert adding._requests(file) == ["when to prune\u2028roses", "repot an\x85orchid", "sow\x0ccarrots"]


@pytest.mark.parametrize("name", ["plants.csv", "PLANTS.TSV"])
def test_a_table_is_no_file_of_requests(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('input,label\n"when to prune roses",pruning\n')
    with pytest.raises(RegistryError, match=f"{name}: is a table.* Remedy: save the requests alone, one a line"):
        adding._requests(tmp_path / name)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/registry"), ("PUT", "/admin/registry"), ("POST", "/admin/experts"),
        ("POST", "/admin/experts/preview"), ("DELETE", "/admin/experts/poet"),
    ],
)  # fmt: skip
def test_nothing_opens_without_the_admin_key(server: Server, method: str, path: str) -> None:
    data = b'{"text": "x"}' if method != "GET" else None
    assert server.send(method, path, data, {"content-type": "application/json"})[0] == 401
