"""A disk that takes nothing stops no edit that needs none of it; else it is told with its remedy, nothing changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.router.meter.test_ledger_faults import fill, small_disk
from tests.service.server import Server, eventually, rows, write_registry
from tests.service.test_admin import INLINE, KEY, PLANTS, call, files
from tests.service.test_metrics import samples
from tests.service.test_reload import ask, version


def refused(server: Server) -> list[str] | None:
    found: list[str] | None = json.loads(server.get("/readyz")[1])["registry"]["refused_edit"]
    return found


def test_an_edit_goes_live_where_no_cache_can_be_written(start: Callable[..., Server], tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    server = start(path)
    heads, before = server.folder / "data/heads", version(server)
    heads.rename(server.folder / "heads")
    heads.touch()
    rows(tmp_path / "poems.jsonl", [{"input": text} for text in PLANTS])
    eventually(lambda: version(server) != before)
    assert ask(server, "when should I prune my roses") == "poet"
    assert (refused(server), samples(server)["shoal_edit_refused",]) == (None, 0)
    told = "cannot be kept, so the judge is fitted again at the next start. "
    assert told + f"{heads}/judge-" in server.log()


@pytest.mark.parametrize(
    ("method", "path", "body", "folder"),
    [
        ("POST", "/admin/experts/preview", {"expert": INLINE, "examples": PLANTS}, "added"),
        ("POST", "/admin/experts", {"expert": INLINE, "examples": PLANTS}, "added"),
        ("DELETE", "/admin/experts/cook", None, "."),
    ],
)
def test_a_full_disk_is_named_with_its_remedy_and_nothing_changes(
    start: Callable[..., Server], tmp_path: Path, method: str, path: str, body: object, folder: str
) -> None:
    with small_disk(tmp_path / "disk"):
        registry = write_registry(tmp_path / "disk")
        rows(registry.with_name("gardener.jsonl"), [{"match": ".*", "reply": "In late winter."}])
        server = start(registry, SHOAL_ADMIN_KEY=KEY)
        before, there = registry.read_text(), files(registry)
        ballast = fill(tmp_path / "disk")
        status, answer = call(server, method, path, body)
        assert (status, answer["error"]["code"]) == (503, "registry_blocked")
        where = registry.parent / folder
        assert f"{where}: No space left on device (0.0 MB free). Remedy: make room." in answer["error"]["message"]
        assert registry.read_text() == before
        assert files(registry) - {"fill"} == there
        ballast.unlink()
        assert call(server, method, path, body)[0] in {200, 201}, "as soon as there is room"
        server.stop()
