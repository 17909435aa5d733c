"""Names, descriptions and examples are printed as written: never read as markup, never obeyed by a terminal."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from router.keys.file import keys
from router.meter.tariff import Tariffs
from router.request import ChatRequest
from shoal.stages import stages
from shoal.tables import screen, show_table, table_of
from tests.router.meter.traffic import entries, fill
from tests.router.meter.traffic import registry as metered
from tests.service.server import rows, write_registry
from tests.shoal.test_main import shoal

WORDS = "[/x] [red] :smile:"
OBEYED = "\x1b]0;title\x07\x1b[2J\r\x9b1m\u202e"
"""A title, an emptied screen, a line overwritten, bold type, and text turned round."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry whose domain, policy, description and examples are such words, and its data folder beside it."""
    monkeypatch.setenv("SHOAL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "1000")
    path = write_registry(tmp_path)
    described = path.read_text().replace(
        "description: Writes poems", f"description: {json.dumps(WORDS + OBEYED)}\n    domain: {json.dumps(WORDS)}"
    )
    path.write_text(described.replace("policies: {", f"policies: {{{json.dumps(WORDS)}: {{threshold: 0.6}}, "))
    rows(tmp_path / "poems.jsonl", [{"input": f"a poem {WORDS} {n} {OBEYED}"} for n in ("rain", "sea", "dog")])
    return path


@pytest.mark.parametrize("command", [("route", "a poem"), ("registry", "list"), ("experts", "list")], ids=" ".join)
def test_of_a_registry(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert shoal(monkeypatch, *command, "--registry", str(path)) == 0
    shown = capsys.readouterr().out
    assert WORDS in shown
    assert not {each for each in OBEYED if not each.isprintable()} & set(shown)


def test_of_keys_and_of_what_they_asked_for(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = ("--registry", str(path))
    names = ("shop [prod]", "shop [test]", WORDS)
    for name in names:
        assert shoal(monkeypatch, "keys", "create", name, *registry) == 0
    made = keys(tmp_path / "data/keys.sqlite")
    assert shoal(monkeypatch, "keys", "revoke", made[0].id, *registry) == 0
    capsys.readouterr()
    assert shoal(monkeypatch, "keys", "list", *registry) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}  " in shown for name in names)

    traffic = [
        (
            replace(
                intent,
                request=ChatRequest(intent.request.request_id, intent.request.body, made[at % 3].id, endpoint="chat"),
                decision=replace(intent.decision, label=WORDS, policy=WORDS),
            ),
            outcome,
        )
        for at, (intent, outcome) in enumerate(entries(Tariffs.of_registry(metered()), 12))
    ]
    asyncio.run(fill(tmp_path / "data/ledger.sqlite", traffic))
    for group in ("key", "policy", "domain"):
        assert shoal(monkeypatch, "meter", "report", "--group-by", group, *registry) == 0
        shown = capsys.readouterr().out
        assert all(name in shown for name in (names if group == "key" else (WORDS,)))


def test_on_the_screen(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    table = table_of(WORDS, "next")
    table.add_row(f"{WORDS}\x1b[2J", "x")
    show_table(table)
    screen().print(WORDS, style="dim", highlight=False)
    head, first, below = capsys.readouterr().out.splitlines()
    assert WORDS in head
    assert first.rstrip() == f"{WORDS}\\x1b[2J  x", "an escape counts for the width of its column"
    assert below == f"\x1b[2m{WORDS}\x1b[0m"


def test_on_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with stages() as progress:
        progress(WORDS, 1, 2)
    assert WORDS in capsys.readouterr().err
