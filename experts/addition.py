"""One more expert with its examples: the file they go to beside the registry, and what the registry then says.

The file's name is made here, of the id and a hash of the examples, so nothing that is there is ever written over.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from experts.digest import digest_of
from experts.draft import unwritten
from experts.errors import RegistryError
from experts.passing import passing_file
from experts.reading.yaml_nodes import MAX_BYTES
from experts.spec import ID_PATTERN
from experts.whole import DRAFT, LEFT

FOLDER: Final = "added"
"""Beside the registry: where examples lie that came with an expert."""

LEFTOVERS: Final = (LEFT, ".passing-????????????????.jsonl")
"""What may be left there by a process that was killed."""

NAMELESS: Final = "nameless"
"""Begins the file of one whose id is none; checking the registry says what is wrong with it."""


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
        # To write so much as YAML would take seconds, and it would be refused then.
        if len(json.dumps(expert, default=str)) > MAX_BYTES:
            raise RegistryError([f"expert: is larger than {MAX_BYTES:,} bytes. Remedy: make it smaller."])
        if not examples:
            return cls(expert)
        if "examples" in expert:
            raise RegistryError(["examples: are given, and the expert names a file of them. Remedy: leave out one."])
        given = expert.get("id")
        name = given if isinstance(given, str) and re.fullmatch(ID_PATTERN, given) else NAMELESS
        own = f".passing-{secrets.token_hex(8)}" if passing else f"{name}-{digest_of(examples)[:12]}"
        return cls(expert, tuple(examples), f"{FOLDER}/{own}.jsonl")

    @property
    def entry(self) -> dict[str, Any]:
        """What is written under `experts`."""
        return {**self.expert} if self.file is None else {**self.expert, "examples": self.file}

    @contextmanager
    def placed(self, registry: Path, *, passing: bool = False) -> Iterator[None]:
        """The examples lie in their file beside `registry`, readable by whom that is.

        It is taken away when what follows fails, or is `passing`. Raises RegistryBlocked when it cannot be written.
        """
        if self.file is None:
            yield
            return
        path = registry.parent / self.file
        try:
            with ExitStack() as stack:
                try:
                    new = self._appears(path, stack, 0o600 if passing else registry.stat().st_mode & 0o777)
                except OSError as error:
                    folder = path.parent if path.parent.exists() else registry.parent
                    raise unwritten(self.file, folder, error) from None
                try:
                    yield
                except BaseException:
                    _take_away(path, new)
                    raise
                _take_away(path, new and passing)
        finally:
            with suppress(OSError):  # what lies there beside is somebody else's
                path.parent.rmdir()

    def _appears(self, path: Path, stack: ExitStack, mode: int) -> bool:
        """Write it, whole or not at all; whether it is new. One of the same name holds the same examples."""
        path.parent.mkdir(exist_ok=True)
        rows = "".join(json.dumps({"input": text}, ensure_ascii=False) + "\n" for text in self.examples)
        draft = stack.enter_context(passing_file(path.parent, DRAFT, rows.encode()))
        draft.chmod(mode)
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return False
        return True


def _take_away(path: Path, made: bool) -> None:
    if made:
        path.unlink(missing_ok=True)
