from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.spec import MOST_J_PER_TOKEN, Energy
from experts.wire import MAX_TOKENS
from router.meter.energy import SharedCpuClock, UnitEnergy, modelled_uj, table_uj


class Process:
    """A process whose CPU time the test sets."""

    def __init__(self) -> None:
        self.cpu_ns: int | None = 0

    def __call__(self) -> int | None:
        return self.cpu_ns

    def work(self, ns: int) -> None:
        assert self.cpu_ns is not None
        self.cpu_ns += ns


def test_one_request_alone_has_all_of_it() -> None:
    process = Process()
    clock = SharedCpuClock(process)
    process.work(500)
    mark = clock.start()
    process.work(1000)
    assert clock.finish(mark) == 1000


def test_requests_share_equally_while_they_overlap() -> None:
    process = Process()
    clock = SharedCpuClock(process)
    first = clock.start()
    process.work(100)
    second = clock.start()
    process.work(60)
    assert clock.finish(first) == 100 + 30
    process.work(40)
    assert clock.finish(second) == 30 + 40


def test_a_restarted_process_counts_from_nothing() -> None:
    process = Process()
    clock = SharedCpuClock(process)
    process.work(10_000)
    mark = clock.start()
    process.work(500)
    other = clock.start()
    process.cpu_ns = 70
    assert clock.finish(other) + clock.finish(mark) == 500 + 70


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = Process()
    clock = SharedCpuClock(process)
    mark = clock.start()
    assert not clock.blind
    process.cpu_ns = None
    assert clock.finish(mark) == 0
    assert clock.blind, "nobody knows, so it is charged by the table"
    mark = clock.start()
    process.cpu_ns = 5_000_000
    assert clock.finish(mark) == 0


def test_a_finish_too_many_is_an_error() -> None:
    clock = SharedCpuClock(Process())
    clock.finish(clock.start())
    with pytest.raises(RuntimeError, match="finished once"):
        clock.finish(0)


def test_a_clock_is_read_at_both_ends_and_only_so_often_between() -> None:
    process, readings = Process(), [0]

    def read() -> int | None:
        readings[0] += 1
        return process()

    clock = SharedCpuClock(read, every_ns=10**18)
    process.work(7)
    first = clock.start()
    process.work(100)
    second = clock.start()
    process.work(60)
    third = clock.start()
    assert clock.finish(second) == 53, "no reading since it came, but it took something"
    process.work(30)
    assert clock.finish(third) == 53, "one reading is enough for whoever was there"
    assert clock.finish(first) == 53 + 1 + 30
    assert readings == [3]


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.booleans(), st.integers(0, 10**6)), max_size=60),
    st.sampled_from([0, 10**18]),
)
def test_shares_add_up_to_what_was_used_while_anyone_was_there(
    steps: list[tuple[int, bool, int]], every_ns: int
) -> None:
    process = Process()
    clock = SharedCpuClock(process, every_ns)
    under_way: list[int] = []
    used = shared = 0
    for ns, enters, which in steps:
        process.work(ns)
        used += ns if under_way else 0
        if enters or not under_way:
            under_way.append(clock.start())
        else:
            share = clock.finish(under_way.pop(which % len(under_way)))
            assert share >= 0
            shared += share
    shared += sum(clock.finish(mark) for mark in under_way)
    assert shared == used


@given(st.integers(0, 10**11), st.integers(1, 200_000_000))
def test_modelled_energy_is_time_times_watts_rounded_half_up(cpu_us: int, microwatts: int) -> None:
    exact = Fraction(cpu_us, 10**6) * microwatts
    assert modelled_uj(cpu_us, microwatts) == (exact + Fraction(1, 2)).__floor__()


def energy(input_j: float, output_j: float) -> Energy:
    return Energy(input_j_per_token=input_j, output_j_per_token=output_j, source="measured", as_of=date(2026, 1, 1))


def test_table_energy_counts_fresh_input_and_all_output() -> None:
    assert table_uj(UnitEnergy.of(energy(0.0003, 0.042)), 120, 80, cached=100) == 20 * 300 + 80 * 42_000


def test_the_longest_answer_at_the_most_joules_a_token_fits_into_the_ledger() -> None:
    most = UnitEnergy.of(energy(MOST_J_PER_TOKEN, MOST_J_PER_TOKEN), pue=3.0)
    assert table_uj(most, MAX_TOKENS, MAX_TOKENS) < 2**63


def test_the_building_multiplies_every_token() -> None:
    assert UnitEnergy.of(energy(0.0003, 0.042), pue=1.2) == UnitEnergy(360_000_000, 50_400_000_000)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 10**12))
def test_table_energy_is_exact_rounded_once(given_: int, made: int, input_pj: int, output_pj: int) -> None:
    exact = Fraction(given_ * input_pj + made * output_pj, 10**6)
    assert table_uj(UnitEnergy(input_pj, output_pj), given_, made) == (exact + Fraction(1, 2)).__floor__()
