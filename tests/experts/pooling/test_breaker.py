from __future__ import annotations

from experts.pooling.breaker import Breaker


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_only_failures_in_a_row_open_it() -> None:
    breaker = Breaker(failures=2)
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    breaker.failed()
    assert breaker.closed
    breaker.failed()
    assert not breaker.closed and not breaker.enter()


def test_one_probe_after_the_cool_down_decides() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, cool_down_s=10, clock=clock)
    breaker.failed()
    clock.now = 9.9
    assert not breaker.enter()
    clock.now = 10
    assert breaker.admits and breaker.enter()
    assert not breaker.admits and not breaker.enter()
    breaker.gave_up()
    assert breaker.enter()
    breaker.failed()
    assert not breaker.enter()
    clock.now = 20
    assert breaker.enter()
    breaker.succeeded()
    assert breaker.closed
