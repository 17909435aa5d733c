"""The files of rows that docs/experts.md shows are files that can be loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from experts.answers import answer_rows
from experts.labels import labelled_rows
from experts.scripted import rules_of

PAGE = Path(__file__).parents[2] / "docs" / "experts.md"


@pytest.mark.parametrize(
    ("kind", "load"), [("answers", answer_rows), ("labels", labelled_rows), ("scripted", rules_of)]
)
def test_a_file_that_the_page_shows_can_be_loaded(
    tmp_path: Path, kind: str, load: Callable[[Path], list[object]]
) -> None:
    (shown,) = re.findall(rf"^`{kind}`: .*?^```json\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "rows.jsonl"
    file.write_text(shown)
    assert len(load(file)) == len(shown.splitlines())
