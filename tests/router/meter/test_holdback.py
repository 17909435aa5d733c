from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.meter.holdback import WINDOW_DAYS, Plan, Seen, conversation, held_back, rate
from router.meter.savings import ENOUGH, LEAST

KEY = b"k" * 32
FIRST = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my parcel?"}]
LATER = [*FIRST, {"role": "assistant", "content": "On its way."}, {"role": "user", "content": "Since when?"}]


class TestRate:
    @given(st.floats(0, 1e8), st.floats(0.001, 30))
    def test_is_nothing_or_between_floor_and_cap(self, conversations: float, error: float) -> None:
        plan = Plan()
        found = rate(plan, Seen(conversations, error))
        assert found == 0 or plan.floor <= found <= plan.cap

    def test_nobody_is_held_back_where_it_could_not_tell_anything(self) -> None:
        assert rate(Plan(), Seen(1999)) == 0
        assert rate(Plan(), Seen(2000)) > 0

    def test_a_cap_of_nought_holds_back_nothing(self) -> None:
        assert rate(Plan(cap=0), Seen(10**7)) == 0

    def test_falls_with_traffic(self) -> None:
        rates = [rate(Plan(), Seen(conversations)) for conversations in (5_000, 30_000, 60_000, 10**7)]
        assert rates == sorted(rates, reverse=True)
        assert len(set(rates)) == 4

    def test_more_doubt_needs_more(self) -> None:
        assert rate(Plan(), Seen(50_000, 1.2)) > rate(Plan(), Seen(50_000))


@pytest.mark.parametrize("a_day", [60, 80, 250, 500, 3000])
def test_a_share_that_follows_the_window_settles_at_what_the_figure_needs(a_day: int) -> None:
    """Seven months; the share is planned every hour from the last thirty days, and conversations are drawn."""
    rng, hours = np.random.default_rng(a_day), WINDOW_DAYS * 24
    came, held = np.zeros(7 * hours), np.zeros(7 * hours)
    share = 0.0
    for hour in range(7 * hours):
        came[hour] = rng.poisson(a_day / 24)
        held[hour] = rng.binomial(int(came[hour]), share)
        window = slice(max(hour + 1 - hours, 0), hour + 1)
        share = rate(Plan(), Seen(came[window].sum()))
    month = [held[end - hours : end].sum() for end in range(2 * hours, 7 * hours + 1, hours)]
    needs = (1.96 * Seen(0).error / Plan().target) ** 2
    could = a_day * WINDOW_DAYS * Plan().cap
    assert np.mean(month) == pytest.approx(min(needs, could) if could >= LEAST else 0, rel=0.05)
    assert (min(month) >= ENOUGH) == (could > ENOUGH), "verified in every month, where the cap lets it be"


class TestConversation:
    def test_later_turns_belong_to_the_first(self) -> None:
        assert conversation(KEY, "a", FIRST, None) == conversation(KEY, "a", LATER, None)

    @pytest.mark.parametrize(
        ("key", "caller", "messages", "named"),
        [
            (b"other key", "a", FIRST, None),
            (KEY, "b", FIRST, None),
            (KEY, "a", [FIRST[1]], None),
            (KEY, "a", FIRST, "thread-1"),
        ],
    )
    def test_others_do_not(self, key: bytes, caller: str, messages: list[dict[str, str]], named: str | None) -> None:
        assert conversation(key, caller, messages, named) != conversation(KEY, "a", FIRST, None)

    def test_a_name_decides_alone(self) -> None:
        assert conversation(KEY, "a", FIRST, "t") == conversation(KEY, "a", [{"role": "user", "content": "x"}], "t")

    def test_takes_messages_without_a_user_and_with_parts(self) -> None:
        conversation(KEY, "", [{"role": "system", "content": [{"type": "text", "text": "\ud800"}]}], None)


class TestDraw:
    def test_holds_back_the_share_it_was_told(self) -> None:
        drawn = [held_back(KEY, number.to_bytes(8), 0.05) for number in range(20_000)]
        assert 900 < sum(drawn) < 1100

    def test_nought_and_one(self) -> None:
        assert not any(held_back(KEY, number.to_bytes(8), 0.0) for number in range(1000))
        assert all(held_back(KEY, number.to_bytes(8), 1.0) for number in range(1000))

    def test_who_is_held_back_at_a_low_rate_is_at_a_higher_one(self) -> None:
        for number in range(5000):
            name = number.to_bytes(8)
            assert held_back(KEY, name, 0.05) or not held_back(KEY, name, 0.02)
