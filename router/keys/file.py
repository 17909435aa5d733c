"""The file that holds the keys: made and changed by `shoal keys`, read by every server that uses the data folder."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from experts.errors import WrongUsage
from router.keys.errors import KeysUnavailable
from router.keys.key import Grant, Key, Role, digest_of, new_secret
from router.meter.steady import utc_us
from router.store import Format, Transaction, connect, connect_read_only, is_storage_fault, unavailable

COLUMNS: Final = (
    "digest", "name", "role", "models", "requests_per_minute", "tokens_per_minute", "budget_nusd_per_day",
    "budget_uj_per_day", "created_us", "expires_us", "revoked_us",
)  # fmt: skip

TABLES: Final = """
CREATE TABLE keys (
    digest BLOB NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    models TEXT,
    requests_per_minute INTEGER,
    tokens_per_minute INTEGER,
    budget_nusd_per_day INTEGER,
    budget_uj_per_day INTEGER,
    created_us INTEGER NOT NULL,
    expires_us INTEGER,
    revoked_us INTEGER,
    role TEXT NOT NULL DEFAULT 'inference'
) STRICT
"""

STEPS: Final = {
    1: "; ".join(
        (
            "ALTER TABLE keys ADD COLUMN role TEXT NOT NULL DEFAULT 'inference'",
            "UPDATE keys SET role = 'admin' WHERE admin <> 0",
            "ALTER TABLE keys DROP COLUMN admin",
        )
    )
}
"""Version -> the statements that lead from it to the next one."""

KEYS: Final = Format("key file", 0x53484F4B, 2, TABLES, KeysUnavailable, STEPS)


SHORT_ID_CHARS: Final = 6
"""Of an id, enough to name a key if no other begins so."""


class NoSuchKey(WrongUsage):
    """No key has this id, or several may be meant."""


def create(path: Path, key: Key) -> tuple[str, Key]:
    """Add a key like `key`: the secret, which is kept nowhere, and what is kept. Raises KeysUnavailable."""
    secret = new_secret()
    made = replace(key, digest=digest_of(secret.encode()), created_us=utc_us())
    with _changing(path) as connection:
        marks = ",".join("?" * len(COLUMNS))
        connection.execute(f"INSERT INTO keys ({','.join(COLUMNS)}) VALUES ({marks})", _row(made))  # noqa: S608
    return secret, made


def revoke(path: Path, key_id: str) -> Key:
    """Make a key useless, for good; what it has used stays in the ledger. Raises NoSuchKey, KeysUnavailable.

    Its id may be cut short as long as it is the beginning of no other's.
    """
    key = _found(keys(path), key_id)
    if key.revoked_us is not None:
        return key
    revoked = replace(key, revoked_us=utc_us())
    with _changing(path) as connection:
        connection.execute("UPDATE keys SET revoked_us = ? WHERE digest = ?", (revoked.revoked_us, key.digest))
    return revoked


def _found(known: list[Key], key_id: str) -> Key:
    meant = [key for key in known if key.id.startswith(key_id)] if len(key_id) >= SHORT_ID_CHARS else []
    if len(meant) == 1:
        return meant[0]
    many = f"{len(meant)} keys have ids that begin" if meant else "no key has an id that begins"
    remedy = f"Remedy: shoal keys list shows them; give {SHORT_ID_CHARS} characters at least, of one alone"
    raise NoSuchKey(f"{many} with {key_id!r}. {remedy}")


def keys(path: Path) -> list[Key]:
    """Every key, revoked ones too, oldest first; none when there is no file. Raises KeysUnavailable."""
    if not path.exists():
        return []
    try:
        with closing(connect_read_only(path, KEYS)) as connection:
            return read(connection)
    except Exception as error:
        raise _told(path, error) from error


def names(path: Path) -> dict[str, str]:
    """What each key is called, by its id. Raises KeysUnavailable."""
    return {key.id: key.name for key in keys(path)}


def read(connection: sqlite3.Connection) -> list[Key]:
    """The keys behind an open connection. Raises sqlite3's errors."""
    rows = connection.execute(f"SELECT {','.join(COLUMNS)} FROM keys ORDER BY created_us, digest")  # noqa: S608
    return [_key(*row) for row in rows]


@contextmanager
def _changing(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(connect(path, KEYS)) as connection:
            with Transaction(connection):
                yield connection
            # A server holds the file open, so closing it would leave what was written beside it: a copy of the file
            # alone would lack that, and damage to it would not be seen.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except Exception as error:
        raise _told(path, error) from error


def _told(path: Path, error: Exception) -> Exception:
    return unavailable(path, error, KEYS) if is_storage_fault(error) else error


def _row(key: Key) -> tuple[object, ...]:
    grant = key.grant
    models = json.dumps(sorted(grant.models)) if grant.models is not None else None
    limits = (grant.requests_per_minute, grant.tokens_per_minute, grant.budget_nusd_per_day, grant.budget_uj_per_day)
    return key.digest, key.name, key.role, models, *limits, key.created_us, key.expires_us, key.revoked_us


def _key(
    digest: bytes, name: str, role: Role, models: str | None, requests: int | None, tokens: int | None,
    nusd: int | None, uj: int | None, created_us: int, expires_us: int | None, revoked_us: int | None,
) -> Key:  # fmt: skip
    allowed = frozenset(json.loads(models)) if models is not None else None
    return Key(
        digest, _shown(name), role, Grant(allowed, requests, tokens, nusd, uj), created_us, expires_us, revoked_us
    )


def _shown(name: str) -> str:
    """A name as lists, reports and exports may print it: older versions kept whatever a terminal obeys."""
    if name.isprintable():
        return name
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)
