"""What an encoder is checked with is never, nor nearly, what it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from experts.alike import near_any
from experts.factory.apart import groups_of, guarding, unseen, with_checks
from experts.factory.lessons import ASIDE, Lessons, LessonsError, part
from tests.experts.factory.toys import TOPICS

ASKED = 12


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
    (found,) = guarding([guard], [lessons], encode)
    assert found.check_texts
    taught = encode([*found.texts, *lessons.texts])
    assert not near_any(encode(found.check_texts), taught).any()
    with pytest.raises(LessonsError, match=r"guard: every row .* Remedy: guard with a file of other requests"):
        guarding([guard], [twins("one", range(ASKED), aside=True)], encode)


def test_groups_go_by_the_order_of_all_rows() -> None:
    one = twins("one", range(3), aside=True)
    assert groups_of(one, encode).tolist() == [at - at % 2 for at in range(len(one.texts))]
