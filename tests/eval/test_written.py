"""What a measurement would write is tried before it measures: minutes of work were lost for want of a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval.provenance import ROOT

MISSING = "no/x", "no/x cannot be written: No such file or directory. Remedy: make its folder, or choose another place"


@pytest.mark.parametrize(
    ("module", "words", "given", "why"),
    [
        ("eval.savings", ("--runs", "1", "--output"), *MISSING),
        ("eval.bench", ("--quick", "--out"), "Makefile/x", "Makefile is a file. Remedy: name a folder"),
        ("eval.bench.judge", ("--out",), *MISSING),
        ("eval.bench.metering", ("--out",), *MISSING),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_anything_is_measured(
    module: str, words: tuple[str, ...], given: str, why: str
) -> None:
    command = [sys.executable, "-m", module, *words, given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.replace("\u2502", " ").split())
    assert f"{words[-1]}: {why}" in said


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("eval.savings", ("--runs", "1", "--output")),
        ("eval.bench.metering", ("--requests", "100", "--rounds", "1", "--out")),
    ],
)
def test_a_file_that_is_there_is_replaced_not_written_into(tmp_path: Path, module: str, words: tuple[str, ...]) -> None:
    """One that is only to read let every measurement fail at its end; its folder was all that had been tried."""
    out, kept = tmp_path / "found.json", tmp_path / "kept.json"
    kept.write_text("what was measured then")
    out.hardlink_to(kept)
    command = [sys.executable, "-m", module, *words, str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr  # of one run of each world some are outside
    assert json.loads(out.read_text()), "whole"
    assert kept.read_text() == "what was measured then"
