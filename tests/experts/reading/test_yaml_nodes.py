"""Hostile and broken files end in one clear line, soon."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from experts.reading.yaml_nodes import MAX_ALIASES, MAX_BYTES, MAX_DEPTH, Unusable, read_document


def why(path: Path, raw: bytes | None = None) -> str:
    """The one line that says why `path`, holding `raw` unless None, cannot be read."""
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(Unusable) as caught:
        read_document(path)
    said = caught.value.problem.text("f.yaml")
    assert "\n" not in said
    assert "Remedy: " in said
    return said


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "f.yaml: is empty"),
        (b"# nothing yet\n", "f.yaml: is empty"),
        (b"- a\n", "f.yaml:1: must be `key: value` lines at the top"),
        ("version: 1".encode("utf-16"), "is UTF-16 text. Remedy: save it as UTF-8"),
        (b"version: 1\nname: caf\xe9\n", "f.yaml:2: byte 0xe9 is not UTF-8"),
        (b"a: " + b"[" * 100_000, f"nested more than {MAX_DEPTH} deep"),
        (b"- " * 100_000, f"nested more than {MAX_DEPTH} deep"),
        (b"a: &a [*a]\n", "unfolds to more than"),
        (b"a: &a x\nb: [" + b"*a," * 300_000 + b"]\n", f"more than {MAX_ALIASES} aliases"),
        (b"x" * (MAX_BYTES + 1), "is too large: 1,000,001 bytes"),
    ],
)
def test_files_that_cannot_be_read_end_in_one_line(tmp_path: Path, raw: bytes, said: str) -> None:
    assert said in why(tmp_path / "f", raw)


def test_a_billion_laughs_is_refused_before_it_grows(tmp_path: Path) -> None:
    lines = ["a0: &a0 [" + ", ".join(["lol"] * 9) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 9) + "]" for n in range(1, 10)]
    assert "unfolds to more than 50,000 values" in why(tmp_path / "f", "\n".join(lines).encode())


def test_a_hundred_megabytes_are_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(100_000_000)
    assert "is too large: 100,000,000 bytes, 1,000,000 allowed" in why(tmp_path / "f")


def test_missing_folder_and_fifo_are_told_apart(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, said in (("none", "does not exist"), (".", "is a folder"), ("fifo", "is not a regular file")):
        assert said in why(tmp_path / name)


def test_an_unreadable_file_says_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "f").touch(mode=0)
        Path(folder).chmod(0o755)
        with nobody_special():
            assert "cannot be read (Permission denied)" in why(Path(folder) / "f")


@contextmanager
def nobody_special() -> Iterator[None]:
    """Root may read everything, so it is somebody else meanwhile."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_values_know_their_lines(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("# comment\na:\n  - x: 1\n    y:\n      2\n  - 3\n")
    document = read_document(tmp_path / "f")
    assert document.data == {"a": [{"x": 1, "y": 2}, 3]}
    lines = {(): 2, ("a",): 2, ("a", 0): 3, ("a", 0, "x"): 3, ("a", 0, "y"): 4, ("a", 1): 6, ("a", 1, "gone"): 6}
    assert {key: document.line(key) for key in lines} == lines
