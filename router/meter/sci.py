"""Software carbon intensity, (E x I + M) / R in grams: ISO/IEC 21031:2024. What was avoided is no part of it.

Boundary: the experts' work and the router's, as metered here. What devices take while they idle is outside, for no
request took it (`idle` tells of it), and so are networks and clients.

Answers and vectors are two functions. R says how one of them grows, so what is spread over answers and their tokens is
what answering took; what vectors took is in the figure per request alone (ADR 0054).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from router.meter.totals import Report

FG_PER_UG: Final = 1_000_000_000


def sci(of: Report) -> dict[str, Any]:
    """The intensities of a report's period, what they are made of, and their boundary; None where R is 0."""
    whole_fg = of.total.sums.co2_ug * FG_PER_UG + of.embodied_fg
    vectors_fg = of.vectors_co2_ug * FG_PER_UG + of.vectors_fg
    units = {
        "per_request": (whole_fg, of.total.requests),
        "per_1000_output_tokens": (whole_fg - vectors_fg, of.total.answered_tokens / 1000),
        "per_accepted_answer": (whole_fg - vectors_fg, of.accepted),
    }
    return {
        "boundary": "answers, vectors, discarded attempts, shadows and the router; "
        "idle devices, loading, networks and clients are outside",
        "intensity": "each request's own, average of its grid and hour; told by grid_version in the rows",
        "embodied": "share of each machine's making by the time it worked, over its life and those beside",
        "grids": sorted(of.grids),
        "operational_g": of.total.sums.co2_ug / 1e6,
        "embodied_g": of.embodied_fg / 1e15 if of.embodied_fg else None,
        "embodied_share": of.embodied_us / of.worked_us if of.worked_us else None,
        "vectors_g": vectors_fg / 1e15,
        "accepted_answers": of.accepted,
        **{name: fg / 1e15 / many if many else None for name, (fg, many) in units.items()},
    }
