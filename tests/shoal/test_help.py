"""What every command says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import click
import pytest
import typer
from typer.testing import CliRunner

from shoal.__main__ import app


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """A command and all below it."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


ALL = dict(commands(typer.main.get_command(app), "shoal"))


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_an_example_of_itself(path: str) -> None:
    example = (ALL[path].help or "").partition("Example: ")[2]
    assert path in example


@pytest.mark.parametrize("path", [path for path, command in ALL.items() if not getattr(command, "commands", {})])
def test_every_command_speaks_json(path: str) -> None:
    assert any("--json" in option.opts for option in ALL[path].params)


@pytest.mark.parametrize("path", ALL)
def test_no_word_of_help_is_taken_for_a_style(path: str) -> None:
    """The terminal's markup takes "[default: 5]" for a style and prints nothing of it."""
    texts = [ALL[path].help or "", *(getattr(option, "help", None) or "" for option in ALL[path].params)]
    assert [text for text in texts if re.search(r"\[[a-z#/@]", text)] == []


@pytest.mark.parametrize("path", ALL)
def test_a_paragraph_breaks_where_the_terminal_ends(path: str) -> None:
    """Not where the line of the source ended, which leaves every second line half empty at 80 columns."""
    width = 80
    shown = CliRunner().invoke(app, [*path.split()[1:], "--help"], env={"COLUMNS": str(width)}).stdout
    lines = [line.strip() for line in shown.partition("╭")[0].splitlines()]
    pairs = [(line, after) for line, after in pairwise(lines) if line and after]
    assert [line for line, after in pairs if len(line) + 1 + len(after.split()[0]) <= width - 2] == []


@pytest.mark.parametrize("path", ["shoal keys create", "shoal route"])
def test_a_text_that_looks_like_an_option_has_its_remedy_in_the_help(path: str) -> None:
    """It is taken for one, and the error points there."""
    refused = CliRunner().invoke(app, [*path.split()[1:], "-x"])
    assert refused.exit_code == 2 and f"{path.removeprefix('shoal ')} --help'" in refused.output
    (argument,) = (each for each in ALL[path].params if each.param_type_name == "argument")
    assert "Put -- before one that begins with -." in str(getattr(argument, "help", ""))


def test_there_are_all_of_them() -> None:
    assert {"shoal serve", "shoal keys create", "shoal eval labels", "shoal learn try"} < set(ALL)
