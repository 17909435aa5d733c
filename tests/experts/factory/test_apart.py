"""What an encoder is checked with is never, nor nearly, what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from experts.alike import near_any
from experts.factory.apart import groups_of, guarding, unseen, with_checks
from experts.factory.gains import FEWEST
from experts.factory.lessons import ASIDE, Lessons, LessonsError, part
from tests.experts.factory.toys import TOPICS

ASKED = 40


def encode(texts: Sequence[str]) -> np.ndarray:
    """The same direction for `rain 3` and `rain 3 please`, another one for all other numbers."""
    vectors = np.zeros((len(texts), 4 * ASKED + 1), np.float32)
    places = list(TOPICS.values())
    for row, text in enumerate(texts):
        word, number = text.split()[:2]
        vectors[row, places.index(word) * ASKED + int(number) if word in places else -1] = 1
    return vectors


def twins(name: str, numbers: Sequence[int], *, aside: bool) -> Lessons:
    """Each text twice, nearly."""
    texts = [f"{word} {n}{end}" for word in TOPICS.values() for n in numbers for end in ("", " please")]
    labels = np.repeat(list(TOPICS), 2 * len(numbers))
    return Lessons(name, "0", texts, labels, [], labels[:0], [], aside=aside)


def test_near_duplicates_are_all_kept_aside_or_all_trained_on() -> None:
    one = with_checks(twins("one", range(ASKED), aside=True), encode)
    assert one.check_texts
    assert len(one.check_texts) + len(one.texts) == 4 * 2 * ASKED
    assert not near_any(encode(one.check_texts), encode(one.texts)).any()
    naive = part(twins("one", range(ASKED), aside=True), 1, ASIDE)
    assert near_any(encode(naive.check_texts), encode(naive.texts)).any(), "without groups they are not"


def test_a_row_for_validation_that_nearly_repeats_one_of_any_file_is_not_asked() -> None:
    one = replace(
        twins("one", range(6), aside=False), check_texts=["rain 2 gently", "rain 9", "soup 8"],
        check_labels=np.array(["weather", "weather", "food"]), outside=["song 1 please", "stranger 0"],
    )  # fmt: skip
    other = twins("other", [8], aside=False)
    (found, _) = unseen([one, other], [one, other], encode)
    assert (found.check_texts, found.check_labels.tolist(), found.outside) == (["rain 9"], ["weather"], ["stranger 0"])
    assert with_checks(one, encode) is one, "rows for validation stand as they are"


def test_a_guard_is_asked_nothing_that_was_trained_on() -> None:
    guard, lessons = twins("guard", range(8, ASKED), aside=True), twins("one", [8], aside=True)
    (found,) = guarding([guard], [lessons], encode, [].append)
    assert len(found.check_texts) >= FEWEST
    taught = encode([*found.texts, *lessons.texts])
    assert not near_any(encode(found.check_texts), taught).any()
    said = r"guard: 0 rows it could guard with are neither training rows nor near-dup.* than 30 show .* Remedy: a guard"
    with pytest.raises(LessonsError, match=said):
        guarding([guard], [twins("one", range(ASKED), aside=True)], encode, [].append)


def test_a_guard_of_few_rows_says_what_it_can_show_and_of_fewer_shows_nothing() -> None:
    def guard(rows: int) -> Lessons:
        texts = [f"{list(TOPICS.values())[row % 2]} {row // 2}" for row in range(rows)]
        labels = np.array([list(TOPICS)[row % 2] for row in range(rows)])
        taught = twins("guard", [ASKED - 1], aside=False)
        return replace(taught, check_texts=texts, check_labels=labels)

    notes: list[str] = []
    other = twins("one", [ASKED - 2], aside=True)
    with pytest.raises(LessonsError, match=f"guard: {FEWEST - 1} rows .* fewer than {FEWEST} show nothing"):
        guarding([guard(FEWEST - 1)], [other], encode, notes.append)
    assert notes == []
    guarding([guard(FEWEST)], [other], encode, notes.append)
    told = "guard: 30 rows to guard with, so a fall of up to one row, 3.33%, is taken for chance"
    assert notes == [f"{told}; 334 rows or more would show any above 0.30%"]
    many = replace(guard(60), check_texts=guard(60).check_texts * 6, check_labels=np.tile(guard(60).check_labels, 6))
    guarding([many], [other], encode, notes.append)
    assert len(notes) == 1


def test_groups_go_by_the_order_of_all_rows() -> None:
    one = twins("one", range(3), aside=True)
    assert groups_of(one, encode).tolist() == [at - at % 2 for at in range(len(one.texts))]
