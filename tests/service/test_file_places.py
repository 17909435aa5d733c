"""An admin key changes the registry over HTTP, and has no file of this machine read that the registry did not name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.service.server import Server, write_registry
from tests.service.test_admin import KEY, call, current

PRIVATE = "the salary of Ada is 12345"
TOLD = "may not name a file outside the registry's folder by a change over HTTP"


class House(NamedTuple):
    server: Server
    registry: Path
    elsewhere: Path
    """A folder with a private file, and one that the registry names."""


@pytest.fixture(scope="module")
def house(start: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> House:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("private", "recipes"):
        (elsewhere / f"{name}.jsonl").write_text(json.dumps({"input": f"{PRIVATE} ({name})"}) + "\n")
    registry = write_registry(tmp_path_factory.mktemp("places"))
    registry.write_text(registry.read_text().replace("recipes.jsonl", f"{elsewhere}/recipes.jsonl"))
    (elsewhere / "kept").mkdir()
    (registry.parent / "added").symlink_to(elsewhere / "kept")
    (registry.parent / "link.jsonl").symlink_to(elsewhere / "private.jsonl")
    (registry.parent / "more.jsonl").write_text(json.dumps({"input": "how tall is the tower"}) + "\n")
    return House(start(registry, SHOAL_ADMIN_KEY=KEY), registry, elsewhere)


def spy(**more: Any) -> dict[str, Any]:
    return {
        "id": "spy",
        "kind": "scripted",
        "description": "d",
        "script": "big.jsonl",
        "params_b": 1,
        "context": 99,
    } | more


def local(source: str) -> dict[str, Any]:
    weights = {"source": source, "sha256": "0" * 64, "licence": "MIT"}
    sizes = {"params_b": 1, "context": 99, "memory_mb": 9}
    return {"id": "spy", "kind": "llama_cpp", "description": "d", "weights": weights, **sizes}


def test_no_file_elsewhere_is_read_and_nobody_learns_whether_it_is_there(house: House) -> None:
    server, registry, elsewhere = house
    before = current(server)
    up = f"../{elsewhere.name}/private.jsonl"
    assert (registry.parent / up).is_file()
    for name in (f"{elsewhere}/private.jsonl", f"{elsewhere}/none.jsonl", up, "link.jsonl", "/etc/passwd", "/nowhere"):
        for key, expert in (
            ("examples", spy(examples=name)),
            ("script", spy(script=name)),
            ("card", spy(card=name)),
            ("weights.source", local(f"file:{name}")),
        ):
            for path in ("/admin/experts/preview", "/admin/experts"):
                status, answer = call(server, "POST", path, {"expert": expert})
                assert (status, answer["error"]["code"]) == (400, "invalid_registry"), (path, answer)
                assert answer["error"]["message"].startswith(f"expert.{key}: {TOLD}"), answer
                assert "Remedy: put it beside registry.yaml" in answer["error"]["message"]
                assert "there is no file" not in answer["error"]["message"]
        text = before["text"] + f"outside: {name}\n"
        status, answer = call(server, "PUT", "/admin/registry", {"text": text})
        assert (status, answer["error"]["code"]) == (400, "invalid_registry")
        line = text.count("\n")
        assert answer["error"]["message"].startswith(f"registry.yaml:{line}: outside: {TOLD}"), answer
    assert current(server) == before


def test_files_beside_the_registry_and_those_it_names_already_are_fine(house: House) -> None:
    server, _, elsewhere = house
    for expert in (spy(examples="more.jsonl"), spy(examples=f"{elsewhere}/recipes.jsonl", domain="cook")):
        assert call(server, "POST", "/admin/experts/preview", {"expert": expert})[0] == 200
    text = current(server)["text"].replace("threshold: 0.7", "threshold: 0.72")
    assert call(server, "PUT", "/admin/registry", {"text": text})[0] == 200, "the encoder lies elsewhere too"
    given = {"expert": spy(), "examples": ["how tall is the tower", "how old is the tower"]}
    assert call(server, "POST", "/admin/experts", given)[0] == 201, "where they go is a link"
    assert call(server, "DELETE", "/admin/experts/spy")[0] == 200
