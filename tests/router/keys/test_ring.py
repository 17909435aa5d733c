"""Keys as a server holds them: made, revoked and expired elsewhere; a file that cannot be read opens nothing."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from router.keys import file, ring
from router.keys.errors import KeyNotAllowed, KeysUnavailable, NoKey, NotAdmitted, TooManyGuesses, WrongKey
from router.keys.key import Grant, Key, Role, digest_of
from router.keys.ring import KeyRing
from router.store import Format, connect

OPENED: list[KeyRing] = []


def opened(*given: Any, **named: Any) -> KeyRing:
    """Keys whose file is given back when the test ends."""
    OPENED.append(KeyRing(*given, **named))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.sqlite"


CLIENT: tuple[Role, ...] = ("inference",)
ADMIN: tuple[Role, ...] = ("admin",)


def admits(keys: KeyRing, secret: str, roles: tuple[Role, ...] = CLIENT) -> bool:
    try:
        keys.admit(roles, secret.encode(), secret)
    except (NoKey, WrongKey, KeyNotAllowed):
        return False
    return True


def test_without_any_key_everyone_may_ask_and_nobody_administers(path: Path) -> None:
    keys = opened([], "", path)
    assert keys.admit(CLIENT, None, "here").id == ""
    with pytest.raises(NoKey):
        keys.admit(ADMIN, None, "here")
    assert not path.exists()


def test_the_file_alone_holds_every_key_while_servers_have_it_open(path: Path) -> None:
    """As when a server looks between the making of the file and that of the key, which a slow command gives it."""
    with closing(connect(path, file.KEYS)):
        keys = opened([], "", path)
    secret, made = file.create(path, Key(b"", "shop"))
    keys.refresh()
    assert admits(keys, secret)
    kept = path.read_bytes()
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(kept)
    assert file.keys(copy) == [made]
    path.write_bytes(b"damaged" * 1000)
    keys.refresh()
    with pytest.raises(KeysUnavailable):
        admits(keys, secret)
    path.write_bytes(kept)
    keys.refresh()
    assert admits(keys, secret)
    file.revoke(path, made.id)
    copy.write_bytes(path.read_bytes())
    assert [key.revoked_us is not None for key in file.keys(copy)] == [True]


def test_keys_made_and_revoked_elsewhere_are_seen(path: Path) -> None:
    keys = opened([], "", path)
    secret, made = file.create(path, Key(b"", "shop", grant=Grant(models=frozenset({"sql"}))))
    assert secret.startswith("sk-shoal-") and len(secret) >= len("sk-shoal-") + 43
    keys.refresh()
    assert keys.admit(CLIENT, secret.encode(), "here").id == made.id
    assert keys.models_of(made.id) == {"sql"}
    with pytest.raises(NoKey):
        keys.admit(CLIENT, None, "here")
    file.revoke(path, made.id)
    keys.refresh()
    assert not admits(keys, secret)
    assert keys.needed  # the last key's end does not open the doors
    assert opened([], "", path).needed


def test_roles_do_not_mix(path: Path) -> None:
    keys = opened(["env-inference"], "env-admin", path, figures_key="env-figures")
    made = {role: file.create(path, Key(b"", role, role)) for role in get_args(Role)}
    keys.refresh()
    for role, (secret, key) in made.items():
        for candidate in (secret, f"env-{role}"):
            assert [other for other in get_args(Role) if admits(keys, candidate, (other,))] == [role]
            assert admits(keys, candidate, get_args(Role))
            with pytest.raises(KeyNotAllowed):
                keys.admit(tuple(set(get_args(Role)) - {role}), candidate.encode(), "here")
        assert keys.sees_all(key.id) == (role != "inference")
    assert keys.strangers.news(at_once=True) is None  # a right key at the wrong door is no guess


def test_keys_that_ask_no_model_leave_the_api_as_open_as_it_was(path: Path) -> None:
    keys = opened([], "env-admin", path, figures_key="env-figures")
    file.create(path, Key(b"", "scraper", "figures"))
    keys.refresh()
    assert not keys.needed
    assert keys.sees_all(keys.admit(get_args(Role), None, "here").id)


OLDER = """
CREATE TABLE keys (
    digest BLOB NOT NULL PRIMARY KEY, name TEXT NOT NULL, admin INTEGER NOT NULL, models TEXT,
    requests_per_minute INTEGER, tokens_per_minute INTEGER, budget_nusd_per_day INTEGER, budget_uj_per_day INTEGER,
    created_us INTEGER NOT NULL, expires_us INTEGER, revoked_us INTEGER
) STRICT
"""


def test_a_file_of_version_1_is_brought_to_todays(path: Path, tmp_path: Path) -> None:
    with closing(connect(path, replace(file.KEYS, version=1, tables=OLDER, steps={}))) as connection:
        row = "INSERT INTO keys VALUES (?, ?, ?, '[\"sql\"]', 1, 2, 3, 4, ?, 6, NULL)"
        connection.executemany(row, [(digest_of(b"a"), "shop", 0, 5), (digest_of(b"b"), "boss", 1, 6)])
    grant = Grant(frozenset({"sql"}), 1, 2, 3, 4)
    assert file.keys(path) == [
        Key(digest_of(b"a"), "shop", "inference", grant, 5, 6), Key(digest_of(b"b"), "boss", "admin", grant, 6, 6),
    ]  # fmt: skip
    file.create(tmp_path / "new.sqlite", Key(b"", "new"))
    tables = []
    for each in (path, tmp_path / "new.sqlite"):
        with closing(connect(each, file.KEYS)) as connection:
            tables.append(connection.execute("PRAGMA table_xinfo(keys)").fetchall())
    assert tables[0] == tables[1]


def test_a_key_ends_when_it_expires(path: Path) -> None:
    now = [1_000_000]
    secret, _ = file.create(path, Key(b"", "short", expires_us=2_000_000))
    keys = opened([], "", path, clock=lambda: now[0])
    assert admits(keys, secret)
    now[0] = 2_000_000
    assert not admits(keys, secret)


def test_only_digests_are_kept(path: Path) -> None:
    secret, key = file.create(path, Key(b"", "shop"))
    kept = b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert secret.encode() not in kept and secret.removeprefix("sk-shoal-").encode() not in kept
    assert key.digest in kept
    assert path.stat().st_mode & 0o077 == 0
    assert secret not in repr(key) and secret not in str(key.to_json())


@pytest.mark.parametrize("harm", ["deleted", "garbage", "other", "newer"])
def test_a_file_that_cannot_be_read_lets_nobody_in(path: Path, harm: str) -> None:
    secret, _ = file.create(path, Key(b"", "shop"))
    keys = opened(["env-key"], "env-admin", path)
    before = path.read_bytes()
    path.unlink()
    if harm == "garbage":
        path.write_bytes(b"\0garbage" * 4096)
    elif harm == "other":
        connect(path, Format("notes", 1, 1, "CREATE TABLE notes (text TEXT)")).close()
    elif harm == "newer":
        path.write_bytes(before[:60] + (99).to_bytes(4, "big") + before[64:])
    keys.refresh()
    for candidate in (secret, "env-key", None):
        with pytest.raises(KeysUnavailable, match=r"Remedy|move it|use the Shoal"):
            keys.admit(CLIENT, candidate and candidate.encode(), "here")
    with pytest.raises(KeysUnavailable):
        keys.admit(ADMIN, b"env-admin", "here")
    path.write_bytes(before)
    keys.refresh()
    assert admits(keys, secret)


def test_tokens_that_begin_alike_are_not_confused() -> None:
    one, other = "x" * 200 + "1", "x" * 200 + "2"
    keys = opened([one], "")
    assert admits(keys, one) and not admits(keys, other) and not admits(keys, one[:-1])


def test_many_guesses_do_not_shut_out_the_right_key() -> None:
    keys = opened(["right"], "")
    seen = set()
    for _ in range(100):
        with pytest.raises(NotAdmitted) as caught:
            keys.admit(CLIENT, b"wrong", "10.0.0.1")
        seen.add(type(caught.value))
    assert seen == {WrongKey, TooManyGuesses}
    assert keys.admit(CLIENT, b"right", "10.0.0.1").id


def test_digests_are_never_compared_with_an_operator() -> None:
    source = inspect.getsource(ring.KeyRing.admit)
    assert "compare_digest" in source
    assert not re.search(r"digest\s*(==|!=)", source)


def test_a_short_id_that_may_mean_two_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = iter([bytes.fromhex("abcdef01") + bytes(28), bytes.fromhex("abcdef02") + bytes(28)])
    monkeypatch.setattr(file, "digest_of", lambda _: next(digests))
    keys = [file.create(path, Key(b"", name))[1] for name in "ab"]
    with pytest.raises(file.NoSuchKey, match="2 keys have ids that begin with 'abcdef'"):
        file.revoke(path, "abcdef")
    assert file.revoke(path, "abcdef02").digest == keys[1].digest
    assert [key.revoked_us is None for key in file.keys(path)] == [True, False]


def test_an_unknown_id_is_told(path: Path) -> None:
    with pytest.raises(file.NoSuchKey, match="shoal keys list"):
        file.revoke(path, "nothing")
    _, key = file.create(path, Key(b"", "a"))
    revoked = file.revoke(path, key.id)
    for short in ("", key.id[:5], key.id + "0"):
        with pytest.raises(file.NoSuchKey, match="no key has an id"):
            file.revoke(path, short)
    assert file.revoke(path, key.id[:6]) == file.revoke(path, key.id) == revoked
    assert revoked == replace(key, revoked_us=revoked.revoked_us)
