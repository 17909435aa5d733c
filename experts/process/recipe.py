"""How an engine is started: what every file in engines/ makes of a spec, and all that `Child` knows of an engine."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from experts.process.address import Address

PASSED_ON = re.compile(r"PATH|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|LD_LIBRARY_PATH|DYLD_\w+|(CUDA|HIP|ROCR)_VISIBLE_DEVICES")
"""Environment variables a child needs to run. Everything else stays with the server."""
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
"""No variable with such a name is passed on, whatever else its name says."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A command that serves OpenAI's API, and how to tell that it does."""

    command: Callable[[Address], Sequence[str]]
    """The command line that listens on the address it is given; its launcher uses `experts.process.leash`."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables the engine needs beside those passed on."""
    health_path: str = "/health"
    renew: Callable[[], Awaitable[Recipe]] | None = None
    """Asked before every start but the first: what it loads may have changed meanwhile. Raises ShoalError."""

    def environment(self, ours: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The child's whole environment, given `ours`: what it needs, and no secret."""
        passed = {k: v for k, v in ours.items() if PASSED_ON.fullmatch(k) and not SECRET.search(k)}
        return {**passed, **self.environ}
