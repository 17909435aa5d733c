"""What must hold of every file, whoever writes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FILE_LINES = 300
FUNCTION_LINES = 60

VAGUE = {"utils", "util", "helpers", "common", "base", "manager", "core", "misc"}
PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
SPEAKS = ("shoal/", "eval/", "experts/factory/")
"""Where standard output is the product: the command line, the evaluation, the scripts that make experts."""

# Put together here, so that this file does not hold what it looks for.
HOSTS = re.compile("|".join((r"(pypi|npmjs)[.](org|com)", "python" + "hosted", r"deb[.]" + "debian")))
PLACES = re.compile(r"(^|[^\w.])/(" + "|".join(("work", "farm", "root", "tmp/lab", "home/[a-z]+")) + ")/")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imported(tree: ast.Module) -> set[str]:
    """The top-level packages a module names in its imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_files_are_short(root: Path, modules: dict[str, ast.Module]) -> None:
    lengths = {name: len((root / name).read_text().splitlines()) for name in modules}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_are_short(modules: dict[str, ast.Module]) -> None:
    lengths = {
        f"{name}:{function.lineno} {function.name}": (function.end_lineno or 0) - function.lineno + 1
        for name, tree in modules.items()
        for function in functions(tree)
    }
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_names_say_what_a_module_is_about(modules: dict[str, ast.Module]) -> None:
    assert [name for name in modules if VAGUE & {part.removesuffix(".py").strip("_") for part in name.split("/")}] == []


def test_package_files_hold_no_code(modules: dict[str, ast.Module]) -> None:
    busy = [
        name
        for name, tree in modules.items()
        if name.endswith("__init__.py")
        and not all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body)
    ]
    assert busy == []


def test_only_commands_print_to_standard_output(modules: dict[str, ast.Module]) -> None:
    printing = [
        f"{name}:{node.lineno}"
        for name, tree in modules.items()
        if not name.startswith(SPEAKS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if "file" not in {keyword.arg for keyword in node.keywords}
    ]
    assert printing == []


def test_nothing_is_pickled(modules: dict[str, ast.Module]) -> None:
    assert [name for name, tree in modules.items() if imported(tree) & PICKLES] == []


def test_statements_number_no_placeholders(modules: dict[str, ast.Module]) -> None:
    """Python 3.12.0 to 3.12.3 take `?1` for a named placeholder and warn each time it is bound by place."""
    numbered = [
        f"{name}:{node.lineno}"
        for name, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"(=|\(|,|SELECT|<>) *\?[0-9]", node.value)
    ]
    assert numbered == []


@pytest.mark.parametrize("pattern", [HOSTS, PLACES], ids=["registry-hosts", "machine-paths"])
def test_files_name_no_machine(root: Path, files: list[Path], pattern: re.Pattern[str]) -> None:
    found = []
    for path in files:
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(root)}:{number}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    assert found == []
