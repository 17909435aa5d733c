"""How few questions or scored rows are too few to say anything of."""

from __future__ import annotations

from typing import Final

FEW: Final = 10
"""Below this an interval is far too narrow, being drawn again from so few, and ways to choose are not told apart."""
