from __future__ import annotations

import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from experts.process.folder import PrivateFolder, sweep

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_is_private_and_goes_away() -> None:
    folder = PrivateFolder()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.remove()
    folder.remove()
    assert not folder.path.exists()


def test_what_a_killed_owner_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import os, signal; from experts.process.folder import PrivateFolder; folder = PrivateFolder();"
        " os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env={"TMPDIR": str(tmp_path)}, check=False)
    left = set(tmp_path.iterdir())
    assert len(left) == 1
    alive, foreign = PrivateFolder(), tmp_path / "shoal-notes"
    foreign.mkdir()
    sweep()
    assert left < set(tmp_path.iterdir())  # too young to judge
    sweep(grace_s=0)
    assert set(tmp_path.iterdir()) == {alive.path, foreign}
    alive.remove()
