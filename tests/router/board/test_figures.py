"""The pure parts: percentiles, bins, break-even, reasons, the plane."""

from __future__ import annotations

import numpy as np
import pytest

from router.board.breakeven import RAM_W_PER_GB, break_even, idle_w
from router.board.calibration import bins
from router.board.latency import percentiles
from router.board.plane import Plane, Seen


def test_percentiles_are_waits_that_happened() -> None:
    assert percentiles(range(1_000_000, 101_000_000, 1_000_000)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles([7_000_000]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert percentiles([]) == {"p50": None, "p95": None, "p99": None}


def test_bins_of_a_perfect_and_of_a_boastful_judge() -> None:
    honest = [(0.75, 1.0)] * 75 + [(0.75, 0.0)] * 25
    assert bins(honest)["ece"] == pytest.approx(0)
    boastful = bins([(1.0, 0.0), (0.95, 1.0)])
    assert (boastful["n"], len(boastful["bins"])) == (2, 1)
    assert boastful["bins"][0]["stated"] == pytest.approx(0.975)
    assert boastful["bins"][0]["turned_out"] == 0.5
    assert boastful["ece"] == pytest.approx(0.475)
    assert bins([]) == {"n": 0, "ece": None, "bins": []}


def test_break_even_is_where_saving_equals_keeping() -> None:
    found = break_even(memory_mb=600, requests=50, saved_uj=50 * 300_000_000, hours=10)
    assert idle_w(600) == pytest.approx(600 * 1_048_576 / 1e9 * RAM_W_PER_GB)
    assert found["needed_per_hour"] * found["saved_j_per_request"] == pytest.approx(found["idle_w"] * 3600)
    assert (found["saved_j_per_request"], found["requests_per_hour"], found["pays"]) == (300.0, 5.0, True)
    assert found["needed_per_hour"] == pytest.approx(2.96, abs=0.01)


def test_break_even_where_there_is_none() -> None:
    worse = break_even(600, 10, -5_000_000, 1)
    assert (worse["needed_per_hour"], worse["pays"]) == (None, False)
    unknown = break_even(600, 0, 0, 1)
    assert (unknown["saved_j_per_request"], unknown["pays"]) == (None, None)
    assert break_even(0, 4, 8_000_000, 1)["needed_per_hour"] == 0.0


def test_the_plane_separates_what_differs_and_never_flips() -> None:
    rng = np.random.default_rng(0)
    index = np.repeat([0, 1, 2], [50, 10, 10])
    labels = np.array(["a", "b", "c"])[index]
    vectors = (np.eye(3, 16)[index] + rng.normal(0, 0.02, (70, 16))).astype(np.float32)
    plane, again = Plane.of(vectors, labels), Plane.of(vectors[::-1], labels[::-1])
    assert plane is not None
    assert again is not None
    found = plane.to_json([Seen(vectors[0], "x", False), Seen(vectors[60], "y", True)])
    places = {domain["label"]: np.array([domain["x"], domain["y"]]) for domain in found["domains"]}
    assert list(places) == ["a", "b", "c"]
    apart = min(np.linalg.norm(places[a] - places[b]) for a, b in ("ab", "ac", "bc"))
    first, second = found["requests"]
    assert np.linalg.norm(places["a"] - [first["x"], first["y"]]) < apart / 4
    assert np.linalg.norm(places["c"] - [second["x"], second["y"]]) < apart / 4
    assert (first["expert"], first["escalated"], second["escalated"]) == ("x", False, True)
    assert np.allclose(again.place(vectors[0]), plane.place(vectors[0]), atol=1e-3)


def test_too_few_examples_span_no_plane() -> None:
    assert Plane.of(np.eye(2, dtype=np.float32), np.array(["a", "b"])) is None
