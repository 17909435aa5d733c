"""Millionths: shares, probabilities, grades and PUE as the ledger keeps them, whole numbers like all it counts."""

from __future__ import annotations

from typing import Final

PPM: Final = 1_000_000
