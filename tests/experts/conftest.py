from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.experts.shelf import DATA, HUB_PATH, Shelf, serving


@pytest.fixture
def shelves(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Shelf, Shelf]]:
    """Two file servers, which are two origins; HF_ENDPOINT names the first, and retries wait next to nothing."""
    monkeypatch.setattr("experts.fetching.download.BACKOFF_S", (0.01, 0.01, 0.01))
    for name in ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(Shelf({HUB_PATH: DATA})) as first, serving(Shelf({HUB_PATH: DATA})) as second:
        monkeypatch.setenv("HF_ENDPOINT", first.url)
        yield first, second


@pytest.fixture
def shelf(shelves: tuple[Shelf, Shelf]) -> Shelf:
    return shelves[0]
