"""The locks pin everything the project asks for, by hash, and name no place to get it from."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAVY = {"torch", "transformers", "sentence-transformers", "llama-cpp-python", "scikit-learn", "scipy", "uv"}

LIGHT = ("dev", "eval", "nvidia", "otel", "parquet")
"""The extras that tests need; `LIGHT` in the Makefile."""


@dataclass(frozen=True)
class Pin:
    """One requirement of a lock and the hashes of its files."""

    requirement: Requirement
    hashes: frozenset[str]

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version


def read_lock(path: Path) -> dict[str, list[Pin]]:
    """Package -> its pins, several when the version depends on the platform or the Python."""
    pins: dict[str, list[Pin]] = {}
    text = re.sub(r"(?m)^\s*#.*\n", "", path.read_text()).replace("\\\n", " ")
    for line in text.splitlines():
        words, *hashes = line.split(" --hash=")
        pin = Pin(Requirement(words.strip()), frozenset(each.strip() for each in hashes))
        pins.setdefault(canonicalize_name(pin.requirement.name), []).append(pin)
    return pins


@pytest.fixture(scope="module")
def locks(root: Path) -> dict[str, dict[str, list[Pin]]]:
    return {name: read_lock(root / "requirements" / f"{name}.txt") for name in ("serve", "test")}


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for, by the lock that must hold it."""
    table = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    serve = table["dependencies"]
    light = [each for extra in LIGHT for each in table["optional-dependencies"][extra]]
    asked = {"serve": serve, "test": serve + light}
    return {name: [Requirement(each) for each in each_lock] for name, each_lock in asked.items()}


@pytest.mark.parametrize("name", ["serve", "test"])
class TestLock:
    def test_every_pin_has_hashes(self, locks: dict[str, dict[str, list[Pin]]], name: str) -> None:
        pins = [pin for each in locks[name].values() for pin in each]
        assert pins
        for pin in pins:
            assert pin.hashes, pin.requirement
            assert all(re.fullmatch("sha256:[0-9a-f]{64}", each) for each in pin.hashes), pin.requirement

    def test_no_place_is_named(self, root: Path, name: str) -> None:
        text = (root / "requirements" / f"{name}.txt").read_text()
        assert not re.search(r"://|index-url|find-links|^-|^/| @ ", text, re.MULTILINE)

    def test_all_that_is_asked_for_is_pinned_within_its_bounds(
        self, locks: dict[str, dict[str, list[Pin]]], project: dict[str, list[Requirement]], name: str
    ) -> None:
        for asked in project[name]:
            pins = locks[name].get(canonicalize_name(asked.name), [])
            assert pins, f"{asked} is not in requirements/{name}.txt: make lock"
            assert all(pin.version in asked.specifier for pin in pins), f"{asked} against {pins}: make lock"

    def test_nothing_heavy_came_along(self, locks: dict[str, dict[str, list[Pin]]], name: str) -> None:
        assert HEAVY & locks[name].keys() == set()


def test_what_is_tested_is_what_is_served(locks: dict[str, dict[str, list[Pin]]]) -> None:
    def pinned(name: str) -> dict[str, set[tuple[str, frozenset[str]]]]:
        return {package: {(pin.version, pin.hashes) for pin in pins} for package, pins in locks[name].items()}

    assert pinned("serve").items() <= pinned("test").items()


def test_every_bound_has_a_cap(project: dict[str, list[Requirement]]) -> None:
    for asked in project["test"]:
        assert {specifier.operator for specifier in asked.specifier} == {">=", "<"}, asked
