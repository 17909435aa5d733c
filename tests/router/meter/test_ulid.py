from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.meter import ulid
from router.meter.ulid import UlidSource, new_ulid, ulid_bytes, ulid_text, ulid_us


def test_ids_are_unique_and_ascend() -> None:
    ids = [new_ulid() for _ in range(50_000)]
    assert ids == sorted(set(ids))
    assert {len(each) for each in ids} == {26}


def test_an_id_carries_its_time() -> None:
    before = time.time_ns() // 1_000_000
    # In a process of its own: the common source may have been pushed ahead by other tests.
    stamp = int.from_bytes(ulid_bytes(UlidSource().new()), "big") >> 80
    assert before <= stamp <= time.time_ns() // 1_000_000


def at(source: UlidSource, monkeypatch: pytest.MonkeyPatch, ns: int) -> str:
    monkeypatch.setattr(ulid.time, "time_ns", lambda: ns)
    return source.new()


def test_ids_ascend_when_the_clock_goes_back_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    source, now = UlidSource(), time.time_ns()
    ids = [at(source, monkeypatch, now + jump_s * 1_000_000_000) for jump_s in (0, 0, -50, -50, 1, -58, 2)]
    assert ids == sorted(set(ids))


def test_a_clock_that_was_ahead_is_followed_back(monkeypatch: pytest.MonkeyPatch) -> None:
    source, now = UlidSource(), time.time_ns()
    ahead = at(source, monkeypatch, now + 100 * 86_400 * 10**9)
    back = [at(source, monkeypatch, now + n) for n in range(3)]
    assert ulid_us(back[-1]) == now // 1_000_000 * 1000
    assert back == sorted(set(back))
    assert back[0] < ahead


def test_threads_get_different_ids() -> None:
    with ThreadPoolExecutor(4) as threads:
        batches = list(threads.map(lambda _: [new_ulid() for _ in range(2_000)], range(8)))
    ids = [each for batch in batches for each in batch]
    assert len(set(ids)) == len(ids)


FORKED = """
import os, time
from router.meter import ulid

now = time.time_ns()
ulid.time.time_ns = lambda: now
one, other = ulid.UlidSource(), ulid.UlidSource()
one.new(), other.new()
reading, writing = os.pipe()
child = os.fork() == 0
ids = [one.new()]  # in the millisecond that began before
now += 1_000_000
ids.append(other.new())
os.write(writing, " ".join([*ids, ""]).encode())
if child:
    os._exit(0)
os.wait()
print(os.read(reading, 1000).decode())
"""


def test_a_forked_process_gets_different_ids() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 4
    assert len(set(done.stdout.split())) == 4


@given(st.binary(min_size=16, max_size=16))
def test_bytes_and_text_are_the_same_id(raw: bytes) -> None:
    text = ulid_text(raw)
    assert len(text) == 26
    assert ulid_bytes(text) == raw


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_text_sorts_as_bytes_do(one: bytes, other: bytes) -> None:
    assert (one < other) == (ulid_text(one) < ulid_text(other))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 25,
        "0" * 27,
        "8" + "0" * 25,
        "U" * 26,
        "0" * 25 + "_",
        " " + "0" * 25,
        "\u0660" * 26,
        "a" * 26,
        "+" + "1" * 25,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no request id"):
        ulid_bytes(text)
