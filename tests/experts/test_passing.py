"""Files of a process that is killed are gone after the next start; those of one that is at work stay."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from experts.passing import clear, passing_file
from tests.service.server import ROOT

HELD = """
import sys
from pathlib import Path
from experts.passing import passing_file
with passing_file(Path(sys.argv[1]), ".draft-", b"words") as path:
    print(path, flush=True)
    sys.stdin.read()
"""


def test_it_is_there_for_its_owner_and_gone_afterwards(tmp_path: Path) -> None:
    with passing_file(tmp_path, ".draft-", b"words", ".yaml") as path:
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"words", 0o600)
    assert not list(tmp_path.iterdir())


def test_one_that_was_moved_stays(tmp_path: Path) -> None:
    with passing_file(tmp_path, ".draft-", b"words") as path:
        path.replace(tmp_path / "kept")
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_what_a_killed_process_left_is_cleared_and_not_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "other").touch()
    command = [sys.executable, "-c", HELD, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        clear(tmp_path, ".draft-????????")
        assert path.read_bytes() == b"words", "its process is at work with it"
        process.kill()
    assert path.exists()
    with caplog.at_level(logging.INFO, "experts.passing"):
        clear(tmp_path, ".draft-????????")
    assert [each.name for each in tmp_path.iterdir()] == ["other"]
    assert f"{path}: was left by a process that was killed, and is deleted" in caplog.text


def test_nothing_is_cleared_where_nothing_is(tmp_path: Path) -> None:
    clear(tmp_path / "none", ".draft-????????")
