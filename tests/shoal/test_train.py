"""What `shoal experts train` says of the time that it takes."""

from __future__ import annotations

import re

from shoal.train import PACE_STEPS, paced


def test_how_long_a_training_takes_is_told_once_and_of_short_work_not_at_all() -> None:
    passed: list[tuple[str, int, int]] = []
    notes: list[str] = []
    advance = paced(lambda *said: passed.append(said), notes.append)
    steps = [("checking", done, PACE_STEPS) for done in range(1, PACE_STEPS + 1)]
    steps += [(what, done, 60) for what in ("first", "second") for done in range(1, 61)]
    for each in steps:
        advance(*each)
    assert passed == steps
    assert [re.sub(r"about [\d,]+ s", "about N s", note) for note in notes] == [
        "first: about N s for 60 steps",
        "second: about N s for 60 steps",
    ]
