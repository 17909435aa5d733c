"""What a command is to write is tried before its work: it was lost, or ended without naming the option."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread
from typing import IO

import pytest

from experts.destination import require_folder, write_there
from experts.errors import ShoalError, WrongUsage
from router.meter.tariff import Tariffs
from tests.router.meter.test_ledger_faults import no_file_over, unprivileged
from tests.router.meter.traffic import entries, fill, registry
from tests.service.server import POEMS, ROOT, rows, write_registry
from tests.shoal.test_main import shoal

ANSWERS = ("eval", "answers", "asked.jsonl", "--out")
FILES = (ANSWERS, ("meter", "export", "--out"), ("learn", "export", "--out"), ("registry", "schema", "--write"))
FOLDERS = (
    ("eval", "run", "--only", "requests", "--out"),
    ("experts", "train", "encoder", "--data", "asked.jsonl", "--out"),
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHOAL_REGISTRY", str(write_registry(tmp_path)))
    rows(tmp_path / "asked.jsonl", [{"input": text, "target": "rain", "scorer": "includes"} for text in POEMS[:2]])
    return tmp_path


@pytest.mark.parametrize("words", FILES, ids=" ".join)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (".", ". is a folder. Remedy: name a file"),
        (
            "no/x",
            "no/x cannot be written: No such file or directory. Remedy: make its folder, or choose another place",
        ),
        ("asked.jsonl/x", "asked.jsonl/x cannot be written: Not a directory. Remedy: choose another place"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_is_done(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    given: str,
    said: str,
) -> None:
    before = sorted(here.rglob("*"))
    assert shoal(monkeypatch, *words, given) == 2
    assert capsys.readouterr() == ("", f"shoal: {words[-1]}: {said}\n")
    assert sorted(here.rglob("*")) == before, "nobody was asked, and no file of the trial is left"


@pytest.mark.parametrize("words", FOLDERS, ids=" ".join)
def test_so_is_a_folder_that_cannot_be_made(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    before = sorted(here.rglob("*"))
    taken = here / "asked.jsonl"
    assert shoal(monkeypatch, *words, str(taken / "made")) == 2
    assert capsys.readouterr() == ("", f"shoal: --out: {taken} is a file. Remedy: name a folder\n")
    assert sorted(here.rglob("*")) == before


def test_a_folder_that_may_only_be_read_is_told_too() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        for wanted in (folder, folder / "made" / "deeper"):
            said = rf"^RESULTS: {wanted} cannot be written: Permission denied. Remedy: choose another place$"
            with unprivileged(), pytest.raises(WrongUsage, match=said):
                require_folder("RESULTS", wanted)
        folder.chmod(0o755)
        require_folder("RESULTS", folder / "made" / "deeper")
        assert list(folder.iterdir()) == []


def test_the_scores_take_the_place_of_what_was_there_only_once_they_are_whole(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "o.jsonl").write_text("what was kept then\n")
    kept = (here / "o.jsonl").open()
    assert shoal(monkeypatch, *ANSWERS, "o.jsonl", "--json") == 0, capsys.readouterr().err
    assert (here / "o.jsonl").read_text().count('"outcomes"') == 2
    with kept:
        assert kept.read() == "what was kept then\n", "it was emptied first, and a disk that was full left half of it"


def test_a_pipe_is_written_to_and_stays_one(here: Path) -> None:
    """A file took its place: `--out /dev/stdout` of root was a file in /dev."""
    pipe, read = here / "pipe", []
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_there("--out", pipe, [b"one", b"two"])
    reader.join(timeout=60)
    assert (read, pipe.is_fifo()) == ([b"onetwo"], True)


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(here: Path) -> None:
    (here / "far").mkdir()
    link, far = here / "o.jsonl", here / "far" / "o.jsonl"
    link.symlink_to(far)
    for block in (b"one", b"two"):
        write_there("--out", link, [block])
        assert (link.is_symlink(), far.read_bytes()) == (True, block)
    assert {each.name for each in here.iterdir() if each.suffix == ".part"} == set()


def test_a_link_into_no_folder_is_told_before_anything_is_done(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "o.jsonl").symlink_to(here / "no" / "o.jsonl")
    assert shoal(monkeypatch, "meter", "export", "--out", "o.jsonl") == 2
    assert "--out: o.jsonl cannot be written: No such file or directory" in capsys.readouterr().err


def test_what_a_disk_has_no_room_for_is_no_wrong_usage(here: Path) -> None:
    said = r"^--out: o.jsonl cannot be written: File too large. Remedy: choose another place$"
    with no_file_over(8), pytest.raises(ShoalError, match=said) as told:
        write_there("--out", Path("o.jsonl"), [b"more than eight"])
    assert not isinstance(told.value, WrongUsage)


PRINTED = (
    ("meter", "export"),
    ("meter", "export", "--format", "parquet"),
    ("meter", "report"),
    ("meter", "report", "--json"),
    ("registry", "schema"),
    ("registry", "list"),
    ("keys", "list"),
    ("meter", "--help"),
)


def served(here: Path, requests: int) -> None:
    """A ledger of so many."""
    traffic = list(entries(Tariffs.of_registry(registry()), requests))
    asyncio.run(fill(here / "data" / "ledger.sqlite", traffic))


def printing(words: tuple[str, ...], out: int | IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "shoal", *words], cwd=ROOT, stdout=out, stderr=subprocess.PIPE)


@pytest.mark.parametrize("words", PRINTED, ids=" ".join)
def test_standard_output_that_takes_nothing_is_one_line(here: Path, words: tuple[str, ...]) -> None:
    served(here, 40)
    with Path("/dev/full").open("wb") as full, printing(words, full) as command:
        said = command.communicate()[1].decode()
    assert said == ("shoal: standard output cannot be written: No space left on device. Remedy: choose another place\n")
    assert command.returncode == 2


def test_a_device_that_takes_nothing_is_told_with_the_same_code(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served(here, 40)
    assert shoal(monkeypatch, "meter", "export", "--out", "/dev/full") == 2
    told = "--out: /dev/full cannot be written: No space left on device. Remedy: choose another place"
    assert capsys.readouterr() == ("", f"shoal: {told}\n")


def test_what_the_encoding_of_standard_output_lacks_is_printed_all_the_same(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = here / "registry.yaml"
    path.write_text(path.read_text().replace("Writes poems", "Writes at a café"))
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    monkeypatch.setenv("LC_ALL", "C")
    with printing(("registry", "list"), subprocess.PIPE) as command:
        out, said = command.communicate()
    assert (command.returncode, said) == (0, b"")
    assert rb"caf\xe9" in out


def test_a_reader_that_leaves_is_told_nothing(here: Path) -> None:
    """As `head` does; there is more than a pipe holds."""
    served(here, 1000)
    with printing(("meter", "export"), subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.read(10)
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 1
