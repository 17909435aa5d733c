"""What experts said is kept by the line, also after a run that was cut in the middle of one."""

from pathlib import Path

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
