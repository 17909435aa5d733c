"""One file over HTTP into a `.part` file that a later try continues."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from experts.errors import WeightsError
from experts.fetching.source import CHUNK_BYTES
from experts.progress import Progress

BACKOFF_S = (0.3, 1.0, 3.0)
"""Waits between tries that bring nothing new; a try that brought bytes starts the row again."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)


@dataclass(frozen=True)
class Remote:
    """What to fetch, how to speak of it, and what a user can do when it is not given."""

    url: str
    name: str
    refused: str
    """The remedy when the server answers 4xx."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """An Authorization header is dropped on a redirect to another origin."""
    size: int | None = None
    """Bytes the file must have, where known."""

    @property
    def place(self) -> str:
        """The URL as an error may show it: no user information, no query, which can hold signatures."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Cut(Exception):
    """This try failed in a way that another may not."""


async def download(remote: Remote, part: Path, progress: Progress) -> None:
    """Fetch `remote` into `part`, continuing what is there. The content is the caller's to verify.

    Raises WeightsError when the server refuses or tries run out (`part` is kept), OSError when writing fails.
    """
    waits = iter(BACKOFF_S)
    # Credentials from ~/.netrc, which pip reads too, may not meet a header of our own in aiohttp.
    netrc = "Authorization" not in remote.headers
    connector = aiohttp.TCPConnector(ssl=_tls())
    async with aiohttp.ClientSession(
        connector=connector, timeout=TIMEOUT, trust_env=netrc, requote_redirect_url=False
    ) as session:
        while True:
            before = _size(part)
            try:
                return await _attempt(session, remote, part, progress)
            except _Cut as cut:
                waits = iter(BACKOFF_S) if _size(part) > before else waits
                wait = next(waits, None)
                if wait is None:
                    raise WeightsError(_given_up(remote, part, cut)) from cut.__cause__
                progress.note(f"{remote.name}: {cut}; trying again in {wait:g} s")
                await asyncio.sleep(wait)
            finally:
                progress.finish()


async def _attempt(session: aiohttp.ClientSession, remote: Remote, part: Path, progress: Progress) -> None:
    done = _size(part)
    headers = {**remote.headers, "Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    try:
        async with session.get(URL(remote.url, encoded=True), headers=headers, proxy=_proxy(remote.url)) as response:
            if response.status == 416 and _is_whole(response, part):
                return
            _check_status(response, remote)
            start = _start(response, part)
            total = None if response.content_length is None else start + response.content_length
            _check_size(remote, total)
            _check_room(part.parent, (total or remote.size or 0) - start)
            progress.start(remote.name, start, total)
            await _receive(response, part, start, progress)
    except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
        remedy = "name your certificate authority's file in SSL_CERT_FILE, or correct the address"
        raise WeightsError(f"{remote.place}: {error}. Remedy: {remedy}.") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _Cut(_reason(error)) from error
    if remote.size and _size(part) < remote.size:
        raise _Cut("the server ended early")


async def _receive(response: aiohttp.ClientResponse, part: Path, start: int, progress: Progress) -> None:
    with part.open("ab" if start else "wb") as file:
        async for chunk in response.content.iter_chunked(CHUNK_BYTES):
            await asyncio.to_thread(file.write, chunk)
            progress.advance(len(chunk))


def _is_whole(response: aiohttp.ClientResponse, part: Path) -> bool:
    """Whether a 416 means that `part` is all there is; else what is there is of no use and begins anew."""
    if response.headers.get("Content-Range", "").strip() == f"bytes */{_size(part)}":
        return True
    part.unlink(missing_ok=True)
    raise _Cut("the server's file is another than the part that is here, starting over")


def _check_status(response: aiohttp.ClientResponse, remote: Remote) -> None:
    status = f"{response.status} {response.reason}"
    if response.status in (408, 429) or response.status >= 500:
        raise _Cut(f"the server answered {status}")
    if response.status not in (200, 206):
        raise WeightsError(f"{remote.place}: the server answered {status}. Remedy: {remote.refused}.")


def _start(response: aiohttp.ClientResponse, part: Path) -> int:
    """The offset the body begins at: the part's size when the server continues it, else 0."""
    if response.status == 200:
        return 0
    said = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not said or int(said[1]) != _size(part):
        part.unlink(missing_ok=True)
        raise _Cut("the server continued at another place than asked, starting over")
    return int(said[1])


def _check_size(remote: Remote, total: int | None) -> None:
    if remote.size and total is not None and total != remote.size:
        said = f"the server has {total:,} bytes, the registry says {remote.size:,}"
        raise WeightsError(f"{remote.place}: {said}. Remedy: correct the source, or its size_bytes and sha256.")


def _check_room(folder: Path, needed: int) -> None:
    """Better to refuse than to fill the disk the ledger lives on."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        said = f"{folder} needs {needed / 1e6:,.0f} MB more and has {free / 1e6:,.0f} MB free"
        raise WeightsError(f"{said}. Remedy: free space, or set SHOAL_DATA_DIR to a larger disk.")


def _given_up(remote: Remote, part: Path, cut: _Cut) -> str:
    kept = f"; {_size(part) / 1e6:,.1f} MB are kept" if _size(part) else ""
    return f"{remote.place}: {cut}{kept}. Remedy: check the network and run it again, it continues where it stopped."


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server went silent"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect ({error.os_error.strerror or error.os_error})"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return "the connection was cut"
    return f"the connection failed ({type(error).__name__})"


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _proxy(url: str) -> str | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY (or the system) name for `url`."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _tls() -> ssl.SSLContext:
    """The system's authorities (or SSL_CERT_FILE) and the one pip was told of, as both fetch the same files."""
    context = ssl.create_default_context()
    if extra := os.environ.get("PIP_CERT"):
        try:
            context.load_verify_locations(extra)
        except OSError as error:
            raise WeightsError(f"PIP_CERT: {extra} holds no certificates. Remedy: correct or unset it.") from error
    return context
