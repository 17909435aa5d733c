from __future__ import annotations

import json
from pathlib import Path

import pytest

from experts.addition import FOLDER, Addition
from experts.errors import RegistryBlocked, RegistryError
from tests.router.meter.test_ledger_faults import small_disk

MODE = 0o640
TEXTS = ["prune roses", "Wann säe ich Möhren?\nUnd wo?"]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    path = tmp_path / "registry.yaml"
    path.touch(MODE)
    return path


def test_examples_lie_where_the_entry_says(registry: Path) -> None:
    addition = Addition.of({"id": "gardener"}, TEXTS)
    with addition.placed(registry):
        pass
    path = registry.parent / addition.entry["examples"]
    assert path.parent == registry.parent / FOLDER
    assert path.stat().st_mode & 0o777 == MODE, "whoever reads the registry reads its examples"
    assert list(path.parent.iterdir()) == [path]
    assert [json.loads(line)["input"] for line in path.read_text("utf-8").splitlines()] == TEXTS
    assert Addition.of({"id": "gardener"}, TEXTS[:1]).file != addition.file


def test_what_no_registry_has_room_for_is_refused_before_it_is_written() -> None:
    for huge in ({"z" * 1_000_000: 1}, {"description": "z" * 1_000_000}, {str(at): 1 for at in range(150_000)}):
        with pytest.raises(RegistryError, match="expert: is larger than 1,000,000 bytes"):
            Addition.of({"id": "gardener", **huge})


def test_a_character_that_nobody_sees_makes_other_examples_of_them(registry: Path) -> None:
    for examples in (["alpha", "beta"], ["alpha\0beta"]):
        addition = Addition.of({"id": "gardener"}, examples)
        with addition.placed(registry):
            pass
        text = (registry.parent / addition.entry["examples"]).read_text("utf-8")
        assert [json.loads(line)["input"] for line in text.splitlines()] == examples


def test_a_failure_takes_away_what_it_made_and_nothing_else(registry: Path) -> None:
    addition = Addition.of({"id": "gardener"}, TEXTS)
    with pytest.raises(KeyError), addition.placed(registry):
        raise KeyError
    assert list(registry.parent.iterdir()) == [registry]
    with addition.placed(registry):
        pass
    with pytest.raises(KeyError), addition.placed(registry):
        raise KeyError
    assert (registry.parent / addition.entry["examples"]).exists()


def test_what_is_passing_goes(registry: Path) -> None:
    addition = Addition.of({"id": "gardener"}, TEXTS, passing=True)
    with addition.placed(registry, passing=True):
        made = registry.parent / addition.entry["examples"]
        assert made.stat().st_mode & 0o777 == 0o600
    assert list(registry.parent.iterdir()) == [registry]


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "X", "x\n", 3, None, "x" * 65])
def test_a_name_that_is_none_drops_no_example_and_leads_nowhere_else(registry: Path, name: object) -> None:
    addition = Addition.of({"id": name}, TEXTS)
    with pytest.raises(KeyError), addition.placed(registry):
        made = registry.parent / addition.entry["examples"]
        assert made.resolve().parent == registry.parent / FOLDER
        assert [json.loads(line)["input"] for line in made.read_text("utf-8").splitlines()] == TEXTS
        raise KeyError  # what the registry's check has against the name
    assert list(registry.parent.iterdir()) == [registry]


def test_a_folder_that_cannot_be_made_is_told(registry: Path) -> None:
    (registry.parent / FOLDER).write_text("a file")
    with (
        pytest.raises(RegistryError, match=r"added/gardener-\w+\.jsonl: cannot be written"),
        Addition.of({"id": "gardener"}, TEXTS).placed(registry),
    ):
        pass
    assert (registry.parent / FOLDER).read_text() == "a file"


def test_a_volume_of_its_own_that_is_full_is_told_as_itself(registry: Path) -> None:
    added = registry.parent / FOLDER
    with small_disk(added):
        with pytest.raises(OSError, match="No space left"), (added / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        with pytest.raises(RegistryBlocked) as refused, Addition.of({"id": "gardener"}, TEXTS).placed(registry):
            pass
    said = f"cannot be written: {added}: No space left on device (0.0 MB free). Remedy: make room."
    assert str(refused.value).endswith(said)
