"""What a key has taken of its minute and of its day."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.keys.bucket import Bucket
from router.keys.caller import Caller
from router.keys.errors import BudgetSpent, RateLimited, TooManyGuesses
from router.keys.key import Grant, Key
from router.keys.strangers import GUESSES_PER_MINUTE, MOST_SOURCES, NEWS_S, Strangers
from router.keys.visit import Visit
from router.meter.hours_schema import DAY_US
from router.meter.money import YUSD_PER_NUSD


class Clock:
    """Seconds that pass when told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def us(self) -> int:
        return int(self.now * 1e6)


def caller(clock: Clock, **grant: int) -> Caller:
    return Caller(Key(b"\1" * 32, grant=Grant(**grant)), clock, clock.us)


def test_a_minutes_requests_and_no_more() -> None:
    clock = Clock()
    key = caller(clock, requests_per_minute=3)
    for left in (2, 1, 0):
        key.enter(0)
        assert dict(key.headers())[b"x-ratelimit-remaining-requests"] == b"%d" % left
    with pytest.raises(RateLimited) as caught:
        key.enter(0)
    assert (caught.value.unit, round(caught.value.retry_after_s)) == ("requests", 20)
    assert dict(key.headers())[b"x-ratelimit-reset-requests"] == b"20s"
    clock.now += 20.5
    assert dict(key.headers())[b"x-ratelimit-reset-requests"] == b"39.5s"
    key.enter(0)
    key.give_back()
    key.enter(0)


def test_when_there_is_more_is_told_alike_everywhere() -> None:
    clock = Clock()
    key = caller(clock, tokens_per_minute=100)
    for taken, told in ((0, b"0s"), (1, b"600ms"), (10, b"6.6s"), (88, b"59.4s"), (1, b"600ms")):
        key.charge(taken, 0, 0)
        assert dict(key.headers())[b"x-ratelimit-reset-tokens"] == told
    with pytest.raises(RateLimited) as caught:
        key.enter(1)
    assert round(caught.value.retry_after_s, 3) == 0.6
    for taken, told in ((500, b"5m0.6s"), (10_000, b"1h45m0.6s")):
        key.charge(taken, 0, 0)
        assert dict(key.headers())[b"x-ratelimit-reset-tokens"] == told


def test_a_visit_knows_what_it_took_once_it_is_answered() -> None:
    key = caller(Clock(), requests_per_minute=2, tokens_per_minute=100)
    first, second = Visit(key, 30), Visit(key, 20)
    key.charge(7, 0, 0)
    first.answered(200, True)
    assert dict(key.headers())[b"x-ratelimit-remaining-tokens"] == b"73"
    second.answered(200, False)
    assert dict(key.headers())[b"x-ratelimit-remaining-tokens"] == b"73"
    second.over()
    second.over()
    first.over()
    assert dict(key.headers())[b"x-ratelimit-remaining-tokens"] == b"93"
    assert dict(key.headers())[b"x-ratelimit-remaining-requests"] == b"0"


def test_tokens_are_set_aside_and_then_charged() -> None:
    clock = Clock()
    key = caller(clock, tokens_per_minute=100)
    key.enter(80)
    assert dict(key.headers())[b"x-ratelimit-remaining-tokens"] == b"20"
    key.charge(150, 0, 0)
    key.leave(80)
    with pytest.raises(RateLimited) as caught:
        key.enter(1)
    assert caught.value.unit == "tokens"
    assert dict(key.headers())[b"x-ratelimit-remaining-tokens"] == b"0"
    clock.now += 60
    key.enter(1)


def test_a_budget_lasts_until_midnight_utc() -> None:
    clock = Clock()
    key = caller(clock, budget_nusd_per_day=1000, budget_uj_per_day=500)
    key.enter(0)
    key.charge(0, 999 * YUSD_PER_NUSD, 0)
    key.enter(0)
    key.charge(0, YUSD_PER_NUSD - 1, 0)
    key.enter(0)
    key.charge(0, 1, 0)
    with pytest.raises(BudgetSpent, match="USD") as caught:
        key.enter(0)
    assert caught.value.retry_after_s == pytest.approx(DAY_US / 1e6 - clock.now % (DAY_US / 1e6), abs=1e-5)
    clock.now += DAY_US / 1e6
    key.enter(0)
    key.charge(0, 0, 500)
    with pytest.raises(BudgetSpent, match="J"):
        key.enter(0)


def test_what_others_spent_counts_and_yesterday_does_not() -> None:
    clock = Clock()
    key = caller(clock, budget_nusd_per_day=1000)
    today = clock.us() // DAY_US
    key.spend.take_over(today, 700, 0)
    key.spend.take_over(today, 400, 0)
    key.spend.take_over(today - 1, 9000, 9000)
    assert (key.spend.cost_yusd, key.spend.energy_uj) == (700, 0)


def test_energy_is_what_the_ledger_says_and_what_came_since() -> None:
    clock = Clock()
    key = caller(clock, budget_uj_per_day=500)
    key.charge(0, 0, 900)
    with pytest.raises(BudgetSpent, match="J"):
        key.enter(0)
    key.spend.look()
    key.charge(0, 0, 40)
    key.spend.take_over(clock.us() // DAY_US, 0, 300)
    assert key.spend.energy_uj == 340
    key.enter(0)


def test_edited_limits_keep_what_is_counted() -> None:
    key = caller(Clock(), requests_per_minute=2)
    key.enter(0)
    key.charge(0, 7, 0)
    requests = key.requests
    key.adopt(Key(b"\1" * 32, grant=Grant(requests_per_minute=2, tokens_per_minute=9)))
    assert key.requests is requests
    assert key.spend.cost_yusd == 7
    key.adopt(Key(b"\1" * 32))
    assert key.headers() == [] and not key.metered


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(0, 50)), max_size=40), st.integers(1, 1000))
def test_no_hour_gives_more_than_it_may(steps: list[tuple[float, float]], per_minute: int) -> None:
    clock, taken = Clock(), 0.0
    bucket = Bucket(per_minute, clock)
    for pause, amount in steps:
        clock.now += pause
        if bucket.wait_s(amount) == 0 and amount <= per_minute:
            bucket.take(amount)
            taken += amount
    assert taken <= per_minute * (1 + (clock.now - Clock.now) / 60) + 1e-6


def test_guesses_are_counted_by_source() -> None:
    clock = Clock()
    strangers = Strangers(clock)
    for _ in range(GUESSES_PER_MINUTE):
        strangers.note("10.0.0.1")
    with pytest.raises(TooManyGuesses):
        strangers.note("10.0.0.1")
    strangers.note("10.0.0.2")
    clock.now += 60
    strangers.note("10.0.0.1")
    for number in range(2 * MOST_SOURCES):
        strangers.note(str(number))
    assert len(strangers._buckets) == MOST_SOURCES


def test_a_flood_is_a_line_a_minute_and_no_wrong_key_is_lost() -> None:
    clock = Clock()
    strangers = Strangers(clock)

    def flood(times: int) -> None:
        for _ in range(times):
            with suppress(TooManyGuesses):
                strangers.note("10.0.0.1")

    flood(GUESSES_PER_MINUTE)
    assert strangers.news() is None  # somebody may have mistyped
    flood(5)
    assert strangers.news() == "35 wrong keys came, too many of them from 10.0.0.1; 35 since the start"
    flood(1000)
    clock.now += NEWS_S - 1
    assert strangers.news() is None
    clock.now += 1
    assert strangers.news() == "1,000 wrong keys came, too many of them from 10.0.0.1; 1,035 since the start"
    assert strangers.news() is None
    flood(200)
    assert strangers.news(at_once=True) == "200 wrong keys came, too many of them from 10.0.0.1; 1,235 since the start"
