"""Another text of registry.yaml: beside it while it is checked, in its place when it is good, gone otherwise."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experts.errors import RegistryError
from experts.reading.yaml_nodes import MAX_BYTES


@contextmanager
def draft(path: Path, new: bytes) -> Iterator[Path]:
    """A file beside the registry, for relative paths start there; gone afterwards unless it was moved.

    Raises RegistryError; what is wrong with the draft is told of the registry itself.
    """
    if len(new) > MAX_BYTES:
        raise RegistryError([f"{path.name}: is larger than {MAX_BYTES:,} bytes. Remedy: make it smaller."])
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".registry-", suffix=".yaml")
    except OSError as error:
        remedy = "Remedy: give this user write permission on its folder."
        raise RegistryError([f"{path.name}: cannot be written ({error.strerror}). {remedy}"]) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    except RegistryError as error:
        raise RegistryError([each.replace(name, path.name) for each in error.problems]) from None
    finally:
        Path(name).unlink(missing_ok=True)


def put(draft: Path, path: Path) -> None:
    """Let a draft take the registry's place, whole and with its permissions."""
    draft.chmod(path.stat().st_mode & 0o777)
    draft.replace(path)
