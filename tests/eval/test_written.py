"""What a measurement would write is tried before it measures: minutes of work were lost for want of a folder."""

from __future__ import annotations

import subprocess
import sys

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
