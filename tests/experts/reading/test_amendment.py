from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experts.errors import RegistryError
from experts.reading.amendment import as_given, with_expert, without_expert

TEXT = """\
# What this is.
version: 1
experts:  # from small to large
  # the poet
  - id: poet
    description: |
      Writes poems,
      long ones too.
    params_b: 0.1   # small
    capabilities: [stream]

  # the cook
  - id: cook
    price: {input_usd_per_mtok: 1}
    nested:
      - a
      - b
# the end
grid_zone: WOR
"""

MORE = {"id": "gardener", "kind": "scripted", "description": "Knows: plants", "capabilities": ["stream"]}


def test_an_expert_is_added_at_the_end_and_every_line_stays() -> None:
    found = with_expert(TEXT, MORE)
    assert [line for line in TEXT.splitlines() if line not in found.splitlines()] == []
    assert yaml.safe_load(found)["experts"] == [*yaml.safe_load(TEXT)["experts"], MORE]
    assert found.index("- b\n") < found.index("id: gardener") < found.index("# the end")


def test_a_problem_is_told_of_what_was_given_and_of_the_lines_before_it_was_added() -> None:
    new = with_expert(TEXT, MORE)

    def told(line: str, problem: str) -> str:
        return as_given(f"r.yaml:{new.splitlines().index(line) + 1}: {problem}", "r.yaml", TEXT.encode(), new.encode())

    assert told("    kind: scripted", "experts[2].kind: is odd") == "expert.kind: is odd"
    assert told("  - id: gardener", "experts[2]: is odd") == "expert: is odd"
    assert told("  - id: poet", "experts[0].id: is odd") == "r.yaml:5: experts[0].id: is odd"
    assert told("      - b", "experts[1].nested: is odd") == "r.yaml:17: experts[1].nested: is odd"
    assert told("grid_zone: WOR", "grid_zone: is odd") == "r.yaml:19: grid_zone: is odd"
    for problem in ("other.yaml:40: experts[2].id: is odd", "r.yaml: cannot be read"):
        assert as_given(problem, "r.yaml", TEXT.encode(), new.encode()) == problem


def test_a_file_whose_lines_end_as_windows_writes_them_stays_one() -> None:
    text = TEXT.partition("# the end")[0].rstrip()  # the last line has no end
    found = with_expert(text.replace("\n", "\r\n"), MORE)
    assert found.replace("\r\n", "\n") == with_expert(text, MORE)
    assert found.count("\r\n") == found.count("\n")


@pytest.mark.parametrize(("name", "other"), [("poet", "cook"), ("cook", "poet")])
def test_an_expert_is_taken_away_and_the_others_stay(name: str, other: str) -> None:
    found = without_expert(TEXT, name)
    assert found is not None
    assert [each["id"] for each in yaml.safe_load(found)["experts"]] == [other]
    assert f"# the {other}" in found
    assert "# the end" in found


def test_one_that_is_not_there_is_none() -> None:
    assert without_expert(TEXT, "nobody") is None


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=40))
def test_whatever_it_says_comes_back(words: str) -> None:
    added = with_expert(TEXT, {"id": "x", "description": words})
    assert yaml.safe_load(added)["experts"][-1] == {"id": "x", "description": words}
    taken = without_expert(added, "x")
    assert taken is not None
    assert yaml.safe_load(taken) == yaml.safe_load(TEXT)


def test_the_shipped_registry_takes_one_and_gives_it_back() -> None:
    text = (Path(__file__).parents[3] / "registry.yaml").read_text()
    added = with_expert(text, MORE)
    assert yaml.safe_load(added)["experts"][-1] == MORE
    assert without_expert(added, "gardener") == text


@pytest.mark.parametrize(
    "text", ["experts: []\n", "experts: [{id: a}]\n", "experts:\n  - {id: a}\n", "version: 1\n", "x"]
)
def test_a_list_written_otherwise_is_left_to_its_owner(text: str) -> None:
    with pytest.raises(RegistryError, match="Remedy: write `experts:` as one item a line"):
        with_expert(text, MORE)
