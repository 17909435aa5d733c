"""One expert more or less in the text of registry.yaml, with every other line and comment left as it is. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from experts.errors import RegistryError
from experts.reading.yaml_nodes import Unusable, compose, decode

REMEDY = "Remedy: write `experts:` as one item a line, each after `- `, or send the whole registry."


def amended(raw: bytes, amend: Callable[[str], str], name: str) -> bytes:
    """What `amend` makes of the registry in `raw`; `name` is its file's. Raises RegistryError when it is unreadable."""
    try:
        return amend(decode(raw)).encode()
    except Unusable as error:
        raise RegistryError([error.problem.text(name)]) from None


def with_expert(text: str, expert: Mapping[str, Any]) -> str:
    """The text with one more expert, the last.

    Raises RegistryError when its list cannot be added to, Unusable when the text is no YAML.
    """
    nodes = _items(text)
    column = nodes[0].start_mark.column - 2
    lines = _lines(text)
    said = [dict(expert)]
    body = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=1000, line_break=_line_break(text))
    end = _last_line(nodes[-1]) + 1
    return "".join([*lines[:end], *(" " * column + line for line in body.splitlines(keepends=True)), *lines[end:]])


def as_given(problem: str, name: str, old: bytes, new: bytes) -> str:
    """A problem of the `new` text that `with_expert` made of the `old`; `name` is the file's, which says the old yet.

    Of the expert that was added it is told by key alone, `expert.url: ...`, and of others by their lines in the old.
    """
    text = decode(old)
    nodes, more = _items(text), len(_lines(decode(new))) - len(_lines(text))
    found = re.match(rf"{re.escape(name)}:(\d+): (experts\[{len(nodes)}\])?", problem)
    if found is None:
        return problem
    line, rest = int(found[1]), problem[found.end() :]
    if found[2]:
        return f"expert{rest}"
    return f"{name}:{line - more if line > _last_line(nodes[-1]) + 1 else line}: {rest}"


def without_expert(text: str, expert_id: str) -> str | None:
    """The text without an expert; None when it has no such one. Raises as `with_expert`."""
    for node in _items(text):
        if _value(node, "id") == expert_id:
            lines = _lines(text)
            return "".join([*lines[: node.start_mark.line], *lines[_last_line(node) + 1 :]])
    return None


def _items(text: str) -> list[Any]:
    """The nodes of the experts, which are written one after the other."""
    root = compose(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    node = next((value for key, value in pairs if key.value == "experts"), None)
    items = node.value if isinstance(node, yaml.SequenceNode) and not node.flow_style else ()
    if items and all(isinstance(each, yaml.MappingNode) and not each.flow_style for each in items):
        return list(items)
    raise RegistryError([f"experts: is not a list that one expert can be added to or taken from. {REMEDY}"])


def _value(node: Any, name: str) -> str | None:
    return next((str(value.value) for key, value in node.value if key.value == name), None)


def _last_line(node: Any) -> int:
    """The line on which a node's last value ends; what is written below belongs to the next."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        mark = node.end_mark
        # A block of text ends where the next line begins.
        return int(mark.line if mark.column else mark.line - 1)
    values = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return _last_line(values[-1]) if values else int(node.end_mark.line)


def _lines(text: str) -> list[str]:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += _line_break(text)
    return lines


def _line_break(text: str) -> str:
    """As the first line ends, for whoever edits the file may write them as Windows does."""
    return "\r\n" if text.partition("\n")[0].endswith("\r") else "\n"
