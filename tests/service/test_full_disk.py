"""A disk that takes nothing stops no edit that needs none of it; else it is told with its remedy, nothing changes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Never

import pytest

from router.learn.study import Study
from shoal.__main__ import main
from tests.router.meter.test_ledger_faults import fill, small_disk
from tests.service.server import RECIPES, Server, eventually, rows, write_registry
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


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("full", "No space left on device (0.0 MB free). Remedy: make room"),
        ("read-only", "Read-only file system. Remedy: let this user read and write there"),
    ],
)
def test_what_cannot_be_kept_is_not_learnt_first(
    tmp_path: Path, how: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Learning takes long; that there is no room for it is known before."""
    registry, disk, told = write_registry(tmp_path), tmp_path / "disk", tmp_path / "told.jsonl"
    rows(told, [{"input": text, "outcomes": {"cook": {"score": 1}}} for text in RECIPES])
    command = ["learn", "apply", "--registry", str(registry), "--outcomes", str(told)]

    def learn() -> Never:
        raise AssertionError("it learns before it knows that there is room")

    with small_disk(disk):
        monkeypatch.setenv("SHOAL_DATA_DIR", str(disk))
        monkeypatch.setattr(Study, "trial", lambda *_, **__: learn())
        monkeypatch.setattr("sys.argv", ["shoal", *command])
        if how == "full":
            fill(disk)
        else:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: S607
        there = {path for path in disk.rglob("*") if path.is_file()}
        with pytest.raises(SystemExit) as ended:
            main()
        assert {path for path in disk.rglob("*") if path.is_file()} == there, "nothing is left of the try"
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"shoal: {disk}/learned: {why}"
