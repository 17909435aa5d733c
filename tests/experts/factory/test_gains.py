"""Whether tuning pays: what is asked of a gain, and how often chance passes for one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from experts.factory.encoder_check import BETTER, EncodeAll, harm
from experts.factory.gains import FEWEST, PARTS, WRONGLY, Gain, Judged, bound, judged, paying, sureness
from experts.factory.lessons import Lessons, lessons_of, part
from experts.head import LinearHead
from experts.regression import softmax
from tests.experts.factory.test_encoder_check import spell
from tests.experts.factory.toys import TOPICS

SHARES = (0.25, 0.5, 0.75, 1.0)
ROWS = 257
"""In a part: a third of ten examples a label of BANKING77."""

SPREAD = 0.115
"""Standard deviation over BANKING77's rows of what tuning adds to the probability of their own label (ADR 0043)."""


def rows(own: np.ndarray, right: np.ndarray | None = None, file: str = "a") -> Judged:
    own = own.astype(np.float32)
    right = own > 0.5 if right is None else right
    return Judged(np.full(len(own), file), right, own, np.ones(len(own), np.float32), np.full(len(own), np.nan))


def looks(gain: float, seed: int) -> tuple[list[float], int]:
    """What is found on rows whose own label gains so much on average at full share, and after how many parts."""
    random = np.random.default_rng(seed)
    plain = random.uniform(0.3, 0.7, ROWS * PARTS)
    step = random.normal(gain, SPREAD, len(plain))
    right = np.ones(len(plain), bool)
    for look in range(1, PARTS + 1):
        seen = slice(0, look * ROWS)
        before = rows(plain[seen], right[seen])
        tuned = {share: rows(plain[seen] + share * step[seen], right[seen]) for share in SHARES}
        found = paying({share: Gain.of(before, each) for share, each in tuned.items()}, look, PARTS)
        if found is not None:
            return found, look
    raise AssertionError("the last part decides")


def test_chance_seldom_passes_for_a_gain_although_it_is_looked_at_three_times() -> None:
    found = [looks(0.0, seed)[0] for seed in range(2000)]
    assert sum(map(bool, found)) / len(found) <= WRONGLY


def test_a_gain_as_large_as_on_banking77_is_found_mostly_by_the_first_part() -> None:
    found = [looks(0.031, seed) for seed in range(400)]
    assert np.mean([bool(shares) for shares, _ in found]) > 0.99
    assert all(shares[0] == 1.0 for shares, _ in found if shares)
    assert np.mean([parts == 1 for _, parts in found]) > 0.5


def test_a_third_of_it_is_found_more_often_than_not_by_all_parts() -> None:
    assert np.mean([bool(looks(0.0105, seed)[0]) for seed in range(400)]) > 0.5


def at_once(gain: float, count: int, seed: int) -> list[float] | None:
    """What is found on so many rows for validation, all at once."""
    random = np.random.default_rng(seed)
    plain, step = random.uniform(0.3, 0.7, count), random.normal(gain, SPREAD, count)
    right = np.ones(count, bool)
    gains = {share: Gain.of(rows(plain, right), rows(plain + share * step, right)) for share in SHARES}
    return paying(gains, 1, 1)


@pytest.mark.parametrize("count", [FEWEST, 50, 400])
def test_on_rows_for_validation_chance_seldom_passes_for_a_gain_however_few_they_are(count: int) -> None:
    found = [at_once(0.0, count, seed) for seed in range(1000)]
    assert sum(map(bool, found)) / len(found) <= WRONGLY


def test_on_enough_rows_for_validation_a_true_gain_is_found() -> None:
    assert np.mean([bool(at_once(0.031, 400, seed)) for seed in range(400)]) > 0.99


def test_one_row_in_fifty_is_no_gain_and_fewer_than_thirty_never_are() -> None:
    own, one_more = np.full(50, 0.45), np.zeros(50)
    one_more[7] = 0.3
    luck = Gain.of(rows(own), rows(own + one_more))
    assert luck.after.in_domain["a"] == pytest.approx(0.02) and luck.mean > BETTER and paying({1.0: luck}, 1, 1) == []
    sure = [Gain.of(rows(own[:n]), rows(own[:n] + np.linspace(0.29, 0.31, n))) for n in (4, FEWEST - 1, FEWEST)]
    assert [paying({1.0: gain}, 1, 1) for gain in sure] == [[], [], [1.0]]


def test_what_cannot_gain_is_given_up_after_the_first_part() -> None:
    before = rows(np.linspace(0.2, 0.9, ROWS))
    assert paying({share: Gain.of(before, before) for share in SHARES}, 1, PARTS) == []


def test_very_few_rows_decide_only_when_all_were_asked() -> None:
    before, after = rows(np.linspace(0.2, 0.4, 30)), rows(np.linspace(0.6, 0.9, 30))
    gains = {1.0: Gain.of(before, after)}
    assert [paying(gains, look, PARTS) for look in (1, 2, 3)] == [None, None, [1.0]]


def test_a_sure_gain_that_is_too_small_is_not_worth_a_file() -> None:
    before, random = np.linspace(0.2, 0.9, 3 * ROWS), np.random.default_rng(0)
    small = Gain.of(rows(before), rows(before + BETTER / 2 + random.normal(0, 1e-4, len(before))))
    assert small.mean > bound(PARTS, PARTS, 1) * small.doubt
    assert paying({1.0: small}, PARTS, PARTS) == []


def test_accuracy_that_fell_on_one_file_forbids_it() -> None:
    own = np.linspace(0.2, 0.5, 600)
    right = np.arange(600) % 2 == 0
    less = right & (np.arange(600) > 10)  # five of three hundred
    files = [("a", right, right), ("b", right, less)]
    before = Judged.joined([rows(own, was, file) for file, was, _ in files])
    after = Judged.joined([rows(own + 0.3, now, file) for file, _, now in files])
    gain = Gain.of(before, after)
    assert gain.mean == pytest.approx(0.3, abs=1e-6) and not gain.pays(bound(PARTS, PARTS, 1))
    assert Gain.of(before, Judged.joined([rows(own + 0.3, was, file) for file, was, _ in files])).pays(2.0)


def test_the_bound_falls_from_part_to_part_and_rises_with_the_shares_tried() -> None:
    bounds = [bound(look, PARTS, 4) for look in range(1, PARTS + 1)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(2.2414, abs=1e-4)  # one-sided, one in eighty
    assert bound(1, 1, 4) == bounds[-1]  # all at once is the last look
    assert bound(PARTS, PARTS, 1) == pytest.approx(1.6449, abs=1e-4)


def test_rows_are_judged_by_what_the_others_taught() -> None:
    labels = np.repeat(list(TOPICS), 12)
    texts = [f"{TOPICS[label]} {n}" for n, label in enumerate(labels)]
    strange = np.array([*labels, "never taught"])
    one = Lessons("one", "0", texts, labels, [*texts, "rain"], strange, [])
    good = judged(spell, [one])
    blind = judged(lambda asked: spell(["same"] * len(asked)), [one])
    assert good.right.tolist() == [True] * 48 + [False]
    assert good.own[:48].min() > 0.9 and good.own[48] == 0
    np.testing.assert_allclose(blind.own[:48], 0.25, atol=1e-4)
    assert good.checked().in_domain == {"one": pytest.approx(48 / 49)}
    assert Gain.of(blind, good).pays(bound(PARTS, PARTS, 4)) and not Gain.of(good, blind).pays(0)
    assert Gain.of(good, good).mean == 0


LABELS = np.repeat(list(TOPICS), 30)


def encoder_of(wrong: dict[str, float]) -> EncodeAll:
    """One that takes such shares of the texts of some kinds for those of the next label: "seen 7" is of kind "seen"."""
    random, spread = np.random.default_rng(0), {}
    for kind, share in wrong.items():
        index = np.repeat(np.arange(4), 30)
        taken = np.where(random.random(120) < share, (index + 1) % 4, index)
        vectors = np.eye(4, 32, dtype=np.float32)[taken] + random.normal(0, 0.05, (120, 32)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        spread |= {f"{kind} {n}": vector for n, vector in enumerate(vectors)}
    return lambda texts: np.array([spread[text] for text in texts])


def texts_of(kind: str) -> list[str]:
    return [f"{kind} {n}" for n in range(120)]


def test_who_knows_its_own_rows_by_heart_is_told_to_be_less_sure_of_others() -> None:
    one = Lessons("one", "0", texts_of("seen"), LABELS, texts_of("new"), LABELS, [])
    by_heart, honest = (encoder_of({"seen": wrong, "new": 0.2}) for wrong in (0.0, 0.2))
    gain = Gain.of(judged(honest, [one]), judged(by_heart, [one]))
    assert gain.rows == 120 and sureness(gain, honest, by_heart, [one]) < 0.5
    same = Gain.of(judged(honest, [one]), judged(honest, [one]))
    assert same.sharper == sureness(same, honest, honest, [one]) == 1


def test_rows_without_a_label_that_stand_out_less_forbid_it() -> None:
    labels = np.repeat(list(TOPICS), 12)
    texts = [f"{TOPICS[label]} {n}" for n, label in enumerate(labels)]
    one = Lessons("one", "0", texts, labels, texts, labels, ["zzzz", "qqqq", "jjjj"])
    good, blind = judged(spell, [one]), judged(lambda asked: spell(["same"] * len(asked)), [one])
    assert good.checked().outside["one"] > 0.9 and blind.checked().outside["one"] == 0.5
    assert not judged(spell, [replace(one, outside=[])]).checked().outside
    mixed = replace(good, above=blind.above)
    assert [each.split()[0] for each in harm(good.checked(), mixed.checked())] == ["AUROC"]
    assert not Gain.of(replace(blind, above=good.above), mixed).pays(0)
    assert Gain.of(blind, good).pays(0)


def test_heads_on_all_rows_are_as_sure_as_rows_that_were_held_out_say() -> None:
    whole = lessons_of("one", texts_of("seen"), LABELS.tolist())
    held = part(whole, 0, PARTS)
    plain = encoder_of({"seen": 0.2, "new": 0.2})
    honest, by_heart = plain(whole.texts), encoder_of({"seen": 0.0, "new": 0.2})
    at = {text: row for row, text in enumerate(whole.texts)}

    def third(texts: Sequence[str]) -> np.ndarray:
        """Tuned on the others: it knows these by heart, and is no better at the rest than the plain one."""
        return np.array([honest[at[text]] if text in held.check_texts else by_heart([text])[0] for text in texts])

    gain = Gain.of(judged(plain, [held]), judged(third, [held]))
    times = sureness(gain, plain, by_heart, [whole])
    head = LinearHead().fit(by_heart(whole.texts), whole.labels)
    scores = head.decision_function(by_heart(texts_of("new")))
    right = float((head.classes_[scores.argmax(axis=1)] == LABELS).mean())
    assert softmax(scores).max(axis=1).mean() > right + 0.12
    assert softmax(scores * np.float32(times)).max(axis=1).mean() == pytest.approx(right, abs=0.08)


def test_each_row_and_each_file_has_a_say_in_how_sharp_to_be() -> None:
    parts = [replace(rows(np.full(n, 0.6)), sharpness=np.full(n, times)) for n, times in ((30, 0.5), (10, 1.0))]
    plain = Judged.joined([rows(np.full(n, 0.5)) for n in (30, 10)])
    assert Gain.of(plain, Judged.joined(parts)).sharper == pytest.approx(0.5**0.75)
