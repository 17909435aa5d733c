from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experts.disk import blocked
from experts.whole import whole_folder, write_whole
from tests.service.server import ROOT

LIMITED = """
import sys
from pathlib import Path
from experts.whole import whole_folder, write_whole
try:
    write_whole(Path(sys.argv[1]), b"x" * 100_000)
except OSError as error:
    print(error.filename, error.errno)
"""


def limited() -> None:
    """As a disk with 64 kB left for every file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "file"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_a_try_that_fails_nothing_is_left_and_what_was_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"first")
    command = [sys.executable, "-c", LIMITED, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limited)
    assert (done.stdout, done.returncode) == (f"{path} 27\n", 0), done.stderr
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"first"


def test_files_of_a_folder_appear_together(tmp_path: Path) -> None:
    out = tmp_path / "made" / "out"
    with whole_folder(out, "model", "card") as draft:
        for name in ("card", "model"):
            (draft / name).write_bytes(name.encode())
        assert [each for each in out.iterdir() if each != draft] == []
    assert sorted(each.name for each in out.iterdir()) == ["card", "model"]
    assert (out / "card").stat().st_mode & 0o777 == 0o666 & ~umask(), "for whoever serves it, not its owner alone"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device"), ValueError("a fault")])
@pytest.mark.parametrize("there", [False, True])
def test_of_a_folder_that_is_cut_off_nothing_is_left(tmp_path: Path, error: BaseException, there: bool) -> None:
    out = tmp_path / "out"
    if there:
        out.mkdir()
    with pytest.raises(type(error)) as caught, whole_folder(out, "model", "card") as draft:
        (draft / "model").write_bytes(b"all of it")
        raise error
    assert list(tmp_path.iterdir()) == [out] * there and not (there and list(out.iterdir()))
    if isinstance(caught.value, OSError):
        assert caught.value.filename == str(out)


def umask() -> int:
    before = os.umask(0)
    os.umask(before)
    return before


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "{data}: No space left on device (.* MB free). Remedy: make room, or"),
        (
            OSError(13, "Permission denied", "/x"),
            "/x: Permission denied. Remedy: let this user read and write there, or",
        ),
        (OSError(5, "Input/output error", "/x"), "/x: Input/output error. Remedy: see that it is there and in order"),
    ],
)
def test_a_disk_that_does_not_let_us_is_told_with_a_remedy(tmp_path: Path, error: OSError, said: str) -> None:
    before, _, after = said.format(data=tmp_path).partition(".* ")
    told = blocked(error, tmp_path)
    assert told.startswith(before)
    assert after in told
