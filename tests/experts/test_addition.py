from __future__ import annotations

import json
from pathlib import Path

import pytest

from experts.addition import FOLDER, Addition
from experts.errors import RegistryError

TEXTS = ["prune roses", "Wann säe ich Möhren?\nUnd wo?"]


def test_examples_lie_where_the_entry_says(tmp_path: Path) -> None:
    addition = Addition.of({"id": "gardener"}, TEXTS)
    with addition.placed(tmp_path):
        pass
    path = tmp_path / addition.entry["examples"]
    assert path.parent == tmp_path / FOLDER
    assert [json.loads(line)["input"] for line in path.read_text("utf-8").splitlines()] == TEXTS
    assert Addition.of({"id": "gardener"}, TEXTS[:1]).file != addition.file


def test_a_character_that_nobody_sees_makes_other_examples_of_them(tmp_path: Path) -> None:
    for examples in (["alpha", "beta"], ["alpha\0beta"]):
        addition = Addition.of({"id": "gardener"}, examples)
        with addition.placed(tmp_path):
            pass
        text = (tmp_path / addition.entry["examples"]).read_text("utf-8")
        assert [json.loads(line)["input"] for line in text.splitlines()] == examples


def test_a_failure_takes_away_what_it_made_and_nothing_else(tmp_path: Path) -> None:
    addition = Addition.of({"id": "gardener"}, TEXTS)
    with pytest.raises(KeyError), addition.placed(tmp_path):
        raise KeyError
    assert not list(tmp_path.iterdir())
    with addition.placed(tmp_path):
        pass
    with pytest.raises(KeyError), addition.placed(tmp_path):
        raise KeyError
    assert (tmp_path / addition.entry["examples"]).exists()


def test_what_is_passing_goes(tmp_path: Path) -> None:
    addition = Addition.of({"id": "gardener"}, TEXTS, passing=True)
    with addition.placed(tmp_path, passing=True):
        assert (tmp_path / addition.entry["examples"]).exists()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "X", 3, None, "x" * 65])
def test_a_name_that_is_none_makes_no_file(tmp_path: Path, name: object) -> None:
    addition = Addition.of({"id": name}, TEXTS)
    assert addition.entry == {"id": name}
    with addition.placed(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file")
    with (
        pytest.raises(RegistryError, match=r"added/gardener-\w+\.jsonl: cannot be written"),
        Addition.of({"id": "gardener"}, TEXTS).placed(tmp_path),
    ):
        pass
    assert (tmp_path / FOLDER).read_text() == "a file"
