"""Rows of the catalogue's files are checked all at once, each problem with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from experts.errors import RegistryError
from experts.rows import numbered_rows, read_rows


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.jsonl"


def problems(file: Path, text: str | bytes) -> list[str]:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RegistryError) as refused:
        read_rows(file, {"input": str, "tags": list})
    assert all("\n" not in problem and "Remedy: " in problem for problem in refused.value.problems)
    return [problem.removeprefix(f"{file}:") for problem in refused.value.problems]


def test_good_rows_come_in_order_with_their_lines(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf{"input":"a","tags":["x"]}\r\n\n  \n{"input":"b","tags":["y","z"],"more":1}')
    first, second = {"input": "a", "tags": ["x"]}, {"input": "b", "tags": ["y", "z"], "more": 1}
    assert numbered_rows(file, {"input": str, "tags": list}) == [(1, first), (4, second)]
    assert read_rows(file, {}) == [first, second]
    file.write_bytes(gzip.compress(file.read_bytes()))
    assert read_rows(file, {}) == [first, second], "gzipped, whatever its name"


def test_the_same_key_in_several_objects_and_colons_written_otherwise_are_fine(file: Path) -> None:
    file.write_text('{"input":"a\\u003a:","big":{"s":{"v":1}},"small":{"s":{"v":%s}}}' % ("1" * 300 + ".5"))
    assert read_rows(file, {"input": str})[0]["input"] == "a::"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"tags":["x"]}', "input is missing"),
        ('{"input":7,"tags":["x"]}', "input must be a text"),
        ('{"input":" ","tags":["x"]}', "input must be a text that is not empty"),
        ('{"input":"a","tags":"x"}', "tags must be a list"),
        ('{"input":"a","tags":[]}', "tags must be a list"),
        ('{"input":"a","tags":["x",""]}', "tags must be a list"),
        ('{"input":"a","tags":[1]}', "tags must be a list"),
        ('{"input":"\\ud800","tags":["x"]}', "is not JSON"),
        ('{"input":NaN,"tags":["x"]}', "is not JSON (it has no NaN or Infinity, as at column 10)"),
        ('{"input":"a","tags":["x"],"m":-Infinity}', "is not JSON (it has no NaN or Infinity, as at column 32)"),
        ('{"input":"a","tags":["x"],"input":"b"}', "the key 'input' is given twice in one object"),
        ('{"input":"a:b","tags":["x"],"m":[{"s":{"v":1,"\\u0076":2.5}}]}', "the key 'v' is given twice in one object"),
        ('{"input":"a","tags":["x"],"m":' + "[" * 300 + "]" * 300 + "}", "is nested too deep for its keys to be"),
        ('{"input":"a\\u003ab","tags":["x"],"tags":["y"]}', "the key 'tags' is given twice in one object"),
    ],
)
def test_a_bad_row_is_named(file: Path, row: str, what: str) -> None:
    (problem,) = problems(file, f'{{"input":"ok","tags":["x"]}}\n\n{row}\n')
    assert problem.startswith(f"3: {what}")


def test_all_problems_come_at_once(file: Path) -> None:
    found = problems(file, b'{"input":1}\nnonsense\n\xff\n{"input":"a","tags":["x"]}')
    assert [problem[:2] for problem in found] == ["1:", "1:", "2:", "3:"]


def test_a_file_without_rows_or_no_file_is_refused(file: Path) -> None:
    assert problems(file, "\n\n")[0].startswith(" has no rows")
    file.unlink()
    with pytest.raises(RegistryError, match="cannot be read"):
        read_rows(file, {})


def test_a_file_of_plain_lines_is_one_problem_not_one_a_line(file: Path) -> None:
    """Each of a thousand lines was "not JSON", with the remedy to correct or remove it."""
    plain = "".join(f"where is order {at}\n" for at in range(1000))
    wanted = "Remedy: write one JSON object a line, with input, tags."
    assert problems(file, plain) == [f" none of its 1,000 lines is a JSON object. {wanted}"]
    assert len(problems(file, plain + '{"input":"a","tags":["x"]}\n')) == 1000
