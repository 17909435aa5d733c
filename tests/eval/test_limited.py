"""Programs that mean harm, or to pass without being right, each run for real."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from eval import limited
from eval.cage import MEMORY, MOST_ITEMS, MOST_SAID, PROCESSES
from eval.limited import NoCage, Ran, run_limited
from eval.scorers.code import Exam

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the cage is built from Linux's rooms")

TESTS = "assert double(21) == 42"
ENDED = Ran(False, "the program ended before its tests did")


def run(program: str, tests: str = "", wall_s: float = limited.WALL_S) -> Ran:
    return run_limited(Exam(program, tests), wall_s)


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
    assert run("def double(x): return x + x", TESTS) == Ran(True, "")
    assert run("def double(x): return x * x", TESTS) == Ran(False, "AssertionError")
    assert run("def double(x): return x", "assert double(1) == 2, 'no'") == Ran(False, "AssertionError: no")
    assert run("def double(x): return x.two", TESTS).said == "AttributeError: 'int' object has no attribute 'two'"
    assert run("def triple(x): return 3 * x", TESTS).said == "NameError: the program has no double"
    assert "SyntaxError" in run("def f(:").said
    assert run("import math, re, json, collections, itertools\nassert math.sqrt(4) == 2").passed


def test_an_endless_loop_is_ended_by_its_cpu_time() -> None:
    assert run("while True:\n    pass", wall_s=120) == ENDED
    assert run("def double(x):\n    while True:\n        pass", TESTS, wall_s=120) == ENDED


def test_a_sleeper_is_ended_by_the_clock() -> None:
    found = run("import time\ntime.sleep(600)", wall_s=1)
    assert found == Ran(False, "took longer than 1 s")


def test_memory_is_bounded() -> None:
    assert run("bytearray(2 ** 31)").said == "MemoryError"


def test_memory_is_bounded_in_all_its_processes_together() -> None:
    program = """
import os
def held():
    told, telling = os.pipe()
    waits, _ = os.pipe()
    children = taken = 0
    while True:
        try:
            child = os.fork()
        except OSError:
            break
        if not child:
            blocks = []
            try:
                while True:
                    blocks.append(bytearray(2 ** 24))
            except MemoryError:
                os.write(telling, bytes([len(blocks)]))
            os.read(waits, 1)
        children += 1
    for _ in range(children):
        taken += os.read(told, 1)[0] * 2 ** 24
    return taken
"""
    assert run(program, "taken = held()\nassert taken < 2 ** 30, taken") == Ran(True, "")
    assert MEMORY * PROCESSES < 2**30


def test_what_ordinary_programs_take_is_there() -> None:
    program = """
from functools import lru_cache
from itertools import permutations
def primes(below):
    sieve = [True] * below
    for number in range(2, int(below ** 0.5) + 1):
        sieve[number * number :: number] = [False] * len(sieve[number * number :: number])
    return sum(sieve[2:])
@lru_cache(maxsize=None)
def ways(stairs): return 1 if stairs < 2 else ways(stairs - 1) + ways(stairs - 2)
def distance(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]
def arranged(count): return len(list(permutations(range(count))))
def digits(count): return len(str(7 ** count))
def counted(many): return len({number: str(number) for number in range(many)})
"""
    tests = """
assert primes(5_000_000) == 348513
assert ways(300) % 10 == 1
assert distance('ab' * 300, 'ba' * 300) == 599
assert arranged(8) == 40320
assert digits(5000) == 4226
assert counted(300_000) == 300_000
"""
    assert run(program, tests) == Ran(True, "")


def test_a_fork_bomb_stays_small_and_leaves_nobody_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "cage.py"  # other tests run cages too
    own.write_bytes(limited.CAGE.read_bytes())
    monkeypatch.setattr(limited, "CAGE", own)
    bomb = """
import os, time
try:
    while True:
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
except OSError:
    time.sleep(600)
"""
    found = run(bomb, wall_s=2)
    assert found == Ran(False, "took longer than 2 s")
    if os.geteuid() == 0:  # elsewhere the user's other processes count too, and the numbers may not be its own
        assert marked(str(own)) == []


def test_the_number_of_processes_is_bounded() -> None:
    assert "BlockingIOError" in run("import os\nwhile True:\n    os.fork() or os._exit(0)").said or os.geteuid() != 0


def test_there_are_no_files_to_read_write_or_remove(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("here")
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o777)
    precious.chmod(0o666)
    new = Path(tempfile.gettempdir()) / f"written-by-a-program-{os.getpid()}"
    for attempt in (
        f"open({str(precious)!r}).read()",
        f"open({str(precious)!r}, 'w').write('gone')",
        f"import os\nos.unlink({str(precious)!r})",
        f"open({str(new)!r}, 'w').write('x' * 10)",
        "open('here', 'w').write('x' * 10)",
        "import os\nos.mkdir('here')",
    ):
        assert not run(attempt).passed, attempt
    assert run("import os\ndef seen(): return [*os.listdir('/'), *os.listdir('..')]", "assert seen() == []").passed
    assert precious.read_text() == "here"
    assert not new.exists()


def test_there_is_no_network() -> None:
    """Only a loopback of its own is left, and nobody on it."""
    assert run("import socket\ndef cards(): return socket.if_nameindex()", "assert cards() == [(1, 'lo')]").passed
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert "OSError" in run(f"import socket\nsocket.socket().connect((b'127.0.0.1', {port}))").said


@pytest.mark.parametrize("refused", ["libc.unshare(kinds)", "libc.unshare(_NEW_PID)", "libc.chroot(b'.')"])
def test_where_there_can_be_no_cage_nothing_is_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: str
) -> None:
    """The cage itself, on a system whose kernel refuses one of the steps."""
    source = limited.CAGE.read_text().replace('b"."', "b'.'")
    refuse = {refused: "-1", "libc.unshare(kinds | _NEW_USER)": "-1"}
    for step, answer in refuse.items():
        assert source.count(step) == 1
        source = source.replace(step, answer)
    strict = tmp_path / "cage.py"
    strict.write_text(source)
    monkeypatch.setattr(limited, "CAGE", strict)
    with pytest.raises(NoCage, match=r"so none is run\. Remedy: run this on Linux as root"):
        run("print('was run')")


CHEATS = {
    "a value that equals everything": """
class Any:
    def __eq__(self, other): return True
def double(x): return Any()""",
    "an int that equals everything": """
class Any(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def double(x): return Any(7)""",
    "a list of them": """
class Any(list):
    def __eq__(self, other): return True
def double(x): return Any()""",
    "other builtins": """
import builtins, operator, sys
builtins.AssertionError = type('Calm', (Exception,), {})
builtins.len = builtins.abs = builtins.isinstance = lambda *args: True
operator.eq = lambda *args: True
sys.modules['json'].dumps = lambda *args: '["value", 42]x'
def double(x): return 7""",
    "leaving at once": "import sys\nsys.exit(0)\ndef double(x): return 7",
    "leaving hard": "import os\ndef double(x): os._exit(0)",
    "leaving as it loads": "import os\nos._exit(0)",
    "an exception of leaving": "def double(x): raise SystemExit(0)",
    "a verdict on every descriptor": """
import os
for number in range(32):
    try:
        os.write(number, b'{"passed": true, "said": ""}')
    except OSError:
        pass
def double(x): return 7""",
    "a verdict, then leaving": """
import os
def double(x):
    for number in range(32):
        try:
            os.write(number, b'{"passed": true, "said": ""}\\n')
        except OSError:
            pass
    os._exit(0)""",
    "killing whoever asks": """
import os, signal
for number in (0, 1, os.getppid(), -1):
    try:
        os.kill(number, signal.SIGKILL)
    except OSError:
        pass
def double(x): return 7""",
    "changing the functions that answer": """
import sys
frame = sys._getframe()
while frame:
    for value in list(frame.f_globals.values()):
        if callable(value) and getattr(value, '__name__', '') in ('told', 'made'):
            frame.f_globals[value.__name__] = lambda said: 7
    frame = frame.f_back
def double(x): return 7""",
    "a proxy instead of a value": """
import os
def double(x):
    for number in range(3, 32):
        try:
            os.write(number, b'["function", "double"]\\n')
        except OSError:
            pass
    return 7""",
    "no JSON": "import os\ndef double(x):\n    for number in range(3, 32):\n        try:\n            "
    "os.write(number, b'[' * 9000 + b'\\n')\n        except OSError:\n            pass",
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_nothing_passes_but_what_is_right(cheat: str) -> None:
    found = run(CHEATS[cheat], TESTS)
    assert not found.passed
    assert found.said


LOOK = {
    "frames": """
import sys
frame = sys._getframe(1)
while frame:
    seen.append(repr(frame.f_locals) + repr(frame.f_globals))
    frame = frame.f_back""",
    "objects": """
import gc
for each in gc.get_objects():
    try:
        seen.append(repr(each))
    except Exception:
        pass""",
    "memory": "seen.append(repr(open('/proc/self/mem', 'rb')))",
    "ctypes": "import ctypes\nseen.append(ctypes.string_at(id(seen), 4096).decode('latin-1'))",
    "tracing": """
import sys
sys.settrace(lambda frame, *_: seen.append(repr(frame.f_locals)))
id(0)
sys.settrace(None)""",
    "input": "import sys\nseen.append(repr(sys.stdin.buffer.read()) + repr(open(0, 'rb', closefd=False).read()))",
    "descriptors": """
import os, select
for number in range(32):
    try:
        if select.select([number], [], [], 0)[0]:
            seen.append(repr(os.read(number, 1 << 16)))
    except OSError:
        pass""",
}


@pytest.mark.parametrize("way", LOOK)
def test_a_program_finds_no_answer_in_its_process(way: str) -> None:
    """Whatever looks like the number that the test asks for is answered."""
    looked = "\n    ".join(LOOK[way].strip().splitlines())
    cheat = f"""
import re
seen = []
def look():
    {looked}
def answer():
    try:
        look()
    except (OSError, ValueError):
        pass
    return [each for said in seen for each in re.findall('90[0-9]{{6}}17', said)]
"""
    assert run(cheat, "assert '9012345617' not in answer(), 'found'") == Ran(True, "")


def test_values_come_back_as_what_they_are() -> None:
    program = """
import collections, enum
class Same(str): pass
Pair = collections.namedtuple('Pair', 'x y')
def each(): return [None, True, 1, -0.0, 1e308 * 10, 'ü\\ud800', b'\\x00', 1j, (), {1: {2}}, frozenset('a')]
def derived(): return [Pair(1, 2), collections.Counter('aa'), collections.OrderedDict(a=1), Same('s')]
def endless():
    while True: yield 1
def counted(): return (n for n in range(3))
limit = 3
"""
    tests = """
said = each()
assert said == [None, True, 1, 0.0, float('inf'), 'ü\\ud800', b'\\x00', 1j, (), {1: {2}}, frozenset('a')]
kinds = [type(None), bool, int, float, float, str, bytes, complex, tuple, dict, frozenset]
assert [type(value) for value in said] == kinds
assert derived() == [(1, 2), {'a': 2}, {'a': 1}, 's']
assert counted() != [0, 1, 2] and list(counted()) == [0, 1, 2]
assert limit == 3
def inner(): return limit + math.floor(abs(-1.5))
assert inner() == 4
"""
    assert run(program, tests) == Ran(True, "")
    assert run(program, "endless()").said == f"ValueError: more than {MOST_ITEMS} items"
    assert run("import threading\ndef lock(): return threading.Lock()", "lock()").said.startswith("TypeError: lock is")


def test_what_the_program_raises_is_raised_in_its_tests() -> None:
    program = """
class Own(Exception): pass
def wrong(kind): raise {'own': Own('o'), 'value': ValueError('v'), 'text': b'\\xff'}[kind]
"""
    tests = """
for kind, expected in (('value', ValueError), ('own', RuntimeError), ('nothing', KeyError)):
    try:
        wrong(kind)
    except expected as error:
        pass
    else:
        raise AssertionError(kind)
"""
    assert run(program, tests) == Ran(True, "")


def test_tests_hand_over_plain_values_and_are_told_so() -> None:
    program = "def seen(*args, **named): return [args, named]"
    assert run(program, "assert seen(1, (2,), a={3}) == [(1, (2,)), {'a': {3}}]") == Ran(True, "")
    said = "TypeError: function is no plain data, which is all that can be compared"
    assert run(program, "seen(lambda: 1)") == Ran(False, said)


def test_no_program_ends_as_if_there_were_no_cage() -> None:
    assert run("import os\nos._exit(78)") == ENDED


def test_what_is_said_is_bounded() -> None:
    much = f"the program gave an answer of more than {MOST_SAID} bytes"
    assert run("def double(x): return 'x' * 2 ** 21", TESTS).said == much
    assert run("print('x' * 10 ** 7)\ndef double(x): return x + x", TESTS) == Ran(True, "")  # what is printed is lost


def test_no_secret_comes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_ADMIN_KEY", "very secret")
    assert run("import os\ndef env(): return dict(os.environ)", "assert 'SHOAL_ADMIN_KEY' not in env(), env()").passed


def test_signals_reach_nobody_else() -> None:
    assert run("import os\nos.kill(0, 9)\ndef double(x): return x + x", TESTS) == Ran(True, "")
