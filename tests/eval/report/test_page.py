"""The page that `shoal eval report` makes, read as text and opened in a real browser."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from eval.drawn import NO_INTERVAL
from eval.plan import FIGURES, Plan, PlanError, read_plan
from eval.record import SHOWN
from eval.report import plots, words
from eval.report.page import drawn, page
from eval.report.plots import standalone
from eval.report.publish import publish
from tests.browser.test_manners import CONTRAST

SVG = "{http://www.w3.org/2000/svg}"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FIGURE = {
    "value": 0.95, "low": 0.94, "high": 0.96, "seeds": [0.95], "title": "accuracy", "unit": "%", "better": "more",
    "reach": 0.9, "aim": 0.97, "reached": True, "aim_reached": False,
}  # fmt: skip
ORIGIN = {
    "commit": "0123456789abcdef", "dirty": False, "date": "2026-11-25T10:00:00+00:00", "encoder": "e" * 64,
    "data_sha256": "d" * 64, "seeds": [0, 1], "file": "a.jsonl", "quick": False,
    "machine": {"cpu": "A <fast> processor", "cores": 2, "memory_gb": 8.0, "kernel": "6.1", "python": "3.11.9"},
}  # fmt: skip
POINTS = [{"quality": 0.5 + at / 10, "cost": float(at), "share": {"small": 1.0}} for at in range(4)]
BINS = [{"confidence": 0.1 + at / 10, "right": at / 10, "claims": 10 + at} for at in range(9)]
OUTCOMES: dict[str, Any] = {
    **ORIGIN, "id": "two", "title": "two models & one <judge>", "kind": "outcomes", "failures": [],
    "figures": {"apgr": {**FIGURE, "title": "APGR", "reach": 0.99, "reached": False}} | {
        name: {**FIGURE, "title": f"{name} and what it is called at length", "reached": None}
        for name in ("cpt50", "ece", "gain")
    },
    "verdict": {
        "shuffled": {"value": 0.03, "low": 0.02, "high": 0.04, "beats": True},
        "task_mean": {"value": 0.001, "low": -0.002, "high": 0.004, "beats": False},
    },
    "ablation": {
        "tasks": {
            name: {"value": 0.02, "low": 0.01, "high": 0.03, "earns": "yes"}
            for name in ("apgr", "cpt50", "ece", "gain")
        },
        "surface": {"apgr": {"value": 0.0, "low": -0.01, "high": 0.01, "earns": "nothing sure"}},
    },
    "detail": {
        "dropped": 3, "near_duplicates": 40, "by_task": {"a": {"quality": 0.5, "rows": 3}},
        "frontier": POINTS, "constants": POINTS, "objective": "calls",
        "baselines": {name: {"quality": 0.6, "cost": 1.0} for name in ("random", "shuffled", "task_mean", "oracle")},
        "best_quality": {"quality": 0.8, "cost": 3.0}, "calibration": BINS,
        "risk": {"epsilon": 0.02, "kept_small": 0.3},
        "risk_curve": [{"kept_small": at / 10, "loss": at * at / 1000} for at in range(11)],
    },
}  # fmt: skip
REQUESTS: dict[str, Any] = {
    **ORIGIN, "id": "own", "title": "requests", "kind": "requests", "verdict": {}, "ablation": {},
    "figures": {"handled": FIGURE},
    "detail": {
        "confusion": {"chat": {"chat": 8, "fallback": 2}, "fallback": {"chat": 1, "fallback": 9}},
        "by_kind": {"emoji": {"n": 20, "handled": 0.9, "wrong_expert": 0.1, "null_recall": None}},
    },
    "failures": [
        {"id": "r1", "kind": "emoji", "label": None, "choice": "chat", "probability": 0.91, "known": 0.2,
         "text": "<script>alert(1)</script>"},
    ],
}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Path:
    for record in (OUTCOMES, REQUESTS):
        (tmp_path / f"{record['id']}.json").write_text(json.dumps(record))
    runs = [
        {
            "id": "two",
            "title": "t",
            "kind": "outcomes",
            "file": "f",
            "fallback": "b",
            "objective": "c",
            "split": "folds",
        },
        {"id": "own", "title": "t", "kind": "requests", "file": "f"},
    ]
    plan = Plan.model_validate({"seeds": [0], "runs": [{**run, "figures": {}} for run in runs]})
    return publish(plan, tmp_path)


def test_details_are_folded_and_everything_is_linked_from_the_top(made: Path) -> None:
    """Verdict, figures and the first plots are what can be read in two minutes."""
    text = made.read_text()
    links = re.findall(r'<li><a href="#(\w+)">', text)
    assert sorted(links) == sorted(re.findall(r'<(?:section|div) id="(\w+)">', text))
    assert [at for at in links if f'<section id="{at}">' in text] == ["figures", "frontiers"]
    assert text.index("1 of 2 figures") < text.index("<nav") < text.index("<h2>Figures")
    for at in ("calibration", "parts", "ways", "wrong", "how"):
        linked = rf'<details class="section"><summary><h2>[^\n]*</summary>\n<div id="{at}">'
        assert re.search(linked, text), "browsers open what is linked inside of it, not the details themselves"
    assert text.count("<section") == text.count("</section>")
    assert text.count("<details") == text.count("</details>")


def test_every_machine_that_a_record_was_made_on_is_named_once() -> None:
    other = {**REQUESTS, "machine": {**ORIGIN["machine"], "cpu": "Another", "cores": 16, "python": "3.12.3"}}
    said = "A &lt;fast&gt; processor, 2 cores, Python 3.11.9 and Another, 16 cores, Python 3.12.3."
    assert said in page([OUTCOMES, other, REQUESTS], {})


def test_a_figure_without_an_interval_has_no_empty_brackets() -> None:
    alone = {**FIGURE, "value": 0.0, "low": 0.0, "high": 0.0, "reached": False}
    missed = list(words.missed([{**REQUESTS, "figures": {"handled": alone, "rest": {**FIGURE, "reached": False}}}]))
    assert missed == [
        "requests: accuracy is 0.0 %; the target is at least 90.0 %.",
        "requests: accuracy is 95.0 % (94.0 to 96.0); the target is at least 90.0 %.",
    ]


def test_where_there_is_no_interval_it_is_said_why(made: Path) -> None:
    """Of few requests none is told: of a figure, beside a control, or of what a part is worth."""
    assert NO_INTERVAL not in made.read_text()
    none = {"low": None, "high": None}
    few = {
        **OUTCOMES,
        "figures": {"apgr": {**FIGURE, "title": "APGR", **none}},
        "verdict": {name: {**each, **none, "beats": False} for name, each in OUTCOMES["verdict"].items()},
        "ablation": {"tasks": {"apgr": {"value": 0.02, **none, "earns": "nothing sure"}}},
    }
    text = page([few], {})
    assert text.count(NO_INTERVAL) == 1
    assert "its own decisions, shuffled: 3.00 points at the same cost</li>" in text
    assert "<p>APGR +2.00 points: two models" in text
    assert [verb for _, verb, _ in words.verdicts(few)] == ["is not certain to beat"] * 2


def test_the_verdict_comes_first_and_is_plain(made: Path) -> None:
    text = made.read_text()
    assert text.count(words.SAME_COST) == 1
    assert words.SAME_COST not in page([REQUESTS], {})
    assert "1 of 2 figures reach their target." in text
    assert text.index("1 of 2 figures") < text.index("<h2>Figures") < text.index("<h2>Quality at every cost")
    assert '<span class="good">beats</span> its own decisions, shuffled: 3.00 points' in text
    assert '<span class="bad">is not certain to beat</span> choosing the best model for the task' in text
    assert "<p>APGR +2.00 points (+1.00 to +3.00): two models &amp; one &lt;judge&gt;</p>" in text
    assert '<span class="bad">not reached</span><br><span class="faint">stretch missed</span>' in text
    assert '<br><span class="good">stretch too</span>' not in text
    assert "3 exact repeats dropped; 40 near-duplicates" in text


def test_a_figure_with_a_target_that_was_not_measured_counts_as_one_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text(json.dumps(REQUESTS))
    handled = {"title": "accuracy", "better": "more", "reach": 0.9, "unit": "%"}
    refused = {"title": "refused <windows>", "better": "less", "reach": 0.1, "unit": "%"}
    plain = {"title": "tokens", "better": "less"}
    runs = [
        {"id": "own", "title": "requests", "figures": {"handled": handled, "refused": refused, "tokens": plain}},
        {"id": "later", "title": "not run", "figures": {"handled": handled}},
    ]
    plan = {"seeds": [0], "runs": [{**run, "kind": "requests", "file": "f"} for run in runs]}
    text = publish(Plan.model_validate(plan), tmp_path).read_text()
    assert "1 of 3 figures reach their target; 2 of them are not measured." in text
    lines = re.findall(r'<li><span class="bad">not measured</span> ([^<]*)</li>', text)
    assert lines == [
        "requests: refused &lt;windows&gt;; the target is at most 10.0 %.",
        "not run: accuracy; the target is at least 90.0 %.",
    ]
    plan["runs"] = plan["runs"][:1]
    runs[0]["figures"] = {"handled": handled}
    text = publish(Plan.model_validate({**plan, "runs": [{**runs[0], "kind": "requests", "file": "f"}]}), tmp_path)
    assert "1 of 1 figures reach their target." in text.read_text()


def test_the_judges_row_beside_the_baselines_says_that_it_leaves_cost_aside(made: Path) -> None:
    text = made.read_text()
    assert "<td>the judge, for quality alone</td>" in text
    assert text.count("for quality alone, whatever that costs. For what it reaches at the cost of another") == 1
    assert "for quality alone" not in page([REQUESTS], {})


def test_a_set_says_how_many_seeds_it_rests_on(made: Path) -> None:
    text = made.read_text()
    assert 'judge&gt; <span class="faint">2 seeds</span>' in text
    assert 'requests <span class="faint">2 seeds, nothing is drawn at random</span>' in text
    assert words.seeds({**OUTCOMES, "seeds": [3]}, {"own"}) == "1 seed"


@pytest.mark.parametrize(
    ("value", "low", "high", "earns", "unit", "said"),
    [
        (0.02, 0.01, 0.03, "yes", "", "+0.0200 (+0.0100 to +0.0300)"),
        (0.02, 0.01, 0.03, "yes", "%", "+2.00 points (+1.00 to +3.00)"),
        (0.002, 0.000034, 0.004, "yes", "", "+0.0020 (+0.00003 to +0.0040)"),
        (0.002, 0.000034, 0.004, "yes", "points", "+0.20 points (+0.003 to +0.40)"),
        (-0.002, -0.004, -0.0000071, "harms", "", "-0.0020 (-0.0040 to -0.000007)"),
        (0.000003, -0.01, 0.01, "nothing sure", "", "+0.0000 (-0.0100 to +0.0100)"),
        (6.5, 5.0, 8.0, "yes", "B", "+6.5000 B (+5.0000 to +8.0000)"),
    ],
)
def test_a_bound_shows_on_which_side_of_nothing_it_lies(
    value: float, low: float, high: float, earns: str, unit: str, said: str
) -> None:
    assert words.worth({"value": value, "low": low, "high": high, "earns": earns}, unit) == said


def test_rows_left_out_are_told_by_why_they_are() -> None:
    detail = {"dropped": 5, "near_duplicates": 2}
    told = [words.leaks({"kind": "labels", "detail": {**detail, **more}}) for more in ({}, {"repeats": 3})]
    assert told[0].startswith("5 rows dropped whose text is in both training and test data; 2 near-duplicates")
    assert told[1].startswith(
        "2 rows dropped whose text is in both training and test data, and 3 exact repeats; 2 near"
    )


def test_rows_that_are_not_scored_are_told() -> None:
    detail = {"dropped": 0, "near_duplicates": 0, "test": 1200, "unscored": 34}
    assert "unscored" in SHOWN
    assert words.leaks({"kind": "outcomes", "detail": detail}).endswith(
        " Scored are 1,200 rows; 34 are not, for not every model answered them."
    )
    assert "cored" not in words.leaks({"kind": "outcomes", "detail": detail | {"unscored": 0}})


def test_a_parts_name_is_words() -> None:
    found = {"value": -0.066667, "low": -0.155927, "high": -0.000007, "earns": "harms"}
    record = {**REQUESTS, "ablation": {"out_of_domain": {"handled": found}}}
    (part,) = words.parts([record])
    assert str(part) == "out of domain (of domains)"
    assert part.told["harms"] == ["accuracy -6.67 points (-15.59 to -0.0007): requests"]
    assert "out_of_domain" not in page([record], {})


SHARES = {
    name: {"value": value, "low": value - 0.01, "high": value + 0.01}
    for name, value in (("taken", 0.9087), ("taken_later", 0.9701), ("cost", 0.0038), ("likeliest_cost", -0.0044))
}


def test_what_a_new_domain_takes_and_what_requests_without_a_score_bring_stands_on_the_page(tmp_path: Path) -> None:
    own = {**REQUESTS, "figures": {"handled": {**FIGURE, "value": 0.85, "seeds": [0.84, 0.86], "unit": "%"}}}
    seen = {**FIGURE, "value": 0.86, "seeds": [0.856, 0.864], "unit": "%"}
    other = {**REQUESTS, "id": "own-traffic", "title": "the same, with requests", "figures": {"handled": seen}}
    costs = {"strangers": (0.0038, -0.0062, 0.0138), "strangers_together": (0.002, -0.004, 0.008)}
    costs |= {"strangers_used": (0.001, -0.001, 0.003), "registry": (0.01, 0.0031, 0.02)}
    origin = {"added": 20, "seeds": 5, "date": "2026-11-26", "commit": "c" * 40, "dirty": False}
    ends = ("value", "low", "high")
    told = {name: {**SHARES, "cost": dict(zip(ends, cost, strict=True))} for name, cost in costs.items()}
    added = {**origin, **{name: {"all": shares} for name, shares in told.items()}}
    for record in (own, other):
        (tmp_path / f"{record['id']}.json").write_text(json.dumps(record))
    run = {"title": "t", "kind": "requests", "file": "f", "figures": {}}
    plan = Plan.model_validate({"seeds": [0], "runs": [{**run, "id": "own"}, {**run, "id": "own-traffic"}]})
    assert "Adding a domain with few examples" not in page([own], {})
    (tmp_path / "added.json").write_text(json.dumps(added))
    text = publish(plan, tmp_path).read_text()
    assert "The target is a cost of at most 0.30 points." in text
    verdicts = re.findall(r"<td>([^<]+)</td>(?:<td class=\"number\".*?</td>){4}<td><span class=\"\w+\">([\w ]+)<", text)
    strangers = "a domain of public data, new to the default registry"
    assert dict(verdicts) == {
        strangers: "not reached",
        "a domain of public data, after learning from unscored requests (test rows only)": "reached",
        "several domains of public data at once": "reached",
        "an expert of the default registry, removed and added again": "not reached",
    }, "a value reaches its target or not, as everywhere; no interval excuses it"  # fmt: skip
    assert "4 of 6 figures reach their target." in text
    missed = f"added with 20 examples: {strangers}: cost to the others is 0.38 points (-0.62 to 1.38); the target is "
    assert f"{missed}at most 0.30 points." in text
    assert "90.87 (89.87 to 91.87)" in text
    assert "0.38 (-0.62 to 1.38)" in text
    assert "From requests to the same, with requests: accuracy +1.00 points (by seed +0.40 to +1.60)." in text
    (tmp_path / "added.json").write_text("[")
    with pytest.raises(PlanError, match=r"added\.json: cannot be read .*Remedy: restore it"):
        publish(plan, tmp_path)


def test_captions_of_our_own_report_say_by_themselves_what_they_are_of() -> None:
    """Whoever came to one that said "the same" or "that promise" could not tell of what."""
    plan = read_plan(FIGURES)
    titles = {run.id: run.title for run in plan.runs}
    results = FIGURES.parents[1] / "results"
    assert titles == {run: json.loads((results / f"{run}.json").read_text())["title"] for run in titles}
    captions = re.findall(r"<(?:figcaption|summary|th colspan=\"6\"|td)>([^<]+)", (results / "report.html").read_text())
    assert {html.escape(title) for title in titles.values()} <= {caption.strip() for caption in captions}
    assert not [
        each for each in captions if re.search(r"^(the same|all of|ten examples|added again)|\bthat promise", each)
    ]


def test_records_of_another_plan_are_not_called_none(tmp_path: Path) -> None:
    run = {"id": "mine", "title": "t", "kind": "requests", "file": "f", "figures": {}}
    ours = Plan.model_validate({"seeds": [0], "runs": [run]})
    with pytest.raises(PlanError, match=r"holds no record of a run\. Remedy: make eval"):
        publish(ours, tmp_path)
    (tmp_path / "own.json").write_text(json.dumps(REQUESTS))
    with pytest.raises(PlanError, match=r"holds no record of a run of this plan\. Remedy: --plan FILE, the plan"):
        publish(ours, tmp_path)


def test_rounding_does_not_touch_a_figure() -> None:
    assert not words.touched({"value": 0.0, "low": -9e-7, "high": 9e-7})
    assert words.touched({"value": 0.0, "low": -2e-6, "high": 0.0})


def test_every_part_of_the_judge_has_one_row_that_says_where_it_earns_its_place(made: Path) -> None:
    nothing = {"value": 0.0, "low": 0.0, "high": 0.0, "earns": "nothing sure"}
    other = {**OUTCOMES, "title": "others", "ablation": {
        "surface": {"apgr": {"value": -0.1, "low": -0.2, "high": -0.01, "earns": "harms"}},
        "neighbours": {"apgr": {"value": 0.0, "low": -0.2, "high": 0.1, "earns": "nothing sure"}, "ece": nothing},
    }}  # fmt: skip
    told = words.parts([OUTCOMES, other])
    assert [(part.judge, part.name) for part in told] == [
        ("outcomes", "tasks"), ("outcomes", "surface"), ("outcomes", "neighbours"),
    ]  # fmt: skip
    tasks, surface, neighbours = (part.told for part in told)
    assert [len(lines) for lines in tasks.values()] == [4, 0, 0]
    assert surface["harms"] == ["APGR -10.00 points (-20.00 to -1.00): others"]
    assert len(neighbours["nothing sure"]) == 1, "what does not touch a figure is not told"
    assert words.places(told) == (
        "1 of the judge's 3 parts help on at least one set. No certain benefit on any set: surface (of outcomes), "
        "neighbours (of outcomes). Some harm another set: surface (of outcomes)."
    )
    text = made.read_text()
    details = text[text.index("<h2>Ablation: what each part") : text.index("<h2>Baselines: choosing")]
    assert details.count("<table") == 1
    assert "<details><summary>1 figure</summary><p>APGR +0.00 points (-1.00 to +1.00): two models" in details
    assert details.count("<tr><th>tasks<") == details.count("<tr><th>surface<") == 1


def test_parts_of_labelled_files_and_of_our_own_requests_are_the_same_judges() -> None:
    own = {**REQUESTS, "ablation": {"rivals": {"handled": {"value": 0.02, "low": 0.01, "high": 0.03, "earns": "yes"}}}}
    labels = {**own, "kind": "labels", "title": "labels"}
    (part,) = words.parts([own, labels])
    assert str(part) == "rivals (of domains)"
    assert part.told["yes"] == [f"accuracy +2.00 points (+1.00 to +3.00): {title}" for title in ("requests", "labels")]
    assert "rivals" in page([own], {})


def test_every_part_that_can_be_left_out_is_told_in_plain_words() -> None:
    plan = read_plan(FIGURES)
    told = {(words.JUDGES[run.kind], part) for run in plan.runs for part in run.parts}
    assert told == {(judge, part) for judge, means in words.MEANS.items() for part in means}


def test_every_claim_of_a_calibration_plot_has_its_count_and_interval() -> None:
    svg = plots.calibration(OUTCOMES)
    assert all(f">{each['claims']}</text>" in svg for each in BINS)
    assert plots._wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert plots._wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_axes_say_what_is_paid_in_words() -> None:
    assert "share of requests to the strong model" in plots.frontier(OUTCOMES)
    joules = {**OUTCOMES, "detail": {**OUTCOMES["detail"], "objective": "energy_j"}}
    assert "mean cost of a request (energy_j)" in plots.frontier(joules)


def test_what_came_from_outside_is_only_text(made: Path) -> None:
    text = made.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "two models &amp; one &lt;judge&gt;" in text


def test_every_plot_stands_alone_too(made: Path) -> None:
    names = {path.name for path in made.parent.glob("*.svg")}
    assert names == {"two-frontier.svg", "two-risk.svg", "two-calibration.svg", "own-confusion.svg"}
    for path in made.parent.glob("*.svg"):
        root = ElementTree.fromstring(path.read_text())  # noqa: S314
        assert root.tag.endswith("svg")
        assert "#010101" not in path.read_text()


def test_no_number_lies_over_a_bubble_that_is_smaller_than_it() -> None:
    """It looked struck through."""
    table = {"chat": {"chat": 130, "fallback": 2}, "fallback": {"chat": 1, "fallback": 19}}
    svg = ElementTree.fromstring(plots.confusion({"detail": {"confusion": table}}))  # noqa: S314
    bubbles = [
        (float(use.attrib["x"]), abs(float(re.findall(r"M 0 (\S+)", drop.attrib["d"])[0])))
        for group in svg.iter(f"{SVG}g")
        if group.attrib.get("id", "").startswith("PathCollection")
        for drop, use in zip(group.iter(f"{SVG}path"), group.iter(f"{SVG}use"), strict=True)
    ]
    numbers = [text for text in svg.iter(f"{SVG}text") if (text.text or "").isdigit()]
    assert [text.text for text in numbers] == ["130", "2", "1", "19"]
    over = []
    for (x, radius), text in zip(bubbles, numbers, strict=True):
        left = float(text.attrib["transform"].removeprefix("rotate(-0 ").split()[0])
        middle = "text-anchor: middle" in text.attrib["style"]
        over.append(middle)
        assert (left == pytest.approx(x) and radius > 5) if middle else left > x + radius
    assert over == [True, False, False, True]


def test_plots_are_the_same_bytes_every_time() -> None:
    first, again = drawn([OUTCOMES, REQUESTS]), drawn([OUTCOMES, REQUESTS])
    assert first == again
    assert {kind for _, kind in first} == {"frontier", "risk", "calibration", "confusion"}
    assert all("var(--" not in standalone(svg) for svg in first.values())


def test_a_folder_without_records_is_named(tmp_path: Path) -> None:
    plan = Plan.model_validate({"seeds": [0], "runs": []})
    with pytest.raises(PlanError, match=r"holds no record.*Remedy: make eval"):
        publish(plan, tmp_path)


def test_a_worse_judge_is_called_worse() -> None:
    worse = {**OUTCOMES, "verdict": {"shuffled": {"value": -0.03, "low": -0.04, "high": -0.02, "beats": False}}}
    assert [(good, verb) for good, verb, _ in words.verdicts(worse)] == [(False, "is worse than")]
    untold = {**OUTCOMES, "detail": {}}
    assert [by.partition(":")[0] for *_, by in words.verdicts(untold)] == [
        "its own decisions, shuffled",
        "the model that is best on average (the set names no tasks)",
    ]
    unseen = {**OUTCOMES, "detail": {**OUTCOMES["detail"], "split": "task"}}
    assert [by.partition(":")[0] for *_, by in words.verdicts(unseen)] == [
        "its own decisions, shuffled",
        "the model that is best on average (nothing is known of unseen tasks)",
    ]
    assert words.untold(OUTCOMES) == ""
    assert "Not measured in this run." in page([REQUESTS], {})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    if not CHROMIUM or not DRIVER:
        pytest.fail("the page is tested in Chromium. Remedy: install the packages chromium and chromium-driver")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                 f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1000,900"):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = Chrome(options=options, service=ChromeService(DRIVER))
    yield opened
    opened.quit()


def test_a_browser_shows_it_without_a_complaint_or_a_request(made: Path, browser: Any) -> None:
    browser.get(made.as_uri())
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    asked = {each["request"]["url"] for each in sent if each["documentURL"] == made.as_uri()}
    assert made.as_uri() in asked
    assert [url for url in asked if url != made.as_uri() and not url.startswith("data:")] == []
    plots = browser.find_elements("css selector", "figure svg[role=img]")
    assert len(plots) == 4
    assert all(plot.get_attribute("aria-label") and plot.size["height"] > 150 for plot in plots)
    colours = []
    for scheme in ("light", "dark"):
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        colours.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert colours[0] != colours[1]
    browser.set_window_size(420, 900)
    beside = "const [a, b] = [...document.querySelectorAll('figure')].map(f => f.getBoundingClientRect());"
    beside += "return [a.top === b.top && a.height === b.height, a.width - b.width]"
    assert browser.execute_script(beside)[0] is False, "plots are one below the other on a phone"
    width = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
    assert width <= 0, "the page is wider than a phone"
    shade = "return getComputedStyle(document.querySelector('figure .scroll')).backgroundAttachment"
    assert browser.execute_script(shade) == "local, local, scroll, scroll", "a plot that is cut shows that it goes on"
    letters = "return Math.min(...[...document.querySelectorAll('figure svg text')].map((letter) => parseFloat("
    letters += "getComputedStyle(letter).fontSize) * letter.ownerSVGElement.getScreenCTM().a))"
    assert browser.execute_script(letters) > 10, "the letters of a plot are too small for a phone"
    cut = "return [...document.querySelectorAll('table.cards')].some(t => t.scrollWidth > t.parentElement.clientWidth)"
    assert not browser.execute_script(cut), "a table is cut at the right"
    browser.set_window_size(1280, 900)
    assert browser.execute_script(beside) == [True, 0], "the plots of a set stand side by side"
    assert not browser.execute_script(cut), "a table is cut at the right of a desktop"


def test_what_is_too_wide_is_moved_by_the_keyboard(made: Path, browser: Any) -> None:
    from selenium.webdriver import Keys
    from selenium.webdriver.support.wait import WebDriverWait

    browser.set_window_size(420, 900)
    browser.get(made.as_uri())
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    tables = browser.find_elements("css selector", ".scroll[tabindex='0'][role=region][aria-label] > table")
    assert len(tables) == len(browser.find_elements("css selector", "table")) > 0
    frames = browser.find_elements("css selector", ".scroll")
    assert len({each.get_attribute("aria-label") for each in frames}) == len(frames), "each has a name of its own"
    cut = (
        "return [...document.querySelectorAll('.scroll:has(> table)')].filter(one => one.scrollWidth > one.clientWidth)"
    )
    wide = browser.execute_script(cut)
    assert wide
    for each in wide:
        each.send_keys(Keys.ARROW_RIGHT)
        moved = "return document.activeElement === arguments[0] && arguments[0].scrollLeft > 0"
        WebDriverWait(browser, 10).until(lambda _, one=each, moved=moved: browser.execute_script(moved, one))


def test_what_is_added_is_read_in_few_lines(tmp_path: Path, browser: Any) -> None:
    """Six figures beside it would leave its column the width of a word."""
    shares = {name: dict.fromkeys(("value", "low", "high"), -0.01234) for name in SHARES}
    added: dict[str, Any] = {"added": 20, "seeds": 5, "date": "2026-11-26", "commit": "c" * 40, "dirty": False}
    added["strangers_used"] = {"all": shares}
    made = tmp_path / "page.html"
    made.write_text(page([REQUESTS], {}, added=added), encoding="utf-8")
    browser.set_window_size(1280, 900)
    browser.get(made.as_uri())
    (cell,) = (each for each in browser.find_elements("css selector", "td") if each.text.startswith("a domain of"))
    assert cell.size["width"] >= 200


def test_a_printed_page_has_its_tables_whole(tmp_path: Path, browser: Any) -> None:
    """On paper nothing can be moved sideways."""
    made = tmp_path / "page.html"
    shares = {name: {"value": 57.4912, "low": 54.5812, "high": 60.6812} for name in SHARES}
    added: dict[str, Any] = {"added": 20, "seeds": 5, "date": "2026-11-26", "commit": "c" * 40, "dirty": False}
    added["strangers_used"] = {"all": shares}
    made.write_text(page([REQUESTS, OUTCOMES], {}, added=added), encoding="utf-8")
    paper = {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(made.as_uri())
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.scrollWidth > each.clientWidth)"
    assert browser.execute_script(f"return {cut}.map((each) => each.textContent.slice(0, 60))") == []


def test_all_letters_grow_with_those_of_the_browser(made: Path, browser: Any) -> None:
    browser.get(made.as_uri())
    size = "return ['p', 'li', 'td', 'th'].map((one) => getComputedStyle(document.querySelector(one)).fontSize)"
    usual = [float(each.removesuffix("px")) for each in browser.execute_script(size)]
    browser.execute_script("document.documentElement.style.fontSize = '32px'")
    assert browser.execute_script(size) == [f"{2 * each:g}px" for each in usual]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_stands_out_from_its_ground(made: Path, browser: Any, scheme: str) -> None:
    feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    browser.get(made.as_uri())
    browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
    assert browser.execute_script(CONTRAST) == []
