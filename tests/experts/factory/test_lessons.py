"""What an encoder is trained on: which rows of a file, in which batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experts.factory.gains import PARTS
from experts.factory.lessons import (
    GivenTwice,
    Lessons,
    LessonsError,
    above,
    batches,
    few,
    lessons_of,
    names_of,
    part,
    read_inputs,
    read_lessons,
    shots,
    thinned,
    whole,
)
from tests.experts.factory.toys import TOPICS, topical, write


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_only_training_rows_are_trained_on(tmp_path: Path, name: str) -> None:
    rows = topical(6)
    rows += [{"input": "checked", "label": "music", "split": "validation"}, {"input": "odd", "label": None}]
    rows += [{"input": "stranger", "label": None, "split": "validation"}]
    rows += [{"input": "never seen", "label": "music", "split": "test"}]
    lessons = read_lessons(write(tmp_path / name, rows))
    assert lessons.texts == [row["input"] for row in topical(6)]
    assert (lessons.check_texts, lessons.outside) == (["checked"], ["stranger"])


def test_without_validation_rows_some_of_every_label_are_kept_aside(tmp_path: Path) -> None:
    lessons = read_lessons(write(tmp_path / "a.jsonl", topical(20)))
    assert not set(lessons.texts) & set(lessons.check_texts)
    assert len(lessons.texts) == 4 * 16 and sorted(lessons.check_labels) == sorted(list(TOPICS) * 4)


def test_few_rows_are_asked_in_turn_each_once_and_all_are_trained_on_at_last(tmp_path: Path) -> None:
    one = read_lessons(write(tmp_path / "a.jsonl", topical(8)))
    assert few([one]) and one.aside
    parts = [part(one, at, 3) for at in range(3)]
    assert sorted(text for each in parts for text in each.check_texts) == sorted(row["input"] for row in topical(8))
    for each in parts:
        assert sorted([*each.texts, *each.check_texts]) == sorted([*one.texts, *one.check_texts])
        assert len(each.texts) == len(each.labels) and len(each.check_texts) == len(each.check_labels)
        topics = {word: topic for topic, word in TOPICS.items()}
        assert all(topics[text.split()[0]] == label for text, label in zip(each.texts, each.labels, strict=True))
        assert min(np.unique(each.labels, return_counts=True)[1]) >= 5, "enough to train on"
    every = whole(one)
    assert sorted(every.texts) == sorted([*one.texts, *one.check_texts])
    assert len(every.labels) == len(every.texts) and not every.check_texts and not len(every.check_labels)


def test_with_validation_rows_or_many_nothing_is_asked_in_turn(tmp_path: Path) -> None:
    given = [*topical(8), {"input": "checked", "label": "music", "split": "validation"}]
    checked = read_lessons(write(tmp_path / "a.jsonl", given))
    assert not few([checked]) and not few([checked, read_lessons(write(tmp_path / "b.jsonl", topical(8)))])
    many = read_lessons(write(tmp_path / "c.jsonl", topical(1250)))
    assert many.aside and not few([many])


def test_a_text_given_twice_is_not_asked_where_it_was_taught(tmp_path: Path) -> None:
    rows = [*topical(8), *topical(1)]
    one = read_lessons(write(tmp_path / "a.jsonl", rows))
    for each in (part(one, at, 3) for at in range(3)):
        assert not set(each.texts) & set(each.check_texts)


def test_a_repeat_counts_once_and_judges_nothing_it_was_taught_in(tmp_path: Path) -> None:
    rows = topical(6)
    again = [{**row, "split": "validation"} for row in [*rows[:10], {"input": "new", "label": "music"}, rows[0]]]
    again += [{"input": text, "label": None, "split": "validation"} for text in ("rain 1", "stranger", "stranger")]
    one = read_lessons(write(tmp_path / "a.jsonl", [*rows, *rows, *again]))
    assert one.texts == [row["input"] for row in rows]
    assert (one.check_texts, one.outside) == (["new"], ["stranger"])
    only_repeats = read_lessons(write(tmp_path / "b.jsonl", [*rows, *again[:10]]))
    assert only_repeats.aside and few([only_repeats])


def test_labels_whose_rows_are_one_text_are_refused(tmp_path: Path) -> None:
    rows = [{"input": word, "label": topic} for topic, word in TOPICS.items() for _ in range(20)]
    with pytest.raises(LessonsError, match="two labels of 5 rows or more to train on, repeats left out"):
        read_lessons(write(tmp_path / "a.jsonl", rows))


def test_unlabelled_validation_rows_alone_leave_few_rows_few(tmp_path: Path) -> None:
    odd = {"input": "stranger", "label": None, "split": "validation"}
    one = read_lessons(write(tmp_path / "a.jsonl", [*topical(8), odd]))
    assert few([one])
    assert part(one, 0, 3).outside == ["stranger"]


def test_rows_of_a_group_are_on_one_side(tmp_path: Path) -> None:
    one = whole(read_lessons(write(tmp_path / "a.jsonl", topical(9))))
    pairs = np.arange(len(one.texts)) // 2
    parts = [part(one, at, 3, pairs) for at in range(3)]
    assert sorted(text for each in parts for text in each.check_texts) == sorted(one.texts)
    group = dict(zip(one.texts, pairs.tolist(), strict=True))
    for each in parts:
        assert not {group[text] for text in each.texts} & {group[text] for text in each.check_texts}
        assert min(np.unique(each.labels, return_counts=True)[1]) >= 5
    with pytest.raises(LessonsError, match="and rows in each part"):
        part(one, 1, 3, np.zeros(len(one.texts), int))


def test_files_of_one_name_are_told_apart_and_one_given_twice_is_refused(tmp_path: Path) -> None:
    x, y, z = (tmp_path / each for each in ("x/intents.jsonl", "y/intents.jsonl", "y/other.jsonl"))
    assert names_of([x, y, z]) == ["x/intents.jsonl", "y/intents.jsonl", "other.jsonl"]
    with pytest.raises(GivenTwice, match=r"given twice\. Remedy: name a file once"):
        names_of([x, y, tmp_path / "y/../x/intents.jsonl"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"a\.jsonl: has no rows\. Remedy: write one JSON object a line\."),
        ('{"input": "a", "label": "x"}\n', "two labels"),
        ('{"input": "a", "label": "x"}\n{"input": "b", "label": "y"}\n', "and rows to check with"),
        (
            '{"input": "a", "label": "x"}\nnonsense\n',
            r"a\.jsonl:2: is not JSON \(.*\)\. Remedy: correct or remove the line",
        ),
        ('{"input": 7, "label": "x"}\n', "a.jsonl:1: has no text 'input'"),
        ('{"input": "a"}\n', "'a': 'label' must be a text"),
        ('{"input": "a", "label": "x", "split": "training"}\n', "'training' is no split. Remedy: one of train, valid"),
        ('{"input": "\\ud800", "label": "x"}\n', "a.jsonl:1: is not JSON"),
        ("[" * 5000 + "\n", "a.jsonl:1: is not JSON"),
        ("nonsense\n[]\n", r"(?s)a\.jsonl:1: is not JSON.*a\.jsonl:2: is not a JSON object"),
    ],
)
def test_a_useless_file_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(LessonsError, match=said):
        read_lessons(path)
    with pytest.raises(LessonsError, match=r"missing\.jsonl: cannot be read \(No such file or directory\)"):
        read_inputs(tmp_path / "missing.jsonl")


REMEDY = "Remedy: 8 rows or more of each label, which are no repeats, or 5 or more and others of the split validation"


def test_the_remedy_is_one_that_helps(tmp_path: Path) -> None:
    eight = read_lessons(write(tmp_path / "eight.jsonl", topical(8)))
    assert few([eight]) and all(part(eight, at, PARTS).check_texts for at in range(PARTS))
    validation = [{**row, "input": f"checked {row['input']}", "split": "validation"} for row in topical(1)]
    five = read_lessons(write(tmp_path / "five.jsonl", [*topical(5), *validation]))
    assert not five.aside and len(five.texts) == 5 * len(TOPICS)


def test_what_is_taken_can_be_trained_on(tmp_path: Path) -> None:
    for each in (2, 5):
        with pytest.raises(LessonsError, match=REMEDY):
            read_lessons(write(tmp_path / "five.jsonl", topical(each)))
    left_out = r"seven\.jsonl: needs two labels of 5 rows .* once one of 3 parts is left out"
    with pytest.raises(LessonsError, match=f"{left_out}.*{REMEDY}"):
        part(read_lessons(write(tmp_path / "seven.jsonl", topical(7))), 0, PARTS)
    few = [*topical(4), *({**row, "split": "validation"} for row in topical(4))]
    with pytest.raises(LessonsError, match="two labels of 5 rows"):
        read_lessons(write(tmp_path / "few.jsonl", few))
    ((texts, labels),) = batches([read_lessons(write(tmp_path / "six.jsonl", topical(6)))], 1, 4, 2, 0)
    assert len(texts) == len(labels) == 8


def test_the_questions_of_an_answers_file_are_lessons(tmp_path: Path) -> None:
    rows = [{"id": at, "questions": [f"{at} {n}" for n in range(8)], "answer": "."} for at in ("one", "two")]
    lessons = read_lessons(write(tmp_path / "answers.jsonl", rows))
    assert len(lessons.texts) == 14 and lessons.texts[0] == "one 0"
    assert set(lessons.labels) == {"one", "two"} and lessons.check_texts == ["one 4", "two 4"]


def counted(name: str, each: dict[str, int]) -> Lessons:
    labels = np.array([label for label, count in each.items() for _ in range(count)])
    texts = [f"{name}/{label}/{n}" for n, label in enumerate(labels)]
    return Lessons(name, "0", texts, labels, texts, labels, [])


def test_a_batch_is_of_one_file_and_balanced() -> None:
    files = [counted("one", {"a": 90, "b": 30, "c": 20}), counted("two", {"a": 6, "b": 5, "rare": 4})]
    drawn = list(batches(files, steps=60, labels=2, each=4, seed=1))
    assert len(drawn) == 60
    for texts, labels in drawn:
        assert len({text.split("/")[0] for text in texts}) == 1
        assert len(texts) == len(set(texts)) == 8 and np.bincount(labels).max() == 4
        assert len({(text.split("/")[1], label) for text, label in zip(texts, labels, strict=True)}) == 2
    everything = {text for texts, _ in drawn for text in texts}
    assert not any("rare" in text for text in everything), "a label of four cannot be learned from"
    assert {text.split("/")[0] for text in everything} == {"one", "two"}
    assert drawn[0][0] == next(batches(files, 60, 2, 4, seed=1))[0] != next(batches(files, 60, 2, 4, seed=2))[0]


def test_examples_in_hand_are_lessons_without_checks() -> None:
    labels = ["a"] * 5 + ["b"] * 5 + ["c"] * 4
    made = lessons_of("ours", [f"text {n}" for n in range(14)], labels)
    assert made.texts[3] == "text 3" and list(made.labels) == labels and not made.check_texts
    assert made.sha256 != lessons_of("ours", [f"text {n}" for n in range(1, 15)], labels).sha256
    with pytest.raises(LessonsError, match="ours: needs two labels of 5 rows"):
        lessons_of("ours", made.texts[5:], labels[5:])


def test_tokens_are_left_out_but_never_the_first_or_the_last() -> None:
    random = np.random.default_rng(0)
    tokens = list(range(1000))
    less = thinned(tokens, 0.2, random)
    assert 750 < len(less) < 850 and less == sorted(less) and (less[0], less[-1]) == (0, 999)
    assert less != thinned(tokens, 0.2, random), "others each time"
    assert thinned(tokens, 0.0, random) == tokens
    assert thinned([7, 8], 1.0, random) == [7, 8] and thinned([7], 1.0, random) == [7]
    assert thinned(tokens[:5], 1.0, random) == [0, 4]


def test_shots_are_so_many_of_each_label() -> None:
    labels = np.array(["a"] * 9 + ["b"] * 2)
    assert sorted(labels[shots(labels, 4, 0)]) == ["a"] * 4 + ["b"] * 2


@pytest.mark.parametrize(
    ("inside", "outside", "wanted"), [([3, 4], [1, 2], 1), ([1], [2], 0), ([1, 2], [1, 2], 0.5), ([2, 0], [1], 0.5)]
)
def test_auroc_is_the_chance_that_inside_scores_higher(inside: list[int], outside: list[int], wanted: float) -> None:
    assert above(np.array(inside, np.float32), np.array(outside, np.float32)).mean() == wanted
