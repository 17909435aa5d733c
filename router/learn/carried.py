"""What an edition learnt from files, for the next one: it is no traffic, so it stays until somebody leaves it out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from router.learn.edition_file import outcomes_of, read_edition
from router.learn.evidence import Outcomes
from router.learn.trace import pack


def carried(path: Path, maker: str, experts: Collection[str]) -> Outcomes:
    """What an edition tells of these experts that is from files. Raises `EditionError`."""
    edition, tensors = read_edition(path, maker)
    return outcomes_of(edition, tensors).take(tensors["days"] == 0).of(experts)


def without(old: Outcomes, newer: Sequence[Outcomes]) -> Outcomes:
    """The same less every score of which `newer` outcomes have one of the same request and expert."""
    known = {
        (pack(part.vectors[row]), part.experts[column])
        for part in newer
        for row, column in np.argwhere(~np.isnan(part.scores)).tolist()
    }
    scores = old.scores.copy()
    for row, vector in enumerate(map(pack, old.vectors)):
        scores[row, [(vector, expert) in known for expert in old.experts]] = np.nan
    return replace(old, scores=scores).of(old.experts)
