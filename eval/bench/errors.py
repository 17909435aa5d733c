"""What can end a measurement."""

from __future__ import annotations

from experts.errors import ShoalError


class BenchError(ShoalError):
    """Nothing was measured, or what was measured means nothing; the message says why and what to do."""
