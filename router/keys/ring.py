"""Every key that opens this server, held in memory: those of the environment, and those of the key file as it changes.

Whoever cannot be told from a stranger is one: when the file cannot be read, nobody is let in.
"""

from __future__ import annotations

import hmac
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from router.keys.caller import Caller
from router.keys.errors import KeyNotAllowed, KeysUnavailable, NoKey, WrongKey
from router.keys.file import KEYS, read
from router.keys.key import Key, Role, digest_of
from router.keys.strangers import Strangers
from router.meter.steady import utc_us
from router.store import connect_read_only, is_storage_fault, unavailable

log = logging.getLogger("shoal.keys")

REFRESH_S: Final = 0.4
"""How often a server looks whether keys were made or revoked."""


_NO_DIGEST: Final = bytes(32)

State = tuple[int, ...]


class KeyRing:
    """Admits callers. `refresh` may run on another thread: it swaps whole dictionaries."""

    def __init__(
        self, api_keys: Iterable[str], admin_key: str, path: Path | None = None, clock: Callable[[], int] = utc_us,
        figures_key: str = "",
    ) -> None:  # fmt: skip
        """Reads the file at once. Raises nothing: a file that cannot be read closes the doors."""
        self._path = path
        self._now_us = clock
        given: list[tuple[Role, str]] = [("inference", key) for key in api_keys]
        given += [("figures", figures_key), ("admin", admin_key)]
        self._given = [Key(digest_of(key.encode()), "environment", role) for role, key in given if key]
        self._callers: dict[str, Caller] = {}
        self._usable: dict[bytes, Caller] = {}
        self._nobody = Caller(Key(b"", "nobody"))
        self._connection: sqlite3.Connection | None = None
        self._state: State = ()
        self._version = -1
        self.strangers = Strangers()
        self.needed = False
        """Whether the API asks for a key. It does from the first key on, also when that one is revoked."""
        self.fault: str | None = None
        """Why the file cannot be read; nobody is let in until it can."""
        self._adopt([])
        self.refresh()

    def admit(self, roles: tuple[Role, ...], secret: bytes | None, source: str) -> Caller:
        """Whose key this is, which has to be of one of `roles`. Raises KeysUnavailable, NotAdmitted, KeyNotAllowed.

        A key is looked up by its digest, whose bytes nobody can choose, and compared in constant time besides.
        """
        if self.fault is not None:
            raise KeysUnavailable(self.fault)
        if "inference" in roles and not self.needed:
            return self._nobody
        if "inference" not in roles and not self._has_admin:
            raise NoKey("This needs an admin key, and none is set: SHOAL_ADMIN_KEY, or shoal keys create NAME --admin.")
        if not secret:
            raise NoKey("You didn't provide an API key.")
        digest = digest_of(secret)
        caller = self._usable.get(digest)
        same = hmac.compare_digest(digest, caller.key.digest if caller is not None else _NO_DIGEST)
        if caller is None or not same or not caller.key.usable(self._now_us()):
            self.strangers.note(source)
            raise WrongKey("Incorrect API key provided.")
        if caller.key.role not in roles:
            raise KeyNotAllowed(caller.key.role)
        return caller

    def models_of(self, key_id: str) -> frozenset[str] | None:
        """The experts a caller may use; None when all. For callers that were admitted."""
        caller = self._callers.get(key_id)
        return caller.key.grant.models if caller is not None else None

    def astray(self, models: Collection[str]) -> list[str]:
        """What is to be said of keys that open something and may use models which are not among these."""
        lost = [
            f"{key.name} ({key.id}: {', '.join(sorted(gone))})"
            for key in (caller.key for caller in self._usable.values())
            if key.usable(self._now_us()) and (gone := (key.grant.models or frozenset()) - {*models})
        ]
        if not lost:
            return []
        remedy = "give the experts their old ids, or revoke the keys and make others by shoal keys"
        return [f"keys are limited to models that are not in the registry: {'; '.join(lost)}. Remedy: {remedy}."]

    def sees_all(self, key_id: str) -> bool:
        """Whether a caller that was admitted may see the figures of every key; anybody may where none is asked for."""
        return not key_id or ((caller := self._callers.get(key_id)) is not None and caller.key.role != "inference")

    def charge(self, key_id: str, tokens: int, cost_yusd: int, energy_uj: int) -> None:
        """What a request of this caller really took; money in yocto-dollars."""
        if (caller := self._callers.get(key_id)) is not None:
            caller.charge(tokens, cost_yusd, energy_uj)

    def budgeted(self) -> Iterator[Caller]:
        """Callers whose spending of today has a limit."""
        for caller in self._callers.values():
            grant = caller.key.grant
            if grant.budget_nusd_per_day is not None or grant.budget_uj_per_day is not None:
                yield caller

    def refresh(self) -> None:
        """Take over what changed in the file. Costs a stat and one question when nothing did."""
        if self._path is None:
            return
        try:
            found = self._changes(self._path)
        except Exception as error:
            self.close()
            fault = str(unavailable(self._path, error, KEYS) if is_storage_fault(error) else error)
            if fault != self.fault:
                log.error("%s; nobody is let in until it can be read", fault)
            self.fault = fault
            return
        if found is not None:
            self._adopt(found)
        if self.fault is not None:
            log.info("the keys can be read again")
            self.fault = None

    def close(self) -> None:
        """Give the file back; the next look opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _changes(self, path: Path) -> list[Key] | None:
        """All keys when anything changed since the last look, else None."""
        try:
            stat = path.stat()
        except FileNotFoundError:
            if self._state:
                raise KeysUnavailable(f"key file {path} was deleted or moved. Remedy: put it back") from None
            return None
        state = (stat.st_dev, stat.st_ino, stat.st_ctime_ns, stat.st_size)
        if state != self._state or self._connection is None:
            self.close()
            self._connection = connect_read_only(path, KEYS)
            self._version = -1
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return None
        found = read(self._connection)
        self._state, self._version = state, version
        return found

    def _adopt(self, stored: list[Key]) -> None:
        callers, present = dict(self._callers), [*stored, *self._given]
        for key in present:
            if (known := callers.get(key.id)) is not None:
                known.adopt(key)
            else:
                callers[key.id] = Caller(key, time.monotonic, self._now_us)
        self._callers = callers
        self._usable = {key.digest: callers[key.id] for key in present if key.revoked_us is None}
        self._has_admin = any(caller.key.role == "admin" for caller in self._usable.values())
        self.needed = self.needed or any(key.role == "inference" for key in present)
