from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.meter.holdback import Plan, Seen, conversation, held_back, rate

KEY = b"k" * 32
FIRST = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is my parcel?"}]
LATER = [*FIRST, {"role": "assistant", "content": "On its way."}, {"role": "user", "content": "Since when?"}]


class TestRate:
    @given(
        st.integers(0, 10**8),
        st.integers(0, 10**6),
        st.floats(0.1, 3),
        st.floats(0, 0.99),
        st.floats(0.01, 1),
    )
    def test_is_nothing_or_between_floor_and_cap(
        self, eligible: int, held: int, variation: float, explained: float, doubt: float
    ) -> None:
        plan = Plan()
        found = rate(plan, Seen(eligible, held, variation, explained, doubt))
        assert found == 0 or plan.floor <= found <= plan.cap

    def test_nobody_is_held_back_where_it_could_not_tell_anything(self) -> None:
        assert rate(Plan(), Seen(eligible=1999, held=0)) == 0
        assert rate(Plan(), Seen(eligible=2000, held=0)) > 0

    def test_a_cap_of_nought_holds_back_nothing(self) -> None:
        assert rate(Plan(cap=0), Seen(eligible=10**7, held=0)) == 0

    def test_falls_with_traffic_and_with_what_is_there(self) -> None:
        rates = [rate(Plan(), Seen(eligible, 0)) for eligible in (5_000, 30_000, 60_000, 10**7)]
        assert rates == sorted(rates, reverse=True)
        assert rate(Plan(), Seen(20_000, 250)) < rate(Plan(), Seen(20_000, 0))

    def test_more_doubt_needs_more(self) -> None:
        assert rate(Plan(), Seen(50_000, 0, variation=2.4)) > rate(Plan(), Seen(50_000, 0))


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
