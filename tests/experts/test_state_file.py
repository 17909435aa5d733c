"""Whatever became of a small file of ours, one kind of error says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from experts.state_file import MAX_BYTES, StateDamaged, number, read_state, sealed, whole_number


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text('{"looks": 3, "statistic": 0.25, "other": null}')
    state = read_state(path)
    assert (whole_number(state, "looks"), number(state, "statistic"), number(state, "looks")) == (3, 0.25, 3.0)
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "none.json")


def test_a_byte_that_is_another_is_damage_also_where_it_is_a_digit(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state = {"edition": 3, "statistic": 0.1 + 0.2, "sums": "AA==", "who": {"schön": [1, None, True]}}
    path.write_bytes(whole := sealed(state))
    assert read_state(path) == state
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            found = read_state(path)
        except StateDamaged:
            continue
        assert found.items() >= state.items(), f"byte {at} is another, and nobody noticed"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'{"a": %s}' % (b"1" * 5000), "is not JSON"),
        (b"[1]", "holds no JSON object"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": [NaN]}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": ' + b"[" * 100_000, "is nested too deeply"),
        (b" " * (MAX_BYTES + 1), "is larger than 1,000,000 bytes"),
    ],
)
def test_damage_is_told(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(StateDamaged, match=why):
        read_state(path)


def test_a_folder_in_its_place_is_damage(tmp_path: Path) -> None:
    with pytest.raises(StateDamaged, match="cannot be read: Is a directory"):
        read_state(tmp_path)


@pytest.mark.parametrize("value", [None, True, "1", 1.9, 1.0, -1, 2**53, [1]])
def test_what_is_no_whole_number_is_none(value: object) -> None:
    with pytest.raises(StateDamaged, match="'looks' is no whole number"):
        whole_number({"looks": value}, "looks")


@pytest.mark.parametrize("value", [None, False, "1", 10**400, {}])
def test_what_is_no_number_is_none(value: object) -> None:
    with pytest.raises(StateDamaged, match="'looks' is no number"):
        number({"looks": value}, "looks")
