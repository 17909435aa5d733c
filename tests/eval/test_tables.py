from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from eval.plan import FIGURES, read_plan
from eval.tables import PAGES, RESULTS, TablesError, render_tables

BENCH = {
    "commit": "0123456789abcdef",
    "dirty": False,
    "date": "2026-11-21T10:00:00+00:00",
    "machine": {"cpu": "A processor", "cores": 2, "memory_gb": 8.0, "kernel": "6.1", "python": "3.11.9"},
    "figures": {"named_us": 61.4, "stream_us": 1234.5, "routed_us": 998.0, "repeat_us": 75.5, "rss_mb": 131.6},
    "spread": {
        name: {"n": 7, "min": 1.0, "q1": 58.2, "median": 2.0, "q3": 64.9, "p99": 3.0, "max": 4.0}
        for name in ("named_us", "stream_us", "routed_us", "repeat_us")
    },
}
MARKED = "before\n<!-- results:bench -->\nold\n<!-- /results -->\nafter\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    shutil.copy(RESULTS / "litellm.json", tmp_path)
    (tmp_path / "bench.json").write_text(json.dumps(BENCH))
    return tmp_path


def test_a_table_says_what_was_measured_and_what_it_is_compared_with(results: Path) -> None:
    made = render_tables(MARKED, results)
    assert made.startswith("before\n<!-- results:bench -->\n|")
    assert made.endswith("\n<!-- /results -->\nafter\n")
    assert "old" not in made
    assert "| to a named expert | 61 us | 58 to 65 | 3,770 us |" in made
    assert "| the same, as a stream of 33 events | 1,234 us | 58 to 65 | 22,901 us |" in made
    assert "| resident memory | 132 MB | | 297 MB |" in made
    for said in ("2026-11-21", "commit 0123456789ab,", "A processor", "7 windows", "LiteLLM proxy", "beforehand"):
        assert said in made


METERING = {
    **{name: BENCH[name] for name in ("commit", "dirty", "date", "machine")},
    "figures": {
        "loop_work_us": 7.25, "loop_told_us": 2.5, "loop_metering_us": 9.75, "loop_durable_us": 4.25,
        "loop_busy_us": 14.0, "writer_busy_us": 22.0, "loop_alone_us": 99.0, "writer_alone_us": 1234.5,
    },
    "spread": {
        name: {"q1": 6.04, "q3": 8.06}
        for name in (
            "loop_work_us", "loop_told_us", "loop_metering_us", "loop_durable_us", "loop_busy_us", "writer_busy_us",
            "loop_alone_us", "writer_alone_us",
        )
    },
    "detail": {"requests": 20_000, "rounds": 7, "load": 8.4},
}  # fmt: skip


def test_what_metering_costs_is_told_with_its_spread(results: Path) -> None:
    marked = MARKED.replace("results:bench", "results:metering")
    assert render_tables(marked, results) == marked.replace("old\n", "")
    (results / "metering.json").write_text(json.dumps(METERING))
    made = render_tables(marked, results)
    assert "| the event loop: metering itself | 7.2 us | 6.0 to 8.1 |" in made
    assert "| the event loop: both of these together | 9.8 us | 6.0 to 8.1 |" in made
    assert "| the event loop: all of the above, 64 concurrent requests | 14.0 us | 6.0 to 8.1 |" in made
    assert "| the ledger's thread, one request at a time | 1,234.5 us |" in made
    for said in ("2026-11-21", "commit 0123456789ab,", "load 8", "7 rounds of 20,000 requests"):
        assert said in made
    assert "CPU clock" not in made
    measured_by = {**METERING["detail"], "yardstick": {"clock_ns": 780.4, "turn_ns": 51.27}}
    (results / "metering.json").write_text(json.dumps({**METERING, "detail": measured_by}))
    told = "entries each; reading a thread's CPU clock took 780 ns there, one iteration of a plain loop 51.3 ns."
    assert told in render_tables(marked, results)
    (results / "metering.json").write_text(json.dumps({**METERING, "figures": {}}))
    with pytest.raises(TablesError, match=r"metering\.json: .*Remedy: python -m eval\.bench\.metering"):
        render_tables(marked, results)


def test_how_much_of_its_traffic_a_newcomer_takes_is_told_as_it_was_measured(results: Path) -> None:
    marked = MARKED.replace("results:bench", "results:added")
    assert render_tables(marked, results) == marked.replace("old\n", "")
    figures = {
        "taken": {"value": 0.5, "low": 0.4, "high": 0.61},
        "taken_later": {"value": 0.8, "low": 0.7, "high": 0.9},
        "cost": {"value": -0.002, "low": -0.01, "high": 0.004},
    }
    narrow = {**figures, "taken": {"value": 0.93, "low": 0.92, "high": 0.94}}
    apart = {"weather": narrow, "bank": {"taken": {"value": 0.3, "low": 0.2, "high": 0.41}}}
    added = {"strangers": {"all": narrow, "newcomers": apart}, "strangers_together": {"all": narrow}}
    used = {**figures, "taken": {"value": 0.6, "low": 0.5, "high": 0.7}}
    added |= {"strangers_used": {"all": narrow}, "registry_used": {"all": used}, "registry": {"all": figures}}
    added |= {"registry_chosen": {"all": figures}, "clinc150": {"all": narrow}}
    added |= {"strangers_last": {"all": {**narrow, "cost": {"value": 0.0004, "low": -0.0003, "high": 0.001}}}}
    added = {name: {**each, "requests": 2389 if name == "strangers_last" else 527} for name, each in added.items()}
    (results / "added.json").write_text(json.dumps({**BENCH, "added": 17, "together": 4, **added}))
    made = render_tables(marked, results)
    for said in (
        "| added with 17 examples |",
        "registry: 2 domains of public data | 93.0 % (92.0 to 94.0) | -0.20 points (-1.00 to 0.40) | 527 |",
        "the others with all their examples | 93.0 % (92.0 to 94.0) | 0.04 points (-0.03 to 0.10) | 2,389 |",
        "the same, 4 added at once | 93.0 %", "added again | 50.0 % (40.0 to 61.0) |", "| 80.0 % (70.0 to 90.0) |\n",
        "without scores | 93.0 %", "than the two rows above) | 60.0 %",
        "`bank` is sent the smallest share, 30.0 % (20.0 to 41.0)",
    ):  # fmt: skip
        assert said in made
    assert "**" not in made
    assert "as their owners" not in made
    measured = {"date": "2026-11-27T03:00:00+00:00", "commit": "d" * 40, "dirty": False}
    foretold = {"share": 0.5625, "off": 0.13, "newcomers": {}}
    apart = {"weddings": {"taken": {"value": 0.265, "low": 0.11, "high": 0.43}}, "recipes": narrow}
    added["owners"] = {"all": used, "newcomers": apart, "requests": 527, "foretold": foretold, "measured": measured}
    (results / "added.json").write_text(json.dumps({**BENCH, "added": 17, "together": 4, **added}))
    made = render_tables(marked, results)
    for said in (
        "2 domains with examples as their owners would write them | 60.0 % (50.0 to 70.0) |",
        "| 527 | (it has no more) |",
        "Of the owners' domains, `weddings` is sent the smallest share, 26.5 % (11.0 to 43.0).",
        "predicts 56.2 % on average from the examples, and is off by 13 points for a single domain on average "
        "(2026-11-27, commit dddddddddddd).",
        "the same, 4 added at once | 93.0 %", "Of the public domains, `bank` is sent the smallest share",
    ):  # fmt: skip
        assert said in made
    assert "results:added" in PAGES[0].read_text(), "whoever reads how to add an expert is told"


def test_a_cost_to_the_others_that_misses_its_target_is_bold(results: Path) -> None:
    """Whatever its interval reaches, as in every other table; and it is not written as if it were the target."""
    taken = {"value": 0.5, "low": 0.4, "high": 0.61}
    costs = {"strangers": 0.0029, "strangers_together": 0.0044, "registry": 0.0030146, "clinc150": 0.003}
    told = {
        name: {"taken": taken, "taken_later": taken, "cost": {"value": cost, "low": 0.0011, "high": 0.0057}}
        for name, cost in costs.items()
    }
    added = {name: {"all": each, "newcomers": {"weather": each}, "requests": 527} for name, each in told.items()}
    (results / "added.json").write_text(json.dumps({**BENCH, "added": 20, "together": 3, **added}))
    made = render_tables(MARKED.replace("results:bench", "results:added"), results)
    found = [line.split(" | ")[2] for line in made.splitlines() if "| 527 |" in line]
    shown = ["0.29 points", "**0.44 points**", "0.30 points", "**0.301 points**"]
    assert found == [f"{each} (0.11 to 0.57)" for each in shown]
    assert "The target is at most 0.30 points; a cost that misses it is bold." in made


def test_made_again_it_is_the_same(results: Path) -> None:
    made = render_tables(MARKED, results)
    assert render_tables(made, results) == made


def test_a_result_of_a_changed_tree_says_so(results: Path) -> None:
    (results / "bench.json").write_text(json.dumps({**BENCH, "commit": None, "dirty": True}))
    assert "no commit with changes" in render_tables(MARKED, results)


def test_text_outside_the_marks_stays(results: Path) -> None:
    text = "no marks here, only <!-- results --> words\n"
    assert render_tables(text, results) == text


def test_nothing_measured_gives_no_table(tmp_path: Path) -> None:
    assert render_tables(MARKED, tmp_path) == "before\n<!-- results:bench -->\n<!-- /results -->\nafter\n"


def test_an_unknown_table_is_named(results: Path) -> None:
    with pytest.raises(TablesError, match=r"'benhc'.*Remedy: use one of bench"):
        render_tables(MARKED.replace("results:bench", "results:benhc"), results)


@pytest.mark.parametrize("content", ["{", "[1, 2]", "{}", json.dumps({**BENCH, "figures": {}})])
def test_an_unusable_result_is_named(results: Path, content: str) -> None:
    (results / "bench.json").write_text(content)
    with pytest.raises(TablesError, match=r"bench\.json: .*Remedy: .*make bench"):
        render_tables(MARKED, results)


@pytest.mark.parametrize("name", ["metering", "savings", "picture", "added"])
def test_half_a_result_of_another_table_is_named_too(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.json").write_text("{}")
    with pytest.raises(TablesError, match=rf"{name}\.json: lacks or misstates .*Remedy: "):
        render_tables(MARKED.replace("bench", name), tmp_path)


def test_the_judges_table_says_which_runs_it_lacks_and_shows_no_quick_look(tmp_path: Path) -> None:
    marked = MARKED.replace("results:bench", "results:judge")
    first, other, *_ = read_plan(FIGURES).runs
    record = {
        **BENCH,
        "id": first.id,
        "title": first.title,
        "quick": False,
        "seeds": [0, 1],
        "figures": {},
        "detail": {},
    }
    quick = {**record, "id": other.id, "title": other.title, "quick": True}
    (tmp_path / f"{other.id}.json").write_text(json.dumps(quick))
    assert render_tables(marked, tmp_path) == marked.replace("old\n", "")
    (tmp_path / f"{first.id}.json").write_text(json.dumps(record))
    made = render_tables(marked, tmp_path)
    lacking = made.split("Not measured: ", 1)[1]
    assert other.title in lacking
    assert first.title not in lacking


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        (
            {"clinc150": 1, "mmlu-1500": 5, "nine-models": 5},
            "seeds: 5, or 1 where nothing is drawn at random; intervals",
        ),
        ({"mmlu-1500": 5, "nine-models": 2}, "seeds: 2 or 5; intervals"),
        ({"clinc150": 1}, "seeds: 1 where nothing is drawn at random; intervals"),
    ],
)
def test_the_judges_table_says_on_how_many_seeds_it_rests(tmp_path: Path, seeds: dict[str, int], told: str) -> None:
    for run, count in seeds.items():
        record = {**BENCH, "id": run, "title": run, "seeds": [*range(count)], "figures": {}, "detail": {}}
        (tmp_path / f"{run}.json").write_text(json.dumps(record))
    assert told in render_tables(MARKED.replace("results:bench", "results:judge"), tmp_path)


def test_the_judges_table_names_every_machine_that_a_run_was_made_on(tmp_path: Path) -> None:
    newer = {"date": "2026-11-28T10:00:00+00:00", "machine": {**BENCH["machine"], "cpu": "Another", "cores": 16}}
    for run, when in {"clinc150": {}, "mmlu-1500": newer, "nine-models": {}}.items():
        record = {**BENCH, "id": run, "title": run, "seeds": [0], "figures": {}, "detail": {}, **when}
        (tmp_path / f"{run}.json").write_text(json.dumps(record))
    made = render_tables(MARKED.replace("results:bench", "results:judge"), tmp_path)
    assert ", A processor, 2 cores and Another, 16 cores; seeds: 1" in made


@pytest.mark.parametrize(
    ("page", "tables"),
    list(
        zip(
            PAGES,
            [{"added", "picture", "bench", "judge", "savings"}, {"bench", "metering", "judge-all", "savings"}],
            strict=True,
        )
    ),
    ids=[page.name for page in PAGES],
)
def test_no_page_is_stale(page: Path, tables: set[str]) -> None:
    text = page.read_text()
    assert set(re.findall(r"<!-- results:([\w-]+) -->", text)) == tables
    assert render_tables(text, RESULTS) == text


def test_the_short_table_of_the_judge_has_what_is_asked_and_our_own_requests(results: Path) -> None:
    short, whole = (
        render_tables(MARKED.replace("bench", name), RESULTS).splitlines() for name in ("judge", "judge-all")
    )
    assert len(short) < len(whole)
    assert [line for line in whole if "at least" in line or "at most" in line or "small expert" in line] == [
        line for line in short if "at least" in line or "at most" in line or "small expert" in line
    ]
    assert [line for line in short if "gain over" in line or "accuracy without a threshold" in line] == []


def test_a_world_that_is_looked_at_in_two_units_is_one_world(results: Path) -> None:
    world = {"held": 300.0, "bias": 0.1, "coverage": 0.95, "same_tokens_bias": 5.0, "runs": 500}
    names = ("plain", "dear router, nothing certain", "fixed machines from midway, energy",
             "fixed machines from midway, money")  # fmt: skip
    suite = {**{name: BENCH[name] for name in ("commit", "machine")}, "date": "2026-11-21", "coverage": 0.95,
             "worlds": [{**world, "world": name} for name in names]}  # fmt: skip
    (results / "savings.json").write_text(json.dumps(suite))
    made = render_tables(MARKED.replace("results:bench", "results:savings"), results)
    assert "| fixed machines from midway, money | 300 | +0.10 points | 95.0% | +5.0 points |" in made
    assert "3 simulated worlds, 500 runs each;" in made
    assert "`python -m eval.savings --runs 500`, 2026-11-21" in made
