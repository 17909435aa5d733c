from __future__ import annotations

import numpy as np
import pytest

from router.learn.names import spoken, vectors_of_names


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("card_arrival", "card arrival"),
        ("support-ticket", "support ticket"),
        ("Größe/maß", "Größe maß"),
        ("chat", "chat"),
    ],
)
def test_a_label_is_said_as_words(label: str, name: str) -> None:
    assert spoken(label) == name


@pytest.mark.parametrize("label", ["", "7", "q1", "a-b", "__"])
def test_a_label_without_a_word_says_nothing(label: str) -> None:
    assert spoken(label) is None


def test_every_name_is_encoded_once() -> None:
    asked: list[str] = []

    def vectors_of(texts: object) -> np.ndarray:
        asked.extend(texts)  # type: ignore[call-overload]
        return np.eye(3, dtype=np.float32)[: len(asked)]

    found = vectors_of_names(["law", "17", "fine_arts", "law"], vectors_of)
    assert asked == ["law", "fine arts"]
    assert sorted(found) == ["fine_arts", "law"]
