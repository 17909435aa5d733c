"""List prices that hold at hours of the day: what is charged follows them, and all else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from experts.reading import list_price
from experts.registry import load_registry
from router import app
from router.live import Live
from router.meter.record import Role
from router.promises.usual import FEWEST_ANSWERS
from router.settings import Settings
from tests.router.promises.test_usual import answered, some
from tests.service.server import rows, write_registry
from tests.service.test_promises import POEMS

FAR = """
  - id: far
    kind: openai
    description: Another one
    url: http://127.0.0.1:9/v1
    model: far
    params_b: 20
    context: 4096
    list_price: deepseek/deepseek-chat
"""
NOON, NIGHT = datetime(2026, 11, 27, 12, tzinfo=UTC), datetime(2026, 11, 27, 20, tzinfo=UTC)


def prices_of(hour: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_price, "now", lambda: hour)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = write_registry(tmp_path)
    text = path.read_text().replace("policies: {", "policies: {thrifty: {max_usd_per_kreq: 0.000001}, ")
    path.write_text(text.replace("fallback: big", "fallback: far") + FAR)
    return Settings(registry=path, data_dir=tmp_path / "data")


@pytest.fixture
async def live(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    prices_of(NOON, monkeypatch)
    opened = await Live.open(load_registry(settings.registry, {}), settings)
    yield opened
    await opened.aclose()


async def test_what_is_charged_follows_the_hour_and_what_was_kept_of_it_comes_back(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = live.snapshot
    assert noon.tariffs.of("far").price.version.endswith("UTC, USD/Mtok 0.27 in, 1.1 out, 0.07 cached")
    await live.reprice()
    assert live.snapshot is noon, "the same price goes on, and nothing is made again"
    prices_of(NIGHT, monkeypatch)
    await live.reprice()
    night = live.snapshot
    assert night.tariffs.of("far").price.version.endswith("/deepseek-chat, USD/Mtok 0.135 in, 0.55 out, 0.035 cached")
    assert night.tariffs.fallback.price == night.tariffs.of("far").price
    assert (night.version, night.pool, night.judge) == (noon.version, noon.pool, noon.judge)
    assert night.tariffs.terms != noon.tariffs.terms
    assert night.ladder.bulk["far"] < noon.ladder.bulk["far"]
    assert live.seen_by("").tariffs is night.tariffs
    prices_of(NOON, monkeypatch)
    await live.reprice()
    assert live.snapshot.tariffs.terms == noon.tariffs.terms, "one version, however often it comes back"


async def test_a_budget_goes_by_the_tokens_of_the_ledger_still(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is usual was read at the start; another price makes it no guess again, and no other figure."""
    prices_of(NOON, monkeypatch)
    rows(settings.registry.with_name("poems.jsonl"), [{"input": text} for text in POEMS])
    await answered(settings.ledger_path, FEWEST_ANSWERS, some("far", 2_000, 30, role=Role.FALLBACK))
    opened = await Live.open(load_registry(settings.registry, {}), settings)
    noon = opened.snapshot.promises.to_json()[0]
    await answered(settings.ledger_path, FEWEST_ANSWERS, some("far", 9_000, 900, role=Role.FALLBACK))
    prices_of(NIGHT, monkeypatch)
    await opened.reprice()
    night = opened.snapshot.promises.to_json()[0]
    assert "far 2000.0 and 30.0 (100 answers)" in night["assumed"]
    assert night["assumed"] == noon["assumed"]
    assert night["expected"] < noon["expected"]
    await opened.aclose()


async def test_an_edit_that_goes_live_meanwhile_is_not_undone(
    live: Live, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices_of(NIGHT, monkeypatch)
    repricing = asyncio.create_task(live.reprice())
    await asyncio.sleep(0)
    settings.registry.write_text(settings.registry.read_text().replace("params_b: 20", "params_b: 30"))
    edited = live.snapshot = (await _reopened(settings)).snapshot
    await repricing
    assert live.snapshot is edited


async def _reopened(settings: Settings) -> Live:
    return await Live.open(load_registry(settings.registry, {}), settings, keep=False)


async def test_a_server_looks_again_and_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: asyncio.Queue[Live] = asyncio.Queue()

    async def looked(live: Live) -> None:
        looks.put_nowait(live)

    monkeypatch.setattr(Live, "reprice", looked)
    monkeypatch.setattr(app, "REPRICE_S", 0.01)
    service = app.create_app(settings)
    async with service.router.lifespan_context(service):
        assert await looks.get() is await looks.get()
