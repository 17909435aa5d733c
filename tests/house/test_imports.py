"""What starting the service may load, and which modules are pure."""

from __future__ import annotations

import site
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HEAVY = (
    "torch", "transformers", "sentence_transformers", "sklearn", "scipy", "pandas", "onnxruntime", "xllamacpp",
    "fastapi",
)  # fmt: skip
"""FastAPI was a quarter of what a start loads, for a class that Starlette has (ADR 0058)."""

PURE = (
    "router.decide", "router.escalate", "router.meter.coefficients", "router.meter.cost", "router.meter.counterfactual",
    "router.ladder", "router.meter.compared", "router.meter.holdback", "router.meter.savings", "router.meter.units",
    "router.meter.scale", "router.meter.segment", "router.meter.segment_sums", "router.prompt", "eval.answers.ways",
    "eval.metrics", "eval.scorers", "eval.worlds", "router.learn.intake", "router.meter.estimate",
    "router.meter.doubt", "router.own_words",
)  # fmt: skip
"""Modules that do no IO; the last of pyproject's import contracts holds those that are there to it."""

OUR_PTH = {"shoal.pth", "_editable_impl_shoal.pth"}
"""The bootstrap's, and pip's once an extra was installed as docs/reference.md says: both only name the clone."""
PYTHONS_PTH = {"distutils-precedence.pth"}
"""setuptools brings it, and Python 3.11 brings setuptools."""


def test_serving_loads_nothing_heavy(root: Path) -> None:
    code = f"import sys, router.app; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")


def test_every_pure_module_is_held_to_it(root: Path) -> None:
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (pure,) = (contract for contract in contracts if contract["name"] == "Pure modules do no IO")
    paths = {name: root / name.replace(".", "/") for name in PURE}
    there = [name for name, path in paths.items() if path.is_dir() or path.with_suffix(".py").exists()]
    assert sorted(pure["source_modules"]) == sorted(there)


def test_no_package_runs_code_at_every_start(root: Path) -> None:
    found = {path.name: path for folder in site.getsitepackages() for path in Path(folder).glob("*.pth")}
    assert set(found) <= OUR_PTH | PYTHONS_PTH
    for name in OUR_PTH & set(found):
        assert set(found[name].read_text().split("\n")) - {""} == {str(root)}


@pytest.mark.parametrize("package", ["shoal", "eval", "router", "experts"])
def test_package_is_found_from_the_clone(root: Path, package: str) -> None:
    module = __import__(package)
    assert Path(module.__file__ or "").parent == root / package
