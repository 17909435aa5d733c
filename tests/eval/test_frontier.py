"""Hand-made cases of the figures of merit for outcome matrices."""

from __future__ import annotations

import numpy as np
import pytest

from eval.frontier import Point, cost_of, hull, two_models


def test_apgr_of_perfect_and_of_inverted_uplift() -> None:
    weak, strong = np.array([1.0, 1, 0, 0]), np.array([1.0, 1, 1, 1])
    perfect = two_models(strong - weak, weak, strong)
    # Strong calls first where they help: all of the gap is recovered after half of the calls.
    assert perfect.apgr == pytest.approx(0.75, abs=0.02)
    assert perfect.cpt50 == pytest.approx(25, abs=1)
    inverted = two_models(weak - strong, weak, strong)
    assert inverted.apgr == pytest.approx(0.25, abs=0.02)


def test_random_uplift_recovers_half() -> None:
    rng = np.random.default_rng(0)
    weak, strong = (rng.random(4000) < share for share in (0.5, 0.9))
    found = two_models(rng.random(4000), weak.astype(float), strong.astype(float))
    assert found.apgr == pytest.approx(0.5, abs=0.05)
    assert found.cpt50 == pytest.approx(50, abs=6)


def test_the_hull_is_concave_and_says_what_a_quality_costs() -> None:
    points = [Point(0.2, 0.0, ()), Point(0.3, 5.0, ()), Point(0.8, 6.0, ()), Point(0.7, 9.0, ()), Point(0.9, 10.0, ())]
    found = hull(points)
    assert [p.cost for p in found] == [0.0, 6.0, 10.0]
    assert cost_of(found, 0.5) == pytest.approx(3.0)
    assert cost_of(found, 0.95) is None
