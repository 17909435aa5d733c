"""JSON that is taken, and JSON that is not; whatever is taken is what Python's own parser reads."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.api.strict_json import LARGE_BYTES, MAX_CONTAINERS, MAX_DEPTH, MAX_KEYS, MAX_VALUES, NotStrictJson, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from([":", '"', "\\", '":', "[{", "a: b", "\0"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


@given(VALUES, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
def test_what_json_says_is_taken(value: Any, ascii_only: bool, separators: tuple[str, str]) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    assert parse(body) == value


@given(st.dictionaries(TEXT, TEXT, min_size=1, max_size=6), st.data())
def test_a_key_that_comes_twice_is_found(value: dict[str, str], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(sorted(value)))
    ascii_only = data.draw(st.booleans())
    whole = json.dumps(value, ensure_ascii=ascii_only)[:-1] + ", " + json.dumps(again) + " : 1}"
    nested = data.draw(st.sampled_from(["%s", "[%s]", '{"x": [{"y": %s}]}', '{"\\u003a": ":", "z": %s}']))
    with pytest.raises(NotStrictJson, match="twice"):
        parse((nested % whole).encode())


def test_an_escaped_colon_hides_no_key() -> None:
    with pytest.raises(NotStrictJson, match="twice"):
        parse(b'{"a":1,"a":2,"b":"\\u003a"}')
    assert parse(b'{"a":1,"b":"\\u003a"}') == {"a": 1, "b": ":"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"NaN", b'{"a":Infinity}', b'{"a":-Infinity}', b"[1,]", b"{'a':1}", b"1e999", b"9" * 6000,
        b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xff"', b"\xef\xbb\xbf{}", b'"\x00"',
        '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-be"), '{"a":1}'.encode("utf-32"), b'{"a":1}{"b":2}', b"01",
        b"+1", b".5", b"0x10", b"// x\n{}", b'"\\x41"', b'"a\nb"',
    ],
)  # fmt: skip
def test_what_is_no_json_is_not_taken(body: bytes) -> None:
    with pytest.raises(NotStrictJson):
        parse(body)


def test_what_is_odd_but_json_is_taken() -> None:
    assert parse(b'"\\u0000"') == "\0"
    assert parse(b"18446744073709551616") == 18446744073709551616.0
    assert parse(b"-0.0") == 0
    assert parse('"\\ud83d\\ude00 é 🐟"'.encode()) == "\U0001f600 é 🐟"


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize(
    ("depth", "taken"), [(MAX_DEPTH, True), (MAX_DEPTH + 1, False), (1_100, False), (100_000, False)]
)
def test_depth(pair: tuple[bytes, bytes], depth: int, taken: bool) -> None:
    body = pair[0] * depth + (b"" if pair[0] == b"[" else b"1") + pair[1] * depth
    if taken:
        assert orjson.dumps(parse(body)) == body
    else:
        with pytest.raises(NotStrictJson):
            parse(body)


def test_brackets_in_strings_do_not_count() -> None:
    code = "{[" * 2_000_000 + '\\"[['
    assert parse(json.dumps({"content": code}).encode()) == {"content": code}


def test_a_flood_of_tiny_values() -> None:
    assert len(parse(b"[" + b"[]," * (MAX_CONTAINERS - 2) + b"[]]")) == MAX_CONTAINERS - 1
    with pytest.raises(NotStrictJson, match="more than"):
        parse(b"[" + b"[]," * MAX_CONTAINERS + b"[]]")
    with pytest.raises(NotStrictJson, match="more than"):
        parse(b"{" + b",".join(b'"%d":0' % key for key in range(MAX_KEYS + 1)) + b"}")
    assert len(parse(b"[" + b"1," * (MAX_VALUES - 1) + b"1]")) == MAX_VALUES
    with pytest.raises(NotStrictJson, match="more than 1,000,000 values"):
        parse(b"[" + b"1," * MAX_VALUES + b"1]")


@given(VALUES, st.integers(-9, 9), st.booleans(), st.text('a\\"{:', max_size=9))
def test_a_large_body_is_read_as_a_small_one_is(value: Any, shift: int, ascii_only: bool, edge: str) -> None:
    whole = {"pad": "x" * (LARGE_BYTES - 9 + shift) + edge, "value": value, "again": "\\" * (LARGE_BYTES + shift)}
    body = json.dumps(whole, ensure_ascii=ascii_only).encode()
    assert parse(body) == whole
    with pytest.raises(NotStrictJson, match="twice"):
        parse(body[:-1] + b',"v\\u0061lue":1}')


@pytest.mark.parametrize(("pairs", "taken"), [(MAX_DEPTH // 2, True), (MAX_DEPTH // 2 + 1, False)])
def test_depth_counts_objects_and_arrays_alike(pairs: int, taken: bool) -> None:
    body = b'{"a":[' * pairs + b"]}" * pairs
    if taken:
        parse(body)
    else:
        with pytest.raises(NotStrictJson, match="deeper than 64"):
            parse(body)
