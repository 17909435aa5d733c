"""Whether learning pays is seen on requests that neither judge was fitted on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from experts.registry import load_registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.evidence import Outcomes, alike, unscored
from router.learn.fit import Fitted, Lessons, examples_of
from router.learn.harvest import Traffic
from router.learn.surface import surfaces
from router.learn.trial import LEAST, Figures, Trial, attempt, mean_by_group
from router.meter.tariff import Tariffs
from router.promises.promises import Promises
from tests.service.server import CACHE, write_registry

DISHES = ("lentils", "pancakes", "goulash", "tofu", "soup", "sushi", "waffles", "salad", "tacos", "plum jam", "gnocchi")
WAYS = ("how do I cook {}", "recipe for {}", "what goes into {}")
TEXTS = [way.format(dish) for way in WAYS for dish in DISHES]


class Bench:
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

    def attempt(self, fresh: Outcomes, serving: list[Outcomes] | None = None) -> Trial:
        steps: Counter[str] = Counter()

        def promise(judge: Judge, served: Promises | None) -> Promises:
            fitted = Fitted(judge, "tried")
            return Promises.make(self.registry, fitted, "e", Tariffs.of_registry(self.registry), None, served)

        found = attempt(
            self.registry, self.lessons, [], serving or [], fresh, self.traffic, promise,
            lambda what, *_: steps.update([what]),
        )  # fmt: skip
        assert steps["choosing"]
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("registry"))


def test_an_expert_that_fails_is_found_out(bench: Bench) -> None:
    found = bench.attempt(bench.cook([0] * len(TEXTS)))
    assert found.before is not None
    assert found.after is not None
    assert found.after.brier < found.before.brier / 2
    assert found.change < -2 * found.doubt
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


def test_learning_that_makes_it_worse_is_refused(bench: Bench) -> None:
    """The edition that serves saw the cook fail often; the few requests since show the same, less clearly."""
    texts = [
        f"how long does it take to make {dish} for {guests}" for dish in DISHES for guests in ("two", "nine children")
    ]
    few = Outcomes(("cook",), bench.encoder.encode_all(texts), surfaces(texts), np.zeros((len(texts), 1), np.float32))
    found = bench.attempt(few, [bench.cook([0] * len(TEXTS)), bench.cook([0] * len(TEXTS))])
    assert found.worse
    assert "worse by more than noise: Brier" in (found.refusal or "")


def test_what_may_be_noise_is_not_refused() -> None:
    noise = Trial(60, 60, Figures(0.1, 0.1), Figures(0.11, 0.1), 0.01, 0.01, 0, Counter())
    assert noise.refusal is None


def test_half_of_an_experts_examples_may_leave_it_and_no_more() -> None:
    def left(count: int) -> Trial:
        shares = {"cook": (count, 20), "": (9, 9)}
        moved = {"cook": Counter({"cook": count}), "": Counter[str]()}
        return Trial(60, 60, Figures(0.1, 0.1), Figures(0.1, 0.1), 0, 0, 0, Counter(), shares, moved)

    assert left(10).refusal is None
    assert (left(11).refusal or "").endswith("would go to others: cook loses 11 of 20 (55%)")


def test_what_was_applied_before_is_held_out_too(bench: Bench) -> None:
    """The judge that serves has seen the same requests; asked without them it is no better than the new one."""
    outcomes = bench.cook([0] * len(TEXTS))
    found = bench.attempt(outcomes, [outcomes])
    assert found.before is not None
    assert found.after is not None
    assert found.change == pytest.approx(0, abs=0.02)
    assert not found.moved


def test_too_few_requests_tell_nothing(bench: Bench) -> None:
    found = bench.attempt(bench.cook([0] * len(TEXTS)).take(np.arange(LEAST - 1)))
    assert found.after is None
    assert f"{LEAST} are needed" in (found.refusal or "")


def test_repeats_are_no_evidence_of_their_own(bench: Bench) -> None:
    many = bench.cook([0] * len(TEXTS)).take(np.repeat(np.arange(5), 50))
    found = bench.attempt(many)
    assert found.groups <= 5
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


def test_where_nobody_scored_anything_the_examples_tell_whether_it_got_worse(bench: Bench) -> None:
    """What is asked is of one kind only, twice as often as there are examples of both: that helps nobody."""
    found = bench.attempt(unscored(bench.vectors, bench.features))
    assert found.told_by == "examples" and found.to_json()["told_by"] == "examples"
    assert found.scores == len(bench.lessons.texts)
    assert found.worse
    assert (found.refusal or "").startswith("on examples it had not seen, the new judge is worse by more than noise")
