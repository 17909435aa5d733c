"""Names that figures go by where others have an expert's id, so that no expert may have them."""

from __future__ import annotations

from typing import Final

ROUTER: Final = "router"
"""What metrics, traces and the export call the router's own work."""

OTHER: Final = "other"
"""What metrics call whatever is none of the names that were known beforehand."""

OWN_LABELS: Final = (ROUTER, OTHER)
