"""Broken YAML is told with its line, its column and what to do, in words that are not PyYAML's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from experts.reading import yaml_nodes
from experts.reading.yaml_nodes import Unusable, understood

AFTER = "more text after the end of a value. Remedy: put the whole value into quotes that it does not hold, close every"
MISSING = "a value is missing, or a sign is here that none may start with. Remedy: write the value, in quotes if"


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """libyaml's, and the one that PyYAML has where it was built without."""
    monkeypatch.setattr(yaml_nodes, "Loader", getattr(yaml, request.param))


def why(text: str) -> str:
    with pytest.raises(Unusable) as caught:
        understood(text.encode())
    return caught.value.problem.text("f.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "f.yaml:2: column 4: a [ opens here and never closes. Remedy: close it with ]"),
        ("a: 1\nb: {x: 1\nc: 3\n", "f.yaml:2: column 4: a { opens here and never closes. Remedy: close it with }"),
        ('a: 1\nb: "abc\nc: 3\n', "f.yaml:2: column 4: a quote opens here and never closes. Remedy: close it"),
        ("a: 1\nb: 'abc\nc: 3\n", "f.yaml:2: column 4: a quote opens here and never closes. Remedy: close it"),
        ("a: 1\nb: [1, 2]]\n", f"f.yaml:2: column 10: {AFTER}"),
        ("a: 'it's'\nb: 2\n", f"f.yaml:1: column 8: {AFTER}"),
        ('a: "say "hi" now"\n', f"f.yaml:1: column 10: {AFTER}"),
        ("a: [x] y\n", f"f.yaml:1: column 8: {AFTER}"),
        ("a: ]\n", f"f.yaml:1: column 4: {MISSING}"),
        ("a: , b\n", f"f.yaml:1: column 4: {MISSING}"),
        ("a: [1,\n", "f.yaml:2: column 1: the text ends where a [ or { is open. Remedy: close it with ] or }"),
        ("a: [,]\n", f"f.yaml:1: column 5: {MISSING}"),
        ("a: 1\nb\nc: 3\n", "f.yaml:2: column 1: a key with no `:` after it. Remedy: write `key: value`"),
        ("a: **bold**\n", "f.yaml:1: column 5: a value that begins with * is taken for an alias. Remedy: put the"),
        ("a: & x\n", "f.yaml:1: column 5: a value that begins with & is taken for an anchor. Remedy: put the value"),
        ("a: &x 1\nb: &x 2\n", "f.yaml:2: column 4: an anchor (&name) of this name is there already. Remedy: give"),
        ("a: !<x y\n", "f.yaml:1: column 7: a value that begins with ! is taken for a tag. Remedy: put the value in"),
        ("a: !e!x y\n", "f.yaml:1: column 4: a value that begins with ! is taken for a tag. Remedy: put the value"),
        ("a: |x\n  b\n", "f.yaml:1: column 5: text after a | or >. Remedy: begin the text on the next line, or put"),
        ("a: - x\n", "f.yaml:1: column 4: a list begins in the middle of a line. Remedy: begin each `- ` on a line"),
        ("a: 1\n...\nb: 2\n", "f.yaml:3: column 1: a second document begins here. Remedy: delete the `...` line"),
        ("%x: 1\n", "f.yaml:1: column 3: a line that begins with % is taken for a directive. Remedy: delete it, or"),
        ("%YAML 3.0\n---\na: 1\n", "f.yaml:1: column 1: another version of YAML is asked for. Remedy: delete the"),
        ("a:\n    b: 1\n  c: 2\n", "f.yaml:3: column 3: this line does not fit the keys above it. Remedy: indent it"),
    ],
)
def test_broken_yaml_is_told_in_plain_words(text: str, said: str) -> None:
    assert why(text).startswith(said)


@pytest.mark.parametrize("text", [r'a: "C:\dir"', r'a: "\xZZ"', r'a: "\UFFFFFFFF"', r'a: "\U00110000"'])
def test_a_backslash_in_double_quotes_has_its_remedy(text: str) -> None:
    """PyYAML without libyaml ended in an OverflowError."""
    assert "f.yaml:1: " in why(text)
    assert why(text).endswith(" Remedy: use single quotes, or write two backslashes.")
