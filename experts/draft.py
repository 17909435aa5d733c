"""Another text of registry.yaml: beside it while it is checked, in its place when it is good, gone otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from experts.disk import blocked
from experts.errors import RegistryBlocked, RegistryError
from experts.passing import passing_file
from experts.reading.amendment import as_given
from experts.reading.yaml_nodes import MAX_BYTES

DRAFTS: Final = ".registry-????????.yaml"
"""What drafts are called."""


@contextmanager
def draft(path: Path, new: bytes, old: bytes | None = None) -> Iterator[Path]:
    """A file beside the registry, for relative paths start there; gone afterwards unless it was moved.

    Raises RegistryError; what is wrong with the draft is told of the registry itself. Where the draft is the `old` text
    with one more expert, it is told of the expert as it was given and of the old text, for nobody has seen the new.
    """
    if len(new) > MAX_BYTES:
        raise RegistryError([f"{path.name}: is larger than {MAX_BYTES:,} bytes. Remedy: make it smaller."])
    with ExitStack() as stack:
        try:
            made = stack.enter_context(passing_file(path.parent, ".registry-", new, ".yaml"))
        except OSError as error:
            raise unwritten(path.name, path.parent, error) from None
        try:
            yield made
        except RegistryError as error:
            told = [each.replace(str(made), path.name) for each in error.problems]
            raise type(error)([as_given(each, path.name, old, new) for each in told] if old else told) from None


def put(draft: Path, path: Path) -> None:
    """Let a draft take the registry's place, whole and with its permissions. Raises RegistryBlocked."""
    try:
        draft.chmod(path.stat().st_mode & 0o777)
        draft.replace(path)
    except OSError as error:
        raise unwritten(path.name, path.parent, error) from None


def unwritten(what: str, folder: Path, error: OSError) -> RegistryBlocked:
    """A file beside the registry could not be written into `folder`: what the disk has against it."""
    told = blocked(OSError(error.errno, error.strerror), folder, "")
    return RegistryBlocked([f"{what}: cannot be written: {told}."])
