"""What experts said is kept by the line, also after a run that was cut in the middle of one."""

from pathlib import Path

import orjson
import pytest

from eval.answers.asking import Memory, Said


def test_a_line_that_was_cut_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    path, said = tmp_path / "kept.jsonl", Said(text="yes", error="", usage={}, cpu_ns=None, latency_us=1000)
    Memory(path).read().keep("first", said)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    again = Memory(path).read()
    again.keep("second", said)
    again.keep("third", said)
    found = Memory(path).read()
    assert [found.get(key) for key in ("first", "second", "third")] == [said] * 3
    assert path.read_bytes().count(b"\n") == 4


@pytest.mark.parametrize(
    "harm",
    [b"null", b"7", b'"text"', b"[]", b"{}", {"text": 5}, {"text": None}, {"error": None}, {"key": 1}, {"usage": []},
     {"usage": {"tokens": 1}}, {"usage": {"input": "1"}}, {"cpu_ns": "1"}, {"latency_us": None}, {"more": 1},
     {"asked_on": 5}],
)  # fmt: skip
def test_a_line_that_is_no_answer_is_asked_again_and_stands_in_the_way_of_no_other(
    tmp_path: Path, harm: bytes | dict[str, object]
) -> None:
    path, said = tmp_path / "kept.jsonl", Said(text="yes", error="", usage={"input": 1}, cpu_ns=None, latency_us=1000)
    memory = Memory(path).read()
    memory.keep("first", said)
    line = path.read_bytes()
    path.write_bytes((orjson.dumps(orjson.loads(line) | harm) if isinstance(harm, dict) else harm) + b"\n")
    memory.keep("second", said)
    again = Memory(path).read()
    assert [again.get(key) for key in ("first", "second")] == [None, said]
    again.keep("first", said)
    assert Memory(path).read().get("first") == said


def test_a_line_of_an_earlier_version_which_kept_no_date_is_an_answer(tmp_path: Path) -> None:
    path, said = tmp_path / "kept.jsonl", Said(text="yes", error="", usage={}, cpu_ns=None, latency_us=1000)
    Memory(path).read().keep("first", said)
    row = orjson.loads(path.read_bytes())
    del row["asked_on"]
    path.write_bytes(orjson.dumps(row) + b"\n")
    assert Memory(path).read().get("first") == said
