from __future__ import annotations

import pytest

from router.meter.coefficients import Size
from router.meter.dilution import diluted

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
