from __future__ import annotations

from dataclasses import replace

import pytest

from router.meter.coefficients import Size, accelerator_j
from router.meter.dilution import Machines, diluted, written_part

# Share of energy saved by taking tokens off a fallback that ran at a batch, read off measured points of ML.ENERGY.
MEASURED = [
    (Size(70), 64, 0.8, 0.37),
    (Size(32), 64, 0.8, 0.40),
    (Size(70), 256, 0.8, 0.64),
    (Size(70), 64, 0.9, 0.435),
]


@pytest.mark.parametrize(("size", "batch", "taken_off", "saved"), MEASURED)
def test_fewer_requests_save_less_than_their_share(size: Size, batch: float, taken_off: float, saved: float) -> None:
    left = 1 - taken_off
    today = Size(size.params_b, batch=batch * left)
    found = diluted(today, own=left * 100_000, whole=100_000, counterfactual_uj=10**9)
    assert found is not None
    assert found.batch_alone == pytest.approx(batch)
    share = 1 - left * 10**9 / found.energy_uj
    assert share == pytest.approx(saved, abs=0.06)
    assert share < taken_off * 0.76


@pytest.mark.parametrize("size", [Size(3, machine="cpu"), Size(0)])
def test_a_processor_has_no_batch_to_fill(size: Size) -> None:
    assert diluted(size, 10, 100, 1000) is None


def test_nothing_is_said_of_a_fallback_that_answered_nothing() -> None:
    assert diluted(Size(70, batch=64), 0, 100, 1000) is None


def test_a_fallback_that_answers_all_saves_nothing() -> None:
    found = diluted(Size(70, batch=64), 100, 100, 1000)
    assert found is not None
    assert (found.energy_uj, found.factor) == (1000, 1)


def test_what_reading_prompts_takes_is_the_same_in_any_batch() -> None:
    """Half of ten thousand answers, each to a prompt eight times as long, on machines that could answer all."""
    today, alone = Size(70, batch=32), Size(70, batch=64)
    (asked, now), (_, then) = accelerator_j(today), accelerator_j(alone)
    whole = 10_000 * (800 * asked + 100 * now) * 1e6
    found = diluted(today, whole / 2, whole, whole, written_part(today, 5_000 * 800, 5_000 * 100))
    assert found is not None
    assert found.batch_alone == 64
    assert found.energy_uj == pytest.approx(10_000 * (800 * asked + 100 * then) * 1e6)


def test_of_tokens_that_were_never_read_all_is_written() -> None:
    assert written_part(Size(70), 0, 0) == written_part(Size(70), 0, 100) == written_part(Size(70), -5, 100) == 1
    assert written_part(Size(70), 100, 0) == 0


def test_what_it_would_have_written_is_part_seen_and_part_estimated() -> None:
    """A fallback that reads long prompts answers a third; in the place of the others it would only write."""
    size = Size(70, batch=32)
    machines = Machines(size, own_uj=10**9, other_uj=0.0, written=0.5, unseen_written=1.0)
    found = machines.diluted(3 * 10**9)
    assert found is not None
    writing = 0.5 + 2
    assert found.batch_alone == pytest.approx(32 * writing / 0.5)
    then_j = accelerator_j(replace(size, batch=found.batch_alone))[1]
    assert found.energy_uj == pytest.approx(10**9 * (0.5 + writing * then_j / accelerator_j(size)[1]))
    assert machines.slope(3e9) > 0
