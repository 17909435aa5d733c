"""Whether learning pays is seen on requests that neither judge was fitted on."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experts.registry import load_registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.evidence import Outcomes, alike, joined, unscored
from router.learn.fit import Fitted, Lessons, examples_of
from router.learn.harvest import Traffic
from router.learn.heldout import LEAST, Comparison, Figures, mean_by_group
from router.learn.surface import surfaces
from router.learn.trial import SCORES, UNSCORED, Bench, Trial, unspoilt
from router.meter.tariff import Tariffs
from router.promises.promises import Promises
from tests.service.server import CACHE, write_registry

DISHES = ("lentils", "pancakes", "goulash", "tofu", "soup", "sushi", "waffles", "salad", "tacos", "plum jam", "gnocchi")
WAYS = ("how do I cook {}", "recipe for {}", "what goes into {}")
TEXTS = [way.format(dish) for way in WAYS for dish in DISHES]


class Recipes:
    """A registry's lessons, and outcomes of the cook on recipes."""

    def __init__(self, folder: Path) -> None:
        self.registry = load_registry(write_registry(folder), {}).registry
        spec = self.registry.encoder
        self.encoder = Encoder.open(spec.path, spec.sha256)
        examples = {spec.id: (spec.label, examples_of(spec)) for spec in self.registry.experts}
        self.lessons = Lessons.of(examples, [], self.encoder, CACHE / "vectors")
        self.vectors, self.features = self.encoder.encode_all(TEXTS), surfaces(TEXTS)
        self.traffic = Traffic(self.vectors, self.features, ("balanced",) * len(TEXTS))

    def cook(self, scores: list[float]) -> Outcomes:
        return Outcomes(("cook",), self.vectors, self.features, np.array(scores, np.float32)[:, None])

    def attempt(
        self,
        fresh: Outcomes,
        serving: list[Outcomes] | None = None,
        whole: bool = False,
        lessons: Lessons | None = None,
    ) -> Trial:
        steps: Counter[str] = Counter()

        def promise(judge: Judge, served: Promises | None) -> Promises:
            fitted = Fitted(judge, "tried")
            return Promises.make(self.registry, fitted, "e", Tariffs.of_registry(self.registry), None, served)

        def progress(what: str, done: int, total: int) -> None:
            steps.update([what])

        found = Bench(self.registry, lessons or self.lessons, [], serving or [], self.traffic, promise, progress)
        trial = found.attempt(fresh, whole)
        assert steps["choosing"]
        return trial


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    return Recipes(tmp_path_factory.mktemp("registry"))


def test_an_expert_that_fails_is_found_out(bench: Recipes) -> None:
    found = bench.attempt(bench.cook([0] * len(TEXTS)))
    assert found.compared.before is not None
    assert found.compared.after is not None
    assert found.compared.after.brier < found.compared.before.brier / 2
    assert found.compared.change < -2 * found.compared.doubt
    assert set(found.moved) == {("cook", "big")}
    assert found.asked == len(TEXTS)
    gone, count = found.examples["cook"]
    assert count == bench.lessons.labels.count("cook")
    assert gone > count / 2, "the examples are requests too"
    left = found.left["cook"]["cook"]
    assert count / 2 < left <= gone
    told = f"more than half of an expert's own examples would go to others: cook loses {left} of {count} ("
    assert (found.refusal or "").startswith(told)
    assert found.to_json()["refusal"] == found.refusal
    assert {"domain": "cook", "elsewhere": gone, "of": count} in found.to_json()["examples"]
    assert found.to_json()["moved"] == [{"from": "cook", "to": "big", "requests": found.moved["cook", "big"]}]


def test_learning_that_makes_it_worse_is_refused(bench: Recipes) -> None:
    """The edition that serves saw the cook fail often; the few requests since show the same, less clearly."""
    texts = [
        f"how long does it take to make {dish} for {guests}" for dish in DISHES for guests in ("two", "nine children")
    ]
    few = Outcomes(("cook",), bench.encoder.encode_all(texts), surfaces(texts), np.zeros((len(texts), 1), np.float32))
    found = bench.attempt(few, [bench.cook([0] * len(TEXTS)), bench.cook([0] * len(TEXTS))])
    assert found.compared.worse
    assert "worse by more than noise: Brier" in (found.refusal or "")


def test_scores_of_who_was_unknown_do_not_hide_that_it_got_worse(bench: Recipes) -> None:
    """What serves says nothing of the fallback: to learn of it is no gain over what was said before."""
    served = bench.cook([0] * len(TEXTS))
    texts = [
        f"how long does it take to make {dish} for {guests}" for dish in DISHES for guests in ("two", "nine children")
    ]
    others = [f"what is the capital of {country}, {n}" for country in ("Peru", "Chad", "Laos") for n in range(20)]
    asked = [*texts, *others]
    scores = np.full((len(asked), 2), np.nan, np.float32)
    scores[: len(texts), 0] = 0
    scores[len(texts) :, 1] = 1
    fresh = Outcomes(("cook", "big"), bench.encoder.encode_all(asked), surfaces(asked), scores)
    found = bench.attempt(fresh, [served, served], whole=True)
    assert found.compared.scores == len(texts)
    assert found.compared.unsaid == {"big": len(others)}
    assert found.to_json()["unsaid"] == {"big": len(others)}
    assert "worse by more than noise: Brier" in (found.refusal or "")


def test_where_nothing_else_was_scored_who_was_unknown_is_compared_with_nought(bench: Recipes) -> None:
    fresh = replace(bench.cook([1] * len(TEXTS)), experts=("big",))
    found = bench.attempt(fresh)
    assert found.compared.unsaid == {}
    assert found.compared.scores == len(TEXTS)
    assert found.refusal is None


def test_what_may_be_noise_is_not_refused() -> None:
    noise = Comparison("requests", 60, 60, Figures(0.1, 0.1), Figures(0.11, 0.1), 0.01, 0.01)
    assert noise.refusal is None


def test_half_of_an_experts_examples_may_leave_it_and_no_more() -> None:
    def left(count: int) -> Trial:
        shares = {"cook": (count, 20), "": (9, 9)}
        moved = {"cook": Counter({"cook": count}), "": Counter[str]()}
        same = Comparison("requests", 60, 60, Figures(0.1, 0.1), Figures(0.1, 0.1))
        return Trial(same, 0, Counter(), shares, moved)

    assert left(10).refusal is None
    assert (left(11).refusal or "").endswith("would go to others: cook loses 11 of 20 (55%)")


def test_half_of_what_no_expert_should_answer_may_go_to_one_and_no_more() -> None:
    """Two good scores of an expert sent it 163 of 285, and that was applied."""

    def left(count: int) -> Trial:
        same = Comparison("requests", 60, 60, Figures(0.1, 0.1), Figures(0.1, 0.1))
        return Trial(same, 0, Counter(), {"": (count, 20)}, {"": Counter({"big": count})})

    assert left(10).refusal is None
    told = "more than half of what no expert should answer would go to one: 11 of 20 (55%)"
    assert left(11).refusal == told


def test_what_no_expert_should_answer_is_looked_at(bench: Recipes) -> None:
    """The cook was praised for bread, which the registry says is nobody's: a person has to say which is right."""
    places = ("Peru", "Chad", "Laos", "Fiji", "Oman", "Mali", "Cuba", "Togo")
    strange = [f"how do I bake bread as they do in {place}" for place in places]
    examples = {spec.id: (spec.label, examples_of(spec)) for spec in bench.registry.experts}
    lessons = Lessons.of(examples, strange, bench.encoder, CACHE / "vectors")
    things = ("bread", "rolls with seeds", "a birthday cake", "flatbread on a stone", "biscuits for forty children")
    asked = [f"how do I bake {thing} as they do in {place}" for thing in things for place in places] * 3
    vectors, scores = bench.encoder.encode_all(asked), np.ones((len(asked), 1), np.float32)
    found = bench.attempt(Outcomes(("cook",), vectors, surfaces(asked), scores), lessons=lessons)
    gone, of = found.examples[""]
    assert of == len(strange)
    assert gone > of / 2
    assert found.left[""] == Counter({bench.registry.fallback: gone})
    others = replace(found, left={"": found.left[""]})
    told = f"more than half of what no expert should answer would go to one: {gone} of {of} ("
    assert (others.refusal or "").startswith(told)


def test_what_was_applied_before_is_held_out_too(bench: Recipes) -> None:
    """The judge that serves has seen the same requests; asked without them it is no better than the new one."""
    outcomes = bench.cook([0] * len(TEXTS))
    found = bench.attempt(outcomes, [outcomes])
    assert found.compared.before is not None
    assert found.compared.after is not None
    assert found.compared.change == pytest.approx(0, abs=0.02)
    assert not found.moved


def test_too_few_requests_tell_nothing(bench: Recipes) -> None:
    found = bench.attempt(bench.cook([0] * len(TEXTS)).take(np.arange(LEAST - 1)))
    assert found.compared.after is None
    assert f"{LEAST} are needed" in (found.refusal or "")


def test_repeats_are_no_evidence_of_their_own(bench: Recipes) -> None:
    many = bench.cook([0] * len(TEXTS)).take(np.repeat(np.arange(5), 50))
    found = bench.attempt(many)
    assert found.compared.groups <= 5
    assert found.refusal is not None


def test_nearly_the_same_share_a_group() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(700, 64)).astype(np.float32)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    near = base + 0.01 * rng.normal(size=base.shape).astype(np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    group = alike(np.concatenate([base, near]))
    assert np.array_equal(group[:700], np.arange(700))
    assert np.array_equal(group[700:], np.arange(700))


def test_the_error_of_a_mean_counts_groups() -> None:
    values = np.random.default_rng(1).normal(size=400)
    mean, alone = mean_by_group(values, np.arange(400))
    assert alone == pytest.approx(values.std(ddof=1) / 20)
    _, doubled = mean_by_group(np.repeat(values, 4), np.repeat(np.arange(400), 4))
    assert doubled == pytest.approx(alone)
    assert mean == pytest.approx(values.mean())


def test_figures_of_a_judge_that_is_right_and_one_that_is_not() -> None:
    score = np.array([0.0, 0, 0, 1])
    assert Figures.of(np.full(4, 0.25), score) == Figures(0.1875, 0.0)
    assert Figures.of(np.full(4, 1.0), score) == Figures(0.75, 0.75)


def test_where_nobody_scored_anything_the_examples_tell_whether_it_got_worse(bench: Recipes) -> None:
    """What is asked is of one kind only, twice as often as there are examples of both: that helps nobody."""
    found = bench.attempt(unscored(bench.vectors, bench.features))
    assert found.compared.told_by == "examples" and found.to_json()["told_by"] == "examples"
    assert found.compared.scores == len(bench.lessons.texts)
    assert found.compared.worse
    assert (found.refusal or "").startswith("on held-out examples the new judge is worse by more than noise")


def both_kinds(bench: Recipes) -> Outcomes:
    """Recipes and poems that nobody scored."""
    poems = [
        f"{way} {what}" for way in ("a haiku on", "rhyme about") for what in ("the sea", "my cat", "rain", "trains")
    ]
    texts = [*TEXTS[::4], *poems]
    return unscored(bench.encoder.encode_all(texts), surfaces(texts))


def both(*parts: Outcomes) -> Outcomes:
    whole = joined(list(parts))
    assert whole is not None
    return whole


def test_fewer_scores_than_can_tell_are_left_out_and_the_examples_tell_of_the_rest(bench: Recipes) -> None:
    """Whoever scores one answer is no worse off than who scores none."""
    one, rest = bench.cook([1] * len(TEXTS)).take(np.arange(1)), both_kinds(bench)
    without, found = bench.attempt(rest), bench.attempt(both(one, rest))
    few = f"only 1 request has a score, {LEAST} are needed, so that some can be held out to test what is learnt"
    assert without.refusal is None and not without.left_out
    assert found.refusal is None
    assert found.left_out == found.to_json()["left_out"] == {SCORES: few}
    assert found.compared == without.compared and found.compared.told_by == "examples"
    forced = bench.attempt(both(one, rest), whole=True)
    assert (forced.refusal, forced.left_out) == (few, {})


def test_few_scores_are_not_left_out_where_what_serves_would_forget_its_own(bench: Recipes) -> None:
    one = bench.cook([1] * len(TEXTS)).take(np.arange(1))
    found = bench.attempt(both(one, both_kinds(bench)), [bench.cook([0] * len(TEXTS))])
    assert not found.left_out and (found.refusal or "").startswith("only 1 request has a score")


def test_requests_that_nobody_scored_are_left_out_where_they_spoil_what_scores_teach(bench: Recipes) -> None:
    """Poems that name dishes were answered well; recipes alone would pull them to the cook."""
    dishes = [*DISHES, "bread", "pizza", "a cheesecake", "noodles", "an omelette", "dumplings", "curry", "risotto"]
    dishes += ["porridge", "a pie"]
    poems = [f"write a poem about {dish}" for dish in dishes]
    praise = Outcomes(("poet",), bench.encoder.encode_all(poems), surfaces(poems), np.ones((len(poems), 1), np.float32))
    asked = [*TEXTS, *(f"bake {dish} for six" for dish in dishes)]
    rest = unscored(bench.encoder.encode_all(asked), surfaces(asked))
    alone, found, every = (
        bench.attempt(praise), bench.attempt(both(praise, rest)), bench.attempt(both(praise, rest), whole=True)
    )  # fmt: skip
    assert every.compared.worse and not every.left_out
    assert (alone.refusal, found.refusal) == (None, None)
    assert found.left_out == {UNSCORED: every.refusal}
    assert found.compared == alone.compared


GOOD = Trial(Comparison("requests", 60, 60, Figures(0.1, 0.1), Figures(0.1, 0.1), 0.0, 0.01), 0, Counter())
WORSE = Trial(Comparison("requests", 60, 60, Figures(0.1, 0.1), Figures(0.2, 0.1), 0.1, 0.01), 0, Counter())
TAKES = Trial(GOOD.compared, 0, Counter(), {"cook": (20, 20)}, {"cook": Counter({"cook": 20})})


@pytest.mark.parametrize(
    ("every", "scores", "rest", "taken", "left_out"),
    [
        (GOOD, WORSE, WORSE, "every", None),
        (WORSE, GOOD, GOOD, "scores", UNSCORED),
        (TAKES, GOOD, GOOD, "scores", UNSCORED),
        (WORSE, WORSE, GOOD, "rest", SCORES),
        (TAKES, TAKES, GOOD, "every", None),
        (WORSE, WORSE, WORSE, "every", None),
        (WORSE, WORSE, TAKES, "every", None),
    ],
)
def test_what_spoils_the_other_is_left_out(
    every: Trial, scores: Trial, rest: Trial, taken: str, left_out: str | None
) -> None:
    """Scores that would take an expert's examples away are refused aloud instead."""
    trials = {(True, True): (every, 3), (True, False): (scores, 2), (False, True): (rest, 1)}
    found = unspoilt(lambda *parts: replace(trials[parts][0], asked=trials[parts][1]))
    assert found.asked == {"every": 3, "scores": 2, "rest": 1}[taken]
    assert list(found.left_out) == ([left_out] if left_out else [])


def test_a_figure_is_rounded_where_it_is_shown_and_nowhere_before() -> None:
    """An edition keeps what `try` showed in four digits; to five first, .12344996 would become .1235 in the list."""
    figures = Figures(0.12344996, 0.00004996)
    kept = Comparison("scores", 40, 40, figures, figures, 0.00004996, 0.00004996).to_json()
    assert [f"{kept['after'][name]:.4f}" for name in ("brier", "ece")] == ["0.1234", "0.0000"]
    assert [f"{each:.4f}" for each in kept["change"].values()] == ["0.0000", "0.0000"]
