"""Readers of counters, each against what the system shows them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.measuring import machine_cpu_ns
from router.meter.counters.division import IdlePower, QuietPower, Work, divide
from router.meter.counters.nvml import NvidiaCard, spread
from router.meter.counters.powercap import Powercap
from router.meter.counters.reader import Increments
from router.meter.counters.sampler import following

RANGE_UJ = 262_143_328_850
STEP_NS = 100_000_000


def zone(folder: Path, name: str, energy_uj: int | str, range_uj: int | None = RANGE_UJ) -> Path:
    """A zone as sysfs shows it."""
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    if range_uj is not None:
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder


def tree(root: Path) -> Path:
    """Two processors, one with memory, and the parts that would be counted twice."""
    zone(root / "intel-rapl:0", "package-0", 1000)
    zone(root / "intel-rapl:0" / "intel-rapl:0:0", "core", 700)
    memory = zone(root / "intel-rapl:0" / "intel-rapl:0:1", "dram", 50, 65_712_999_613)
    (root / "intel-rapl:0:1").symlink_to(memory, target_is_directory=True)
    zone(root / "intel-rapl:1", "package-1", 2000)
    (root / "intel-rapl").mkdir()
    return root


def test_processors_and_memory_are_counted_once(tmp_path: Path) -> None:
    found = Powercap.find(tree(tmp_path))
    assert found is not None
    assert sorted(found.read()) == [50, 1000, 2000]
    assert sorted(found.ranges_uj) == [65_712_999_613, RANGE_UJ, RANGE_UJ]  # type: ignore[type-var]


def test_a_package_behind_two_interfaces_is_counted_once(tmp_path: Path) -> None:
    """Laptops show it as intel-rapl and as intel-rapl-mmio."""
    root = tree(tmp_path)
    second = zone(root / "intel-rapl-mmio:0", "package-0", 7, 65_712_999_613)
    memory = zone(second / "intel-rapl-mmio:0:0", "dram", 8)
    (root / "intel-rapl-mmio:0:0").symlink_to(memory, target_is_directory=True)
    zone(root / "intel-rapl:2", "psys", 99_000)
    found = Powercap.find(root)
    assert found is not None
    assert sorted(found.read()) == [50, 1000, 2000]


def test_a_machine_without_zones_measures_nothing(tmp_path: Path) -> None:
    assert Powercap.find(tmp_path) is None
    assert Powercap.find(tmp_path / "none") is None


def test_what_may_not_be_read_is_said_once_with_the_remedy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tree(tmp_path)
    (root / "intel-rapl:1" / "energy_uj").unlink()
    (root / "intel-rapl:1" / "energy_uj").mkdir()  # unreadable for root as well
    with caplog.at_level(logging.WARNING):
        assert Powercap.find(root) is None
    assert [record.message.count("Remedy: chmod o+r") for record in caplog.records] == [1]


def test_a_counter_that_shows_no_number_is_a_failed_reading(tmp_path: Path) -> None:
    found = Powercap.find(tree(tmp_path))
    assert found is not None
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("")
    with pytest.raises(OSError, match="no number"):
        found.read()


@pytest.mark.parametrize(
    ("readings", "moved"),
    [
        ([100, 250, 250], [None, 150, 0]),
        ([RANGE_UJ - 10, 5], [None, 15]),
        ([0, RANGE_UJ, 7], [None, RANGE_UJ, 7]),
    ],
)
def test_a_counter_with_a_range_wraps(readings: list[int], moved: list[int | None]) -> None:
    counter = Increments([RANGE_UJ])
    assert [counter.since_last([value], STEP_NS) for value in readings] == moved
    assert counter.resets == 0


def test_a_counter_without_a_range_was_reset() -> None:
    counter = Increments([None])
    assert [counter.since_last([value], STEP_NS) for value in (500, 900, 30, 50)] == [None, 400, 30, 20]
    assert counter.resets == 1


@pytest.mark.parametrize("range_uj", [RANGE_UJ, None])
def test_a_counter_began_again_where_no_device_can_have_drawn_what_a_wrap_would_be(range_uj: int | None) -> None:
    """A wrap of the first would be 262 kJ in a tenth of a second; the last fell to more than can have come since."""
    counter = Increments([range_uj, range_uj])
    readings = ((40_000_000, 10), (5_000, 20), (200_000_000_000, 30), (90_000_000_000, 40))
    moved = [counter.since_last(each, STEP_NS) for each in readings]
    assert moved == [None, 5_010, 199_999_995_010, 10]
    assert counter.resets == 2


def test_the_longer_a_counter_was_not_read_the_more_can_be_a_wrap() -> None:
    for ns, moved, resets in ((STEP_NS, 7, 1), (9 * 10**9, 10_000_000_007, 0)):
        counter = Increments([RANGE_UJ])
        counter.since_last([RANGE_UJ - 10_000_000_000], 0)
        assert counter.since_last([7], ns) == moved
        assert counter.resets == resets


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=40), st.integers(10**9 + 1, 10**10))
def test_wrapping_loses_nothing(steps: list[int], range_uj: int) -> None:
    counter, true, found = Increments([range_uj]), 0, 0
    for step in [0, *steps]:
        true += step
        found += counter.since_last([true % range_uj], STEP_NS) or 0
    assert found == true


@given(st.integers(0, 10**12), st.lists(st.floats(0, 1e15), min_size=1, max_size=50))
def test_parts_add_up_and_are_as_their_weights(amount: int, weights: list[float]) -> None:
    parts = divide(amount, weights)
    assert sum(parts) == amount
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        share = weight / whole if whole else 1 / len(weights)
        assert abs(part - amount * share) <= 1 + amount * 1e-9


def test_nobody_gets_nothing() -> None:
    assert divide(100, []) == []


def test_idle_power_is_the_least_seen_over_a_second() -> None:
    idle = IdlePower()
    assert idle.of(500, 100_000_000) == 500, "as long as nothing is known, all of it"
    for watts in (90, 30, 120):
        for _ in range(10):
            idle.see(watts * 100_000, 100_000_000)
    assert idle.watts == pytest.approx(30)
    assert idle.of(12_000_000, 100_000_000) == 3_000_000
    assert idle.of(2_000_000, 100_000_000) == 2_000_000
    fixed = IdlePower(25.0, fixed=True)
    fixed.see(10**9, 10**9)
    assert fixed.watts == 25


def seen(power: QuietPower, watts: float, seconds: float, *, quiet: bool = True) -> None:
    """Windows of a tenth of a second."""
    for _ in range(round(10 * seconds)):
        power.see(round(watts * 100_000), 100_000_000, quiet=quiet)


def test_a_card_takes_for_nothing_what_it_took_when_it_was_last_left_alone() -> None:
    power = QuietPower()
    seen(power, 70, 30)
    assert power.watts == pytest.approx(70)
    seen(power, 115, 30)  # a model was loaded
    assert power.watts == pytest.approx(115)
    seen(power, 260, 30, quiet=False)
    assert power.watts == pytest.approx(115), "requests tell nothing of it"
    seen(power, 400, 8)  # another program, for less than half of the time
    seen(power, 115, 12)
    assert power.watts == pytest.approx(115)
    seen(power, 70, 1, quiet=False)
    assert power.watts == pytest.approx(70), "the model was unloaded, though somebody always asks"


def test_a_counter_that_moves_in_steps_makes_a_card_neither_thrifty_nor_wasteful() -> None:
    power, shown, last = QuietPower(), 0, 0
    for read_ms in range(97, 60_000, 97):
        last, shown = shown, read_ms // 100 * 7_000_000  # 70 W
        power.see(shown - last, 97_000_000, quiet=True)
    assert power.watts == pytest.approx(70, rel=0.05)


def test_idle_energy_that_a_counter_shows_a_step_late_is_idle_and_no_more_than_a_step_is() -> None:
    power = QuietPower(70.0, fixed=True)
    assert [power.of(uj, 100_000_000) for uj in (26_000_000, 0, 52_000_000, 26_000_000)] == [
        7_000_000, 0, 14_000_000, 7_000_000,
    ]  # fmt: skip
    for _ in range(9):
        power.of(0, 100_000_000)
    assert power.of(52_000_000, 100_000_000) == 14_000_000


def test_the_end_of_a_request_that_a_counter_shows_late_is_not_taken_for_idle() -> None:
    power = QuietPower()
    seen(power, 70, 4)
    for _ in range(10):
        seen(power, 260, 1, quiet=False)
        seen(power, 260, 0.2)
        seen(power, 70, 2.3)
    assert power.watts == pytest.approx(70)


def test_what_the_registry_says_of_a_card_is_not_learnt() -> None:
    power = QuietPower(25.0, fixed=True)
    seen(power, 70, 10)
    assert power.watts == 25


def test_work_follows_tokens_where_they_are_heard_and_time_where_not() -> None:
    work = Work(prompt_pj=1000, per_token_pj=10)
    work.begin(0)
    assert work.advance(10**9, 0, pace_pj_per_s=600) == 600
    assert work.advance(2 * 10**9, 1, pace_pj_per_s=600) == 410
    assert work.advance(3 * 10**9, 21, pace_pj_per_s=600) == 200
    assert work.finish(35 * 10**8, 900, 41) == 100, "the prompt was shorter than estimated"
    assert work.finish(35 * 10**8, 900, 41) == 0


def test_work_is_even_from_look_to_look() -> None:
    work = Work(prompt_pj=0, per_token_pj=10)
    work.begin(100)
    work.advance(200, 10, pace_pj_per_s=0)
    work.finish(300, 0, 40)
    assert [work.between(*span) for span in ((0, 100), (0, 150), (150, 250), (250, 900), (300, 900))] == [
        0, 50, 200, 150, 0,
    ]  # fmt: skip


def test_a_reading_that_is_older_than_a_request_tells_of_none_of_its_work() -> None:
    """It was taken in a thread before the request began, and heard of afterwards."""
    work = Work(prompt_pj=0, per_token_pj=10)
    work.begin(100)
    assert work.advance(60, 0, pace_pj_per_s=600) == 0
    assert work.between(0, 60) == 0
    assert work.finish(80, 0, 4) == 40
    assert work.between(0, 60) == 0
    assert work.between(60, 200) == 40


def test_readings_stay_in_step_with_a_counter_however_long_one_takes() -> None:
    due = 1_000
    for took in (5, 60, 0, 99):
        due = following(due, due + took, 100)
    assert due == 1_400
    assert following(1_400, 1_750, 100) == 1_850, "none is made up for"


class Library:
    """NVML as its Python binding shows it, for machines that have none. Counters are millijoules."""

    class NVMLError(Exception):
        pass

    def __init__(self, counters: Sequence[int | None]) -> None:
        self.counters = list(counters)
        self.percent: dict[int, int] = {}
        """How busy cards are; of others it is not supported."""
        self.held = 0

    def nvmlInit(self) -> None:  # noqa: N802
        self.held += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.held -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.counters)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        value = self.counters[handle]
        if value is None:
            raise self.NVMLError("Not Supported")
        return value

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:  # noqa: N802
        if handle not in self.percent:
            raise self.NVMLError("Not Supported")
        return SimpleNamespace(gpu=self.percent[handle], memory=0)


def test_cards_say_whether_they_work_for_any_program() -> None:
    library = Library([1, 2, 3, 4])
    found = spread(NvidiaCard.find_all(library), ["gpu:1-2"])
    assert [(each.name, each.works()) for each in found] == [("gpu:1-2", None), ("gpu:0", None), ("gpu:3", None)]
    library.percent = {0: 44, 1: 0, 3: 2}
    assert [each.works() for each in found] == [False, True, False]
    library.percent[2] = 100
    assert [each.works() for each in found] == [True, True, False]


def test_cards_count_millijoules_and_old_ones_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    library = Library([5_000, None, 7])
    with caplog.at_level(logging.WARNING):
        cards = NvidiaCard.find_all(library)
    assert [(card.name, card.read()) for card in cards] == [("gpu:0", [5_000_000]), ("gpu:2", [7_000])]
    assert "gpu:1: Not Supported" in caplog.text
    library.counters[0] = None
    with pytest.raises(OSError, match="gpu:0"):
        cards[0].read()
    for card in cards:
        card.close()
    assert library.held == 0


def test_cards_over_which_a_model_is_spread_are_one_device() -> None:
    library = Library([1, 2, 3, 4, 5])
    found = spread(NvidiaCard.find_all(library), ["cpu", "gpu:1-3", "gpu:2-4", "gpu:0", "gpu:9-11", "gpu:4-3"])
    assert [(each.name, each.read()) for each in found] == [
        ("gpu:1-3", [2_000, 3_000, 4_000]), ("gpu:0", [1_000]), ("gpu:4", [5_000]),
    ]  # fmt: skip
    counter = Increments(found[0].ranges_uj)
    assert counter.since_last(found[0].read(), STEP_NS) is None
    library.counters[1:4] = [12, 0, 4]  # the second of them was reset
    assert counter.since_last(found[0].read(), STEP_NS) == 10_000
    assert counter.resets == 1
    library.counters[3] = None
    with pytest.raises(OSError, match="gpu:3"):
        found[0].read()
    for each in found:
        each.close()
    assert library.held == 0


def test_without_a_driver_there_are_no_cards() -> None:
    """The real library, which finds no driver here; where one is, its cards are found."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert NvidiaCard.find_all() == []
    else:
        assert all(card.read()[0] > 0 for card in NvidiaCard.find_all())


def test_the_machines_cpu_time_is_its_work() -> None:
    now = machine_cpu_ns()
    assert now is None or now > 0


def test_waiting_is_no_work(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 1 20 5000 300 2 3 99 0 0\ncpu0 1 1 1 1\n")
    assert machine_cpu_ns(stat) == 36 * 10_000_000
    stat.write_text("")
    assert machine_cpu_ns(stat) is None
