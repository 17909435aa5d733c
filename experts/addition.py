"""One more expert with its examples: the file they go to beside the registry, and what the registry then says.

The file's name is made here, of the id and a hash of the examples, so nothing that is there is ever written over.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from experts.digest import digest_of
from experts.errors import RegistryError

FOLDER: Final = "added"
"""Beside the registry: where examples lie that came with an expert."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
"""What an expert may be called; checking the registry says what is wrong with any other name."""


@dataclass(frozen=True, slots=True)
class Addition:
    """An expert that is to be added."""

    expert: Mapping[str, Any]
    """As it stands under `experts` in the registry."""
    examples: tuple[str, ...] = ()
    """Requests it answers well; none when the expert names a file, or has none."""
    file: str | None = None
    """Where they go, from the registry's folder."""

    @classmethod
    def of(cls, expert: Mapping[str, Any], examples: Sequence[str] = (), *, passing: bool = False) -> Self:
        """`passing`: the examples go to a file of their own that nobody else uses. Raises RegistryError."""
        if not examples:
            return cls(expert)
        if "examples" in expert:
            raise RegistryError(["examples: are given, and the expert names a file of them. Remedy: leave out one."])
        name = expert.get("id")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            return cls(expert)
        own = f".passing-{secrets.token_hex(8)}" if passing else f"{name}-{digest_of(examples)[:12]}"
        return cls(expert, tuple(examples), f"{FOLDER}/{own}.jsonl")

    @property
    def entry(self) -> dict[str, Any]:
        """What is written under `experts`."""
        return {**self.expert} if self.file is None else {**self.expert, "examples": self.file}

    @contextmanager
    def placed(self, folder: Path, *, passing: bool = False) -> Iterator[None]:
        """The examples lie in their file under `folder`; taken away when what follows fails, or is `passing`.

        Raises RegistryError when they cannot be written.
        """
        made = self._write(folder)
        try:
            yield
        except BaseException:
            _take_away(made)
            raise
        if passing:
            _take_away(made)

    def _write(self, folder: Path) -> Path | None:
        """The file, if it was not there; it appears whole or not at all."""
        if self.file is None:
            return None
        path = folder / self.file
        try:
            path.parent.mkdir(exist_ok=True)
            return path if self._appears(path) else None
        except OSError as error:
            remedy = "Remedy: give this user write permission on its folder."
            raise RegistryError([f"{self.file}: cannot be written ({error.strerror}). {remedy}"]) from None

    def _appears(self, path: Path) -> bool:
        """Whether it is new; one of the same name holds the same examples."""
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.writelines(json.dumps({"input": text}, ensure_ascii=False) + "\n" for text in self.examples)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).chmod(0o644)
            path.hardlink_to(draft)
        except FileExistsError:
            return False
        else:
            return True
        finally:
            Path(draft).unlink()


def _take_away(made: Path | None) -> None:
    if made is None:
        return
    made.unlink(missing_ok=True)
    if not any(made.parent.iterdir()):
        made.parent.rmdir()
