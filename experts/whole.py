"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from experts.passing import passing_file

DRAFT: Final = ".draft-"
"""What the name of a file that is not whole yet begins with."""

LEFT: Final = f"{DRAFT}????????"
"""What may be left in a folder by a process that was killed."""


def write_whole(path: Path, content: bytes) -> None:
    """On the disk when this returns, readable by its owner only; of a try that fails nothing is left.

    Raises OSError, which names the file.
    """
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with passing_file(path.parent, DRAFT, content) as draft:
            draft.replace(path)


@contextmanager
def whole_folder(folder: Path, *names: str) -> Iterator[Path]:
    """Where to write the files of these names: once all are there they are in `folder`, moved in this order.

    Of a try that fails or is interrupted nothing is left. Raises OSError, which names the folder.
    """
    made = not folder.exists()
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with TemporaryDirectory(dir=folder, prefix=DRAFT) as draft:
                yield Path(draft)
                for name in names:
                    Path(draft, name).replace(folder / name)
        except BaseException:
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise


def try_writing(folder: Path, content: bytes) -> None:
    """Write this to a file in a folder and take it away again, before work that is lost where it cannot be kept.

    Raises OSError, which names the folder.
    """
    with _naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with passing_file(folder, DRAFT, content):
            pass


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
