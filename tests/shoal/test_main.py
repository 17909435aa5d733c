"""How a command ends when what it was told to use cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.app import VERSION
from shoal.__main__ import main
from tests.router.meter.test_ledger_faults import no_file_over
from tests.service.server import POEMS, rows, write_registry


def shoal(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run a command in this process; its exit code."""
    monkeypatch.setattr("sys.argv", ["shoal", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_a_file_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    registry, taken = str(write_registry(tmp_path)), tmp_path / "poet.jsonl"
    monkeypatch.setenv("SHOAL_DATA_DIR", str(taken))
    assert shoal(monkeypatch, "learn", "rollback", "0", "--registry", registry) == 2
    remedy = "name a file or folder that is there and that you may use"
    assert capsys.readouterr() == ("", f"shoal: {taken / 'learned'}: Not a directory. Remedy: {remedy}\n")


def test_a_disk_that_takes_no_more_is_told_with_what_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    registry = str(write_registry(tmp_path))
    with no_file_over(8):
        code = shoal(monkeypatch, "learn", "rollback", "0", "--registry", registry)
    said = f"shoal: {tmp_path / 'data' / 'learned' / 'current.json'}: File too large ("
    told = capsys.readouterr()
    assert (code, told.out, told.err.startswith(said)) == (1, "", True)
    assert told.err.endswith(" MB free). Remedy: make room\n")


def test_the_schema_says_where_it_went(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "schema.json"
    assert shoal(monkeypatch, "registry", "schema", "--write", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"written": str(path)}
    assert shoal(monkeypatch, "registry", "schema", "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(path.read_text())


def test_the_version_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shoal(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"shoal {VERSION}\n"


@pytest.mark.parametrize("words", [("list",), ("export",), ("rollback", "1")])
def test_what_was_learnt_beside_no_registry_is_not_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert shoal(monkeypatch, "learn", *words, "--registry", str(tmp_path / "none.yaml")) == 2
    assert f"there is no file {tmp_path / 'none.yaml'}" in capsys.readouterr().err


def test_a_file_of_outcomes_is_learnt_from_before_shoal_first_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    registry, told = str(write_registry(tmp_path)), tmp_path / "outcomes.jsonl"
    rows(told, [{"input": text, "outcomes": {"poet": {"score": 1}, "cook": {"score": 0}}} for text in POEMS])
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    assert shoal(monkeypatch, "learn", "try", "--registry", registry, "--outcomes", str(told), "--json") == 0
    tried = json.loads(capsys.readouterr().out)
    assert (tried["scores"], tried["asked"], tried["moved"]) == (2 * len(POEMS), 0, [])
    assert shoal(monkeypatch, "learn", "apply", "--registry", registry, "--outcomes", str(told), "--force") == 0
    assert "edition 1 serves" in capsys.readouterr().out
    assert shoal(monkeypatch, "learn", "apply", "--registry", registry, "--outcomes", str(told), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"edition": 1, "new": False}
    assert shoal(monkeypatch, "learn", "list", "--registry", registry, "--json") == 0
    assert [each["edition"] for each in json.loads(capsys.readouterr().out)["editions"]] == [1], "nothing was written"
    assert shoal(monkeypatch, "learn", "try", "--registry", registry) == 2
    assert "there is no ledger" in capsys.readouterr().err


def test_wrong_usage_ends_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert shoal(monkeypatch, "registry", "shema") == 2
    assert "shema" in capsys.readouterr().err


NUMPY_THREADS = """
import os, sys
from shoal.__main__ import app
app([sys.argv[1], "--help"], standalone_mode=False)
print("numpy" in sys.modules, os.environ.get("OPENBLAS_NUM_THREADS"))
"""
"""numpy's library looks once, when it is loaded, how many threads it shall have."""


@pytest.mark.parametrize("command", ["serve", "route", "registry", "experts", "learn", "eval"])
def test_numpy_has_one_thread_unless_told_otherwise(command: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    words = [sys.executable, "-c", NUMPY_THREADS, command]
    for told, then in (({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")):
        ended = subprocess.run(words, env=others | told, capture_output=True, text=True, check=True)
        assert ended.stdout.splitlines()[-1] == f"False {then}"
