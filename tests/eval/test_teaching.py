from __future__ import annotations

from collections import Counter

from eval.samples import Labelled, Split
from eval.teaching import Teaching, lesson

LABELS = ("ants", "bees", "cats", "dogs", "eels")
SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation", "test")
ROWS = [
    Labelled(f"{label} {at}", label, split)
    for label in LABELS
    for at, split in enumerate(split for split in SPLITS for _ in range(4))
]
STRANGER = Labelled("zq wv", None, "validation")


def test_the_files_own_split_is_kept_less_what_stands_on_both_sides() -> None:
    said = Labelled("ANTS  16", "ants", "train")
    found = lesson([*ROWS, said], Teaching(), 0)
    assert (len(found.train), len(found.validation), len(found.test), found.dropped) == (60, 20, 20, 1)
    assert said not in found.train and found.train == [row for row in ROWS if row.split == "train"]


def test_labels_take_several_numbers_of_shots_in_turn() -> None:
    counts = [Counter(row.label for row in lesson(ROWS, Teaching((2, 6)), seed).train) for seed in range(2)]
    assert counts == [
        {"ants": 2, "bees": 6, "cats": 2, "dogs": 6, "eels": 2},
        {"ants": 6, "bees": 2, "cats": 6, "dogs": 2, "eels": 6},
    ]


def test_what_is_left_is_all_that_was_not_taught_and_no_test_row() -> None:
    found = lesson([*ROWS, STRANGER], Teaching((3,), left=True), 4)
    taught, asked = {row.input for row in found.train}, {row.input for row in found.test}
    assert len(found.train) == len(taught) == 15 and found.validation == []
    assert {row.split for row in found.train} == {"train"}
    assert asked == {row.input for row in (*ROWS, STRANGER) if row.split != "test"} - taught


def test_what_is_left_holds_nothing_that_is_taught() -> None:
    again = [Labelled(row.input.upper(), row.label, "validation") for row in ROWS if row.split == "train"]
    found = lesson([*ROWS, *again], Teaching((3,), left=True), 0)
    taught = {row.input for row in found.train}
    assert found.dropped == 15
    assert not taught & {row.input.casefold() for row in found.test}


def test_labels_that_are_not_taught_are_strangers() -> None:
    found = lesson(ROWS, Teaching(untaught=0.4, left=True), 0)
    hidden = set(LABELS) - {row.label for row in found.train}
    assert len(hidden) == 2
    strangers = [row for row in found.test if row.label is None]
    assert len(strangers) == 2 * 16
    assert {row.input.split()[0] for row in strangers} == hidden


def test_rows_that_are_not_taught_can_be_traffic_whose_label_is_not_told() -> None:
    found = lesson(ROWS, Teaching((3,), unlabelled=10), 4)
    taught, asked = {row.input for row in found.train}, {row.input for row in found.unlabelled}
    assert len(found.unlabelled) == len(asked) == 10
    assert not taught & asked and {row.split for row in found.unlabelled} == {"train"}
    assert [row.input for row in lesson(ROWS, Teaching((3,), unlabelled=10), 4).unlabelled] == [
        row.input for row in found.unlabelled
    ]
    assert len(lesson(ROWS, Teaching((3,), unlabelled=1000), 4).unlabelled) == 60 - 15
    assert lesson(ROWS, Teaching((3,)), 4).unlabelled == []


def test_a_row_that_differs_in_blanks_at_its_end_is_a_repeat() -> None:
    """It counted twice: what copies a text adds a blank or a line's end to it as easily as it leaves it alone."""
    rows = [Labelled("a lamp ", "x", "test"), Labelled("a lamp", "y", "test"), Labelled("a lamp\n", "x", "train")]
    found = lesson([*ROWS, *rows, Labelled("a lamp", "x", "train")], Teaching(), 0)
    assert [row.input for row in found.test if "lamp" in row.input] == ["a lamp "]
    assert (found.repeats, found.relabelled, found.dropped) == (2, 1, 1)
