"""What an expert's answers saved: whether the truth is in the interval, over many draws of who is held back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from router.meter.answers import saved
from router.meter.paired import Paired
from router.meter.record import Arm, Role
from router.meter.savings import Held, Traffic
from router.meter.segment import Segment
from tests.router.meter.test_paired import Book, big, book, small, tariffs

__all__ = ["book"]

DRAWS = 300


@pytest.fixture
def segment(book: Book) -> Segment:
    """Of an expert's answers, all with a price."""
    told = {"body": tariffs("chat", sql="list", chat="list")}
    dear, cheap = (replace(each, cost_nusd=900, price_version="list") for each in (big(), small()))
    book.add([dear], arm=Arm.HOLDBACK, shadow=replace(cheap, role=Role.SHADOW), **told)
    book.add([cheap], arm=Arm.NORMAL, **told)
    book.write()
    return book.segment()


def drawn(segment: Segment, rng: np.random.Generator, many: int, scale: float = 1.0) -> tuple[Segment, np.ndarray]:
    """So many answers, one in eight of which is held back beside, and what the fallback would have taken (u,)."""
    tokens = rng.gamma(2, 60, many) + 1
    uj = scale * (20_000 + 300 * tokens) * rng.lognormal(0, 0.3, many)
    taken = np.stack([uj / 10, uj, uj / 100], axis=1)
    held = rng.random(many) < 1 / 8
    points = np.stack([np.full(many, 120.0), tokens], axis=1)
    count, left = int(held.sum()), ~held
    of = Held(np.zeros(count, np.intp), points[held], taken[held], np.full(count, 1 / 8), np.arange(count))
    rows, sums = np.array([float(left.sum())]), points[left].sum(axis=0)[None]
    traffic = Traffic(np.zeros(3), np.zeros(3), rows, sums, of)
    plain = replace(segment.plain, requests=int(left.sum()), spent=np.zeros(3), spent_yusd=0, avoidable_yusd=0)
    return replace(segment, traffic=traffic, plain=plain), taken[left].sum(axis=0)


@pytest.mark.parametrize(("sizes", "standing"), [((1200,), "provisional"), ((1200, 1600), "published")])
def test_the_interval_holds_the_truth_as_often_as_it_says(
    segment: Segment, sizes: tuple[int, ...], standing: str
) -> None:
    """Of one fallback, and of two one after the other, the second of which takes four times as much."""
    rng, inside, wide = np.random.default_rng(1), np.zeros((DRAWS, 2)), []
    for draw in range(DRAWS):
        parts = [drawn(segment, rng, many, 4.0**at) for at, many in enumerate(sizes)]
        told = saved(Paired(tuple(part for part, _ in parts)))
        truth = sum(taken for _, taken in parts)
        ends = [[told[end][name] for end in ("low", "high")] for name in ("avoidable_usd", "energy_j")]
        for at, ((low, high), true) in enumerate(zip(ends, (truth[0] / 1e9, truth[1] / 1e6), strict=True)):
            inside[draw, at] = low <= true <= high
        assert told["low"]["energy_j"] < told["energy_j"] < told["high"]["energy_j"]
        wide.append((told["high"]["energy_j"] - told["low"]["energy_j"]) / told["energy_j"])
    assert told["standing"] == standing
    assert (inside.mean(axis=0) >= 0.92).all(), inside.mean(axis=0)
    assert (inside.mean(axis=0) <= 0.98).all(), inside.mean(axis=0)
    assert 0.05 < np.median(wide) < 0.4


def test_money_without_a_price_has_no_interval(book: Book, segment: Segment) -> None:
    part, _ = drawn(replace(segment, unpriced=True), np.random.default_rng(2), 1200)
    told = saved(Paired((part,)))
    assert (told["avoidable_usd"], told["low"]["avoidable_usd"], told["high"]["avoidable_usd"]) == (None, None, None)
    assert told["low"]["energy_j"] < told["energy_j"]
