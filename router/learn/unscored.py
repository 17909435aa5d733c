"""Requests that nobody scored, out of the ledger: how many of them and which are learnt from."""

from __future__ import annotations

from typing import Final

import numpy as np

from router.learn.edition_file import Days
from router.learn.evidence import ALIKE, Floats, Outcomes, alike, unscored
from router.learn.harvest import Traffic
from router.learn.trial import MOST_TRIED

MOST: Final = 2000
"""So many tell where domains lie, and the fit of a registry's judge stays near a second (ADR 0056)."""

LOOKED_AT: Final = 5000
"""The newest, of which those that are no repeats are taken."""


def apart(traffic: Traffic, days: Days, scored: Floats) -> tuple[Outcomes, Days]:
    """The newest requests that are like none newer and like none `scored` (s, d), and the days (n,) they came on.

    Whoever asks the same a thousand times is heard once, and a request that is held out of a trial was never seen.
    """
    vectors = traffic.vectors[:LOOKED_AT]
    if not len(vectors):
        return unscored(vectors, traffic.features[:0]), days[:0]
    first = alike(vectors) == np.arange(len(vectors))
    known = scored[:MOST_TRIED]
    if len(known):
        first &= (vectors @ known.T).max(axis=1) < ALIKE
    rows = np.flatnonzero(first)[:MOST]
    return unscored(vectors[rows], traffic.features[rows]), days[rows]
