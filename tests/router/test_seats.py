"""The numbers of workers on one port."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from router.seats import Seat, seat, taken


def test_numbers_are_those_of_the_living(tmp_path: Path) -> None:
    one, two, three = (Seat(tmp_path, number) for number in range(3))
    with ExitStack() as first, seat(tmp_path) as second:
        assert (first.enter_context(seat(tmp_path)), second) == (two, one)
        with seat(tmp_path) as third:
            assert third == three
            assert taken(tmp_path) == [one, two, three]
            first.close()
            assert taken(tmp_path) == [one, three]
            with seat(tmp_path) as again:
                assert again == two


def test_who_is_alone_has_none() -> None:
    with seat(None) as mine:
        assert mine is None
