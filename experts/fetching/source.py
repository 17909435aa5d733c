"""Where weights come from: the three forms of a source, parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

CHUNK_BYTES = 1 << 20
"""Read and written at a time."""

PYPI = re.compile(r"pypi:(?P<package>[A-Za-z0-9][\w.-]*)==(?P<version>[A-Za-z0-9][\w.!+-]*)/(?P<member>.+)", re.ASCII)
HUB = re.compile(r"hf:(?P<owner>\w[\w.-]*)/(?P<repo>\w[\w.-]*)@(?P<revision>\w[\w.-]*)/(?P<file>.+)", re.ASCII)


@dataclass(frozen=True)
class WheelSource:
    """A file inside the wheel of a pinned package; the package is never imported."""

    package: str
    version: str
    member: str

    @property
    def filename(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.member).name


@dataclass(frozen=True)
class HubSource:
    """A file of a model repository at one revision."""

    owner: str
    repo: str
    revision: str
    file: str

    @property
    def filename(self) -> str:
        """The file's own name."""
        return PurePosixPath(self.file).name


@dataclass(frozen=True)
class LocalSource:
    """A file on this machine; relative paths start at the registry's folder."""

    path: str


Source = WheelSource | HubSource | LocalSource


def parse_source(text: str) -> Source:
    """Parse `pypi:PACKAGE==VERSION/PATH/IN/WHEEL`, `hf:OWNER/REPO@REVISION/FILE` or `file:PATH`.

    Raises ValueError with the form that was expected.
    """
    if match := PYPI.fullmatch(text):
        return WheelSource(match["package"], match["version"], _inside(match["member"]))
    if match := HUB.fullmatch(text):
        return HubSource(match["owner"], match["repo"], match["revision"], _inside(match["file"]))
    if text.startswith("file:") and text.removeprefix("file:").strip("\0"):
        return LocalSource(text.removeprefix("file:"))
    raise ValueError("must be pypi:PACKAGE==VERSION/PATH/IN/WHEEL, hf:OWNER/REPO@REVISION/FILE or file:PATH")


def _inside(path: str) -> str:
    """`path` itself when it stays where it starts. Raises ValueError."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or not path.isprintable():
        raise ValueError("the path of the file must be plain, without empty, `.` or `..` parts")
    return path
