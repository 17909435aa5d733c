"""Standard output as a place like any other: what it does not take is told in one line, with what helps."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import Any

from experts.errors import WrongUsage


class _Output(FileIO):
    """Raises `WrongUsage` where the system writes nothing, but for a reader that has left: that is no fault."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            # What is left in buffers goes nowhere: written at the end of the process, it would fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            told = f"standard output cannot be written: {error.strerror}. Remedy: choose another place"
            raise WrongUsage(told) from None


def tell_of_standard_output() -> None:
    """Have what cannot be printed told as above; whoever took standard output away from us keeps it."""
    was = sys.stdout
    if was is None:  # closed by whoever started us, who wants nothing of it
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 (a device, for as long as we live)
    elif isinstance(was, TextIOWrapper) and was is sys.__stdout__:
        out = BufferedWriter(_Output(was.fileno(), "wb", closefd=False))
        # What its encoding lacks is printed as on standard error: an ASCII terminal has no ≥, and a report was lost.
        errors = "backslashreplace" if was.errors == "strict" else was.errors
        sys.stdout = TextIOWrapper(out, was.encoding, errors, line_buffering=was.line_buffering)
