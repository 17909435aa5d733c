"""YAML text into plain values, each with the line it stands on.

Only what a settings file needs is understood: mappings with text keys, lists and plain scalars. Tags that build
objects are refused, and depth, aliases and size are limited before anything is built, so a hostile file costs
milliseconds (https://yaml.org/spec/1.1 describes the language; PyYAML resolves the scalars).
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from experts.reading.problems import Key, Problem
from experts.reading.yaml_syntax import syntax_problem

Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader where PyYAML was built with it; both give the same nodes."""

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_VALUES = 50_000
"""Values counted after every alias is written out."""

STANDARD = "tag:yaml.org,2002:"
SCALARS = frozenset(STANDARD + name for name in ("null", "bool", "int", "float", "str", "timestamp"))
NO_CHARACTER = re.compile(r"\\U(?!00(0\w|10))\w{8}")
"""An escape beyond the last character there is."""
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Unusable(Exception):
    """The text cannot be read at all; `problem` is the one reason."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


@dataclass
class Document:
    """A file's plain values, where they stand, and what was wrong with single ones."""

    raw: bytes
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, key: Key) -> int:
        """The line, from 1, of the value at `key`, or of the nearest section around it that is there."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 1)


def read_document(path: Path) -> Document:
    """Read and understand the file at `path`. Raises Unusable when no value can be had from it."""
    return understood(read_bytes(path))


def understood(raw: bytes) -> Document:
    """The values of a file with these bytes. Raises Unusable when none can be had from it."""
    document, root = Document(raw), compose(decode(raw))
    if root is None:
        raise Unusable(Problem((), "is empty", "start from the one that ships with Shoal"))
    if not isinstance(root, yaml.MappingNode):
        remedy = "begin it as the one that ships with Shoal begins"
        raise Unusable(Problem((), "must be `key: value` lines at the top", remedy, 1))
    document.data = _Builder(document).build(root, ())
    return document


def read_bytes(path: Path) -> bytes:
    """The file's bytes. Raises Unusable when it is missing, no regular file, unreadable or too large."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            what = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a regular file"
            raise Unusable(Problem((), what, "name the registry.yaml file itself"))
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Unusable(Problem((), "does not exist", "create it, or name another with --registry")) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unusable(Problem((), f"cannot be read ({reason})", "give this user read permission")) from error
    if len(raw) > MAX_BYTES:
        size = f"is too large: {max(found.st_size, len(raw)):,} bytes, {MAX_BYTES:,} allowed"
        raise Unusable(Problem((), size, "keep examples and answers in files of their own"))
    return raw


def decode(raw: bytes) -> str:
    """UTF-8 text, a byte order mark dropped. Raises Unusable on any other encoding or a control character."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unusable(Problem((), "is UTF-16 text", "save it as UTF-8"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unusable(Problem((), f"byte 0x{raw[error.start]:02x} is not UTF-8", "save it as UTF-8", line)) from error
    if odd := UNPRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        what = "holds a NUL byte" if odd[0] == "\0" else f"holds the control character U+{ord(odd[0]):04X}"
        raise Unusable(Problem((), what, "delete it", line))
    return text


def compose(text: str) -> Any:
    """The node at the root, None of an empty text. Raises Unusable on broken syntax or too much nesting."""
    try:
        _check_limits(text)
        return yaml.compose(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise Unusable(syntax_problem(error, text)) from error
    except (OverflowError, ValueError) as error:  # of PyYAML without libyaml
        what, remedy = r"has a \U in double quotes that is no character", "use single quotes, or write two backslashes"
        line = text.count("\n", 0, odd.start()) + 1 if (odd := NO_CHARACTER.search(text)) else None
        raise Unusable(Problem((), what, remedy, line)) from error


def _check_limits(text: str) -> None:
    """Refuse what is too deep or has too many aliases, on events, before a tree is built."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.AliasEvent):
            aliases += 1
        elif isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = event.start_mark.line + 1 if event.start_mark else None
        if depth > MAX_DEPTH:
            raise Unusable(Problem((), f"is nested more than {MAX_DEPTH} deep", "write it flatter", line))
        if aliases > MAX_ALIASES:
            raise Unusable(Problem((), f"has more than {MAX_ALIASES} aliases (*name)", "write the values out", line))


class _Builder:
    """Nodes into plain values; notes lines and problems in the document as it goes."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.scalars = SafeConstructor()
        self.count = 0

    def build(self, node: yaml.Node, key: Key) -> Any:
        self.count += 1
        line = node.start_mark.line + 1
        self.document.lines.setdefault(key, line)
        if self.count > MAX_VALUES or len(key) > MAX_DEPTH:
            what = f"unfolds to more than {MAX_VALUES:,} values through its aliases"
            raise Unusable(Problem((), what, "write the values out", line))
        if isinstance(node, yaml.MappingNode) and node.tag == STANDARD + "map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == STANDARD + "seq":
            return [self.build(item, (*key, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in SCALARS:
            return self._scalar(node, key)
        return self._refuse(key, f"the tag {_shown(node.tag)} is not allowed", "delete it, write a plain value", line)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if name_node.tag == STANDARD + "merge":
                self._refuse(key, "merge keys (<<) are not understood", "write the keys out", line)
            elif not isinstance(name_node, yaml.ScalarNode) or name_node.tag != STANDARD + "str":
                self._refuse(key, f"the key {_text(name_node)} is not text", "put it in quotes", line)
            elif name_node.value in values:
                first = self.document.lines[*key, name_node.value]
                remedy = "keep one of the two"
                self._refuse((*key, name_node.value), f"is written twice, first on line {first}", remedy, line)
            else:
                self.document.lines[*key, name_node.value] = line
                values[name_node.value] = self.build(value_node, (*key, name_node.value))
        return values

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        line = node.start_mark.line + 1
        try:
            value = self.scalars.construct_object(node)
            if isinstance(value, str):
                value.encode()
        except (ValueError, LookupError, AttributeError, yaml.YAMLError):
            kind = node.tag.removeprefix(STANDARD)
            return self._refuse(key, f"{_text(node)} cannot be read as {kind}", "correct it or put it in quotes", line)
        if isinstance(value, int) and value.bit_length() > 63:
            return self._refuse(key, "is too large a number", "put it in quotes if it is text", line)
        return value

    def _refuse(self, key: Key, what: str, remedy: str, line: int) -> None:
        self.document.problems.append(Problem(key, what, remedy, line))


def _text(node: yaml.Node) -> str:
    return repr(node.value[:40]) if isinstance(node, yaml.ScalarNode) else "that is a list or a section"


def _shown(tag: str) -> str:
    return ascii(tag.replace(STANDARD, "!!"))[1:-1][:60]
