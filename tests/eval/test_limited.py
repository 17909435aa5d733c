"""Programs that mean harm, each run for real."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from eval import limited
from eval.limited import MOST_OUTPUT, NoCage, Ran, run_limited

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the cage is built from Linux's rooms")


def marked(mark: str) -> list[int]:
    """The living processes that hold `mark` in their environment or arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                seen = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, PermissionError, ProcessLookupError):
                continue
            if mark.encode() in seen:
                found.append(int(folder.name))
    return found


def test_a_good_program_passes_and_a_bad_one_says_why() -> None:
    assert run_limited("assert 1 + 1 == 2") == Ran(True, "")
    assert run_limited("assert 1 + 1 == 3, 'no'") == Ran(False, "AssertionError: no")
    assert "SyntaxError" in run_limited("def f(:").said
    assert run_limited("import math, re, json, collections, itertools\nassert math.sqrt(4) == 2").passed


def test_an_endless_loop_is_ended_by_its_cpu_time() -> None:
    found = run_limited("while True:\n    pass", wall_s=60)
    assert not found.passed
    assert "ended before its last line" in found.said


def test_a_sleeper_is_ended_by_the_clock() -> None:
    found = run_limited("import time\ntime.sleep(600)", wall_s=1)
    assert found == Ran(False, "took longer than 1 s")


def test_memory_is_bounded() -> None:
    assert run_limited("bytearray(2 ** 31)").said == "MemoryError"


def test_a_fork_bomb_stays_small_and_leaves_nobody_behind() -> None:
    bomb = """
import os, time
count = 0
try:
    while True:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        count += 1
except OSError:
    print("forks:", count, flush=True)
time.sleep(600)
"""
    before = set(marked("cage.py"))
    found = run_limited(bomb, wall_s=2)
    assert found == Ran(False, "took longer than 2 s")
    if os.geteuid() == 0:  # elsewhere the user's other processes count too, and the numbers may not be its own
        assert set(marked("cage.py")) <= before


def test_the_number_of_processes_is_bounded() -> None:
    assert "BlockingIOError" in run_limited("import os\nwhile True:\n    os.fork() or os._exit(0)").said or (
        os.geteuid() != 0
    )


def test_nothing_can_be_written_or_removed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("here")
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o777)
    precious.chmod(0o666)
    new = Path(tempfile.gettempdir()) / f"written-by-a-program-{os.getpid()}"
    for attempt in (
        f"open({str(precious)!r}, 'w').write('gone')",
        f"import os\nos.unlink({str(precious)!r})",
        f"open({str(new)!r}, 'w').write('x' * 10)",
        "open('here', 'w').write('x' * 10)",
    ):
        assert not run_limited(attempt).passed, attempt
    assert precious.read_text() == "here"
    assert not new.exists()


def test_there_is_no_network() -> None:
    """Where the system lets anyone leave the network, only a dead loopback is left."""
    found = run_limited("print([line.split(':')[0].strip() for line in list(open('/proc/net/dev'))[2:]])\nassert 0")
    devices = run_limited("for line in list(open('/proc/net/dev'))[2:]:\n    assert line.strip().startswith('lo:')")
    assert devices.passed, found


def test_where_there_can_be_no_cage_nothing_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cage itself, on a system whose kernel refuses: namespaces of a kind are used up."""
    strict = tmp_path / "cage.py"
    source = limited.CAGE.read_text()
    refused = source.replace("if libc.unshare(kinds)", "if libc.unshare(-1)").replace(
        "libc.unshare(kinds |", "libc.unshare(-1 |"
    )
    assert refused.count("unshare(-1") == 2
    strict.write_text(refused)
    monkeypatch.setattr(limited, "CAGE", strict)
    with pytest.raises(NoCage, match=r"so none is run\. Remedy: run this on Linux as root"):
        run_limited("print('was run')")


LOOK = {
    "frames": "f = sys._getframe(1)\nwhile f:\n    said.append(repr(f.f_locals) + repr(f.f_globals))\n    f = f.f_back",
    "a traceback": """
try:
    1 / 0
except ZeroDivisionError as error:
    f = error.__traceback__.tb_frame
    while f:
        said.append(repr(f.f_locals))
        f = f.f_back""",
    "objects": "import gc\nsaid += [repr(each) for each in gc.get_objects()]",
    "memory": "said.append(repr(open('/proc/self/mem', 'rb')))",
    "ctypes": "import ctypes\nsaid.append(repr(ctypes.pythonapi.Py_IncRef))",
    "tracing": "sys.settrace(lambda f, *_: said.append(repr(f.f_locals)))",
    "input": "said.append(repr(sys.stdin.buffer.read()) + repr(open(0, 'rb', closefd=False).read()))",
}


@pytest.mark.parametrize("way", LOOK)
def test_a_program_finds_no_mark_to_pass_with(way: str) -> None:
    """Whatever looks like a mark of 32 digits is printed, and the program leaves before its tests."""
    cheat = f"""
import os, re, sys
said = []
try:
{textwrap.indent(LOOK[way].strip(), "    ")}
except Exception as error:
    print(type(error).__name__)
for mark in set(re.findall("[0-9a-f]{{32}}", " ".join(said))):
    print(mark, flush=True)
sys.stdout.flush()
os._exit(0)
assert False"""
    found = run_limited(cheat)
    assert not found.passed
    assert not re.fullmatch("[0-9a-f]{32}", found.said)


def test_what_the_library_does_with_frames_goes_on() -> None:
    used = "import collections, enum, typing\nP = collections.namedtuple('P', 'x y')\nassert P(1, 2).x == 1\n"
    assert run_limited(used + "assert enum.Enum('E', 'a b').a.value == 1\nprint('said')") == Ran(True, "")


def test_no_program_ends_as_if_there_were_no_cage() -> None:
    assert run_limited("import os\nos._exit(78)") == Ran(False, "ended before its last line, exit code 1")


def test_output_is_bounded() -> None:
    assert run_limited("while True:\n    print('x' * 1000)").said == f"printed more than {MOST_OUTPUT} bytes"


def test_no_secret_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_ADMIN_KEY", "very secret")
    assert run_limited("import os\nassert 'SHOAL_ADMIN_KEY' not in os.environ, dict(os.environ)").passed


def test_signals_reach_nobody_else() -> None:
    found = run_limited("import os, signal\nos.kill(os.getppid() or -1, signal.SIGKILL)")
    assert not found.passed
