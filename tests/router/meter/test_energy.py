from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experts.spec import Energy
from experts.wire import Usage
from router.meter.energy import HOST_FACTOR, SharedCpuClock, modelled_uj, table_energy, table_uj


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
    process.cpu_ns = None
    assert clock.finish(mark) == 0
    mark = clock.start()
    process.cpu_ns = 5_000_000
    assert clock.finish(mark) == 0


def test_a_finish_too_many_is_an_error() -> None:
    clock = SharedCpuClock(Process())
    clock.finish(clock.start())
    with pytest.raises(RuntimeError, match="finished once"):
        clock.finish(0)


@given(st.lists(st.tuples(st.integers(0, 10**9), st.booleans(), st.integers(0, 10**6)), max_size=60))
def test_shares_add_up_to_what_was_used_while_anyone_was_there(steps: list[tuple[int, bool, int]]) -> None:
    process = Process()
    clock = SharedCpuClock(process)
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


@given(st.integers(0, 10**14), st.integers(1, 200_000_000))
def test_modelled_energy_is_time_times_watts_rounded_half_up(cpu_ns: int, microwatts: int) -> None:
    exact = Fraction(cpu_ns, 10**9) * microwatts
    assert modelled_uj(cpu_ns, microwatts / 1e6) == (exact + Fraction(1, 2)).__floor__()


def energy(input_j: float, output_j: float) -> Energy:
    return Energy(input_j_per_token=input_j, output_j_per_token=output_j, source="measured", as_of=date(2026, 1, 1))


def test_table_energy_counts_fresh_input_and_all_output() -> None:
    usage = Usage(input=120, output=80, cached=100, reasoning=50)
    assert table_uj(usage, energy(0.0003, 0.042)) == 20 * 300 + 80 * 42_000


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**12), st.integers(0, 10**12))
def test_table_energy_is_exact_rounded_once(given_: int, made: int, input_pj: int, output_pj: int) -> None:
    exact = Fraction(given_ * input_pj + made * output_pj, 10**6)
    assert (
        table_uj(Usage(given_, made), energy(input_pj / 1e12, output_pj / 1e12)) == (exact + Fraction(1, 2)).__floor__()
    )


@pytest.mark.parametrize(
    ("params_b", "batch", "input_j", "output_j"),
    [(0.1, 8, 0.0003, 0.047), (1, 8, 0.0026, 0.10), (8, 64, 0.021, 0.135), (70, 64, 0.18, 0.86), (70, 256, 0.18, 0.49)],
)
def test_the_fit_gives_the_published_table(params_b: float, batch: float, input_j: float, output_j: float) -> None:
    fitted = table_energy(params_b, 16, batch)
    assert fitted.input_j_per_token / HOST_FACTOR == pytest.approx(input_j, rel=0.15)
    assert fitted.output_j_per_token / HOST_FACTOR == pytest.approx(output_j, rel=0.04)
    assert "ML.ENERGY" in fitted.source


def test_an_expert_without_parameters_takes_nothing() -> None:
    assert table_uj(Usage(1000, 1000), table_energy(0)) == 0


@pytest.mark.parametrize(("params_b", "bits", "batch"), [(-1, 16, 8), (1, 0, 8), (1, 16, 0.5)])
def test_sizes_out_of_range_are_refused(params_b: float, bits: float, batch: float) -> None:
    with pytest.raises(ValueError, match="no energy for"):
        table_energy(params_b, bits, batch)
