from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.savings import Figures, figures, group_figures, main, misses, standing, to_json
from eval.terms import PERIODS
from eval.worlds import GROUPS, WORLDS, World, requests, run, run_by
from router.meter.savings import ENOUGH

RUNS = 40


@pytest.mark.parametrize(
    "name",
    [
        "chatty small models", "four turns", "forty uneven domains", "a fallback changed midway",
        "dear router, nothing certain",
    ],
)  # fmt: skip
def test_the_figure_is_right_on_average_and_its_interval_covers(name: str) -> None:
    world = next(each for each in WORLDS if each.name == name)
    found = figures(world, RUNS)
    assert abs(found.bias) <= 0.3 + 3 * found.bias_error
    assert found.coverage >= 0.80  # 40 runs at 95 %: one time in 100,000 fewer than 32 cover


@pytest.mark.parametrize("place", [0, 3, 4, 6])
def test_that_of_a_key_or_a_domain_is_right_too(place: int) -> None:
    found = group_figures(GROUPS[place], RUNS // 2)
    assert found.runs >= RUNS // 2, "in every period a group had conversations enough held back, on average"
    assert found.held >= ENOUGH
    assert abs(found.bias) <= 0.3 + 3 * found.bias_error
    assert found.coverage >= 0.80


def test_groups_are_parts_of_the_whole_and_differ() -> None:
    world, of = GROUPS[0]
    whole, groups = run(world, [3, 4]), run_by(world, of, [3, 4])
    assert len(groups) == 2
    for unit, joules in whole.spent_j.items():
        assert sum(each.spent_j[unit] for each in groups) == pytest.approx(joules)
    held = [each.segments[0].held.conversations for each in groups]
    assert sum(held) == whole.segments[0].held.conversations
    mixes = [each.segments[0].rows / each.segments[0].rows.sum() for each in groups]
    assert abs(mixes[0] - mixes[1]).max() > 0.05, "keys ask for different things"


def test_the_usual_figure_is_not() -> None:
    chatty = next(each for each in WORLDS if each.name == "chatty small models")
    terse = next(each for each in WORLDS if each.name == "terse small models")
    assert figures(chatty, 5).same_tokens_bias > 5
    assert figures(terse, 5).same_tokens_bias < -5


def test_there_are_worlds_enough_and_each_is_another() -> None:
    assert len(WORLDS) >= 20
    assert len({replace(world, name="") for world in WORLDS}) == len(WORLDS)


def test_answers_are_cut_off_where_a_world_says() -> None:
    long = World("long answers", spread=1.1, longest=32_768, requests=3_000)
    for world, least in ((long, 4096), (replace(long, longest=4096), 4095)):
        drawn = requests(world, np.random.default_rng(7))
        assert least < max(drawn.points[:, 1].max(), drawn.asked[:, 1].max()) <= world.longest


def test_a_seed_says_everything() -> None:
    first, second = run(WORLDS[0], 7), run(WORLDS[0], 7)
    assert first.true_share == second.true_share
    assert (first.segments[0].held.points == second.segments[0].held.points).all()


def test_what_is_outside_is_named() -> None:
    good = Figures("w", 500, 400.0, 0.1, 0.05, 1.0, 2.0, 0.95, 5.0)
    assert misses([good]) == []
    assert misses([replace(good, bias=1.0)]) == ["w: bias +1.00 points"]
    assert misses([replace(good, coverage=0.85)]) == ["w: coverage 85.0%"]
    assert misses([replace(good, coverage=0.85, held=200.0)]) == []
    assert to_json([good])["worlds"][0]["world"] == "w"


def test_of_few_runs_it_is_told_that_they_decide_nothing() -> None:
    good = Figures("w", 20, 400.0, 0.1, 0.05, 1.0, 2.0, 0.95, 5.0)
    look = "20 runs a world are a look: some are outside by chance alone. Remedy: --runs 500"
    assert standing([replace(good, coverage=0.80)], 20) == ["outside: w: coverage 80.0%", look]
    assert standing([good], 20) == [look]
    assert standing([good], 500) == []
    assert standing([replace(good, runs=500, coverage=0.80)], 500) == ["outside: w: coverage 80.0%"]


def test_the_suite_has_the_worlds_whose_terms_change_in_each_unit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eval.savings.WORLDS", WORLDS[:1])
    monkeypatch.setattr("eval.savings.PERIODS", PERIODS[:1])
    monkeypatch.setattr("sys.argv", ["savings", "--runs", "2", "--processes", "1"])
    main()
    told = [line.split("  ")[0].strip() for line in capsys.readouterr().out.splitlines() if "half width" in line]
    assert told == ["plain", "fixed machines from midway, energy", "fixed machines from midway, money"]
