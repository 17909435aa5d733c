"""Editions come back as they were written, one serves at a time, and what is wrong with one is said with a remedy."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from experts.errors import RegistryError
from router.learn.edition_file import Edition, EditionError
from router.learn.editions import Editions, learnt, serving, usable
from router.learn.evidence import Outcomes, joined, unscored
from router.learn.heldout import Comparison, Figures
from router.learn.study import Study, back
from router.learn.trial import SCORES, UNSCORED, Trial
from router.settings import Settings
from tests.service.server import write_registry

MAKER = "encoder/surface"


def outcomes(rows: int, experts: tuple[str, ...] = ("a", "b"), seed: int = 0, tasks: bool = False) -> Outcomes:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = rng.random((rows, len(experts))).astype(np.float32)
    scores[::2, 0] = np.nan
    named = np.array(["t"] * rows, np.str_) if tasks else None
    return Outcomes(experts, vectors, rng.random((rows, 13)).astype(np.float32), scores, named)


def add(editions: Editions, rows: int, days: list[int] | None = None) -> int:
    told = np.array(days if days is not None else [20_000] * rows, np.int32)
    said = {"maker": MAKER, "made": "2026-11-25", "replaces": serving(editions)[0]}
    return editions.add(outcomes(rows), told, said)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    editions = Editions(tmp_path / "learned")
    assert (editions.current(), editions.all(), editions.outcomes(0, MAKER)) == (0, [], None)
    assert add(editions, 7) == 1
    assert editions.current() == 0, "a new edition does not serve by itself"
    found, given = editions.outcomes(1, MAKER), outcomes(7)
    assert found is not None
    assert found.experts == ("a", "b")
    assert (found.vectors * given.vectors).sum(axis=1).min() > 0.999
    assert np.array_equal(found.scores, given.scores, equal_nan=True)
    assert np.allclose(found.features, given.features, atol=1e-3)
    assert {each.stat().st_mode & 0o077 for each in (tmp_path / "learned").glob("*.safetensors")} == {0}


def test_one_serves_and_the_one_before_can_serve_again(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    with pytest.raises(EditionError, match="nothing learnt serves"):
        back(editions, None)
    for number in (1, 2, 3):
        assert add(editions, 3) == number
        editions.use(number)
    assert [back(editions, None), editions.current()] == [2, 2]
    assert [back(editions, 0), editions.current()] == [0, 0]
    assert [back(editions, 3), editions.current()] == [3, 3]
    with pytest.raises(EditionError, match=r"no edition 4\. Remedy: one of 0, 1, 2, 3"):
        back(editions, 4)
    assert editions.current() == 3


def rows(editions: Editions) -> list[int]:
    """Of the editions that are sound."""
    return [edition.rows for edition in editions.all() if isinstance(edition, Edition)]


def test_editions_made_at_the_same_time_have_numbers_of_their_own(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda: numbers.append(add(editions, 4))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))
    assert rows(editions) == [4] * 8


def test_what_is_applied_at_the_same_time_takes_each_others_place(tmp_path: Path) -> None:
    def apply(seed: int) -> int:
        told = outcomes(3, seed=seed)
        return Editions(tmp_path).serve(told, np.zeros(3, np.int32), {"maker": "m", "replaces": 0})[0]

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(apply, range(8)))
    found = [each for each in Editions(tmp_path).all() if isinstance(each, Edition)]
    assert numbers == [each.number for each in found] == list(range(1, 9))
    assert [each.said["replaces"] for each in found] == list(range(8))
    assert (Editions(tmp_path).current(), Editions(tmp_path).before()) == (8, 7)


def test_the_same_applied_at_the_same_time_is_one_edition(tmp_path: Path) -> None:
    def apply(_: int) -> tuple[int, bool]:
        return Editions(tmp_path).serve(outcomes(3), np.zeros(3, np.int32), {"maker": MAKER})

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(apply, range(8)))
    assert sorted(found) == [(1, False)] * 7 + [(1, True)]
    assert (rows(Editions(tmp_path)), Editions(tmp_path).before()) == ([3], 0)


def test_going_back_at_the_same_time_goes_back_one_by_one(tmp_path: Path) -> None:
    for number in range(1, 9):
        assert Editions(tmp_path).serve(outcomes(3, seed=number), np.zeros(3, np.int32), {"maker": MAKER})[0] == number
    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(lambda _: back(Editions(tmp_path), None), range(8)))
    assert numbers == list(range(8))
    assert Editions(tmp_path).current() == 0


def test_an_edition_that_says_not_what_it_replaced_replaced_nothing(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    editions.use(editions.add(outcomes(3), np.zeros(3, np.int32), {"maker": MAKER}))
    assert (editions.current(), back(editions, None)) == (1, 0)


def older(editions: Editions, number: int) -> Path:
    """An edition as an earlier version of Shoal wrote it."""
    path = editions.path(number)
    with safe_open(path, "numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = file.metadata()["shoal-edition-2"]
    save_file(tensors, path, {"shoal-edition-1": said})
    return path


def test_an_edition_of_an_older_version_is_told_as_such(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    editions.use(add(editions, 3))
    path = older(editions, 1)
    number, why = serving(editions)
    assert number == 0
    assert why is not None
    assert f"{path}: was made by another version of Shoal (shoal-edition-1, this one reads shoal-edition-2)" in why
    assert "Remedy: shoal learn apply, to learn anew" in why
    assert editions.serve(outcomes(2), np.zeros(2, np.int32), {"maker": MAKER}) == (2, True)
    assert editions.current() == 2


def test_what_cannot_be_read_is_forgotten_whole_once_all_in_it_is_too_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    editions = Editions(tmp_path)
    for _ in range(3):
        add(editions, 3, [9, 10, 11])
    young, old = older(editions, 1), older(editions, 2)
    for path, day in ((young, 10), (old, 9)):
        os.utime(path, (0, day * 86_400 + 80_000))
    with pytest.raises(EditionError, match=r"0001\.safetensors: was made by another version"):
        editions.forget(10)
    assert (young.exists(), old.exists(), rows(editions)) == (True, False, [2])
    assert "0002.safetensors: was made by another version" in caplog.text
    assert editions.forget(11) == 1
    assert (young.exists(), rows(editions)) == (False, [1])


def test_what_is_learnt_takes_the_place_of_what_serves_not_of_what_served_when_it_was_begun(tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    settings = Settings(registry=path, data_dir=tmp_path / "data")
    told = tmp_path / "answers.jsonl"
    told.write_text('{"input": "a haiku about snow", "outcomes": {"poet": {"score": 1}}}\n')
    one, twin = Study.open(settings, [told]), Study.open(settings, [told])
    told.write_text('{"input": "a haiku about snow", "outcomes": {"poet": {"score": 0}}}\n')
    other = Study.open(settings, [told])
    trial = Trial(Comparison("requests", 1, 1), 0, Counter())
    assert [each.apply(trial, force=True) for each in (one, twin, other)] == [(1, True), (1, False), (2, True)]
    assert back(other.editions, None) == 1


def test_what_was_tried_against_one_edition_takes_no_others_place_unseen(tmp_path: Path) -> None:
    """A rollback while a trial goes on is not overruled by it."""
    settings = Settings(registry=write_registry(tmp_path), data_dir=tmp_path / "data")
    told = tmp_path / "answers.jsonl"

    def study(score: int) -> Study:
        row = {"input": "a haiku about snow", "outcomes": {"poet": {"score": score}}}
        told.write_text(json.dumps(row) + "\n")
        return Study.open(settings, [told])

    figures = Figures(0.1, 0.1)
    trial = Trial(Comparison("requests", 60, 60, figures, figures), 0, Counter())
    assert study(1).apply(trial, force=False) == (1, True)
    late = study(0)
    assert back(late.editions, None) == 0
    with pytest.raises(EditionError, match=r"against edition 1, and edition 0 serves by now\. Remedy: shoal learn"):
        late.apply(trial, force=False)
    assert (late.editions.current(), rows(late.editions)) == (0, [1])
    assert study(0).apply(trial, force=False) == (2, True)


def test_what_a_trial_left_out_is_not_in_the_edition(tmp_path: Path) -> None:
    settings = Settings(registry=write_registry(tmp_path), data_dir=tmp_path / "data")
    told = tmp_path / "answers.jsonl"
    told.write_text('{"input": "a haiku about snow", "outcomes": {"poet": {"score": 1}}}\n')
    study = Study.open(settings, [told])
    asked = unscored(outcomes(4).vectors, study.outcomes[0].features[[0] * 4])
    study.__dict__["_rest"] = asked, np.full(4, 20_000, np.int32)
    del study.__dict__["outcomes"]
    figures = Figures(0.1, 0.1)
    whole = Trial(Comparison("requests", 60, 60, figures, figures), 0, Counter())
    for trial in (whole, replace(whole, left_out={SCORES: "why"}), replace(whole, left_out={UNSCORED: "why"})):
        study.apply(trial, force=True)
    found = [each for each in study.editions.all() if isinstance(each, Edition)]
    assert [(each.scored, each.rows - each.scored) for each in found] == [(1, 4), (0, 4), (1, 0)]
    assert [each.said["experts"] for each in found] == [["poet"], [], ["poet"]]
    assert [each.said["from_files"] for each in found] == [1, 0, 1]
    assert [each.said["trial"]["left_out"] for each in found] == [{}, {"scores": "why"}, {"unscored": "why"}]


def test_the_same_told_again_is_no_other_edition(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    number = add(editions, 4, [1, 2, 3, 4])
    days = np.array([1, 2, 3, 4], np.int32)
    assert editions.holds(number, outcomes(4), days)
    assert not editions.holds(number, outcomes(4), days + 1)
    assert not editions.holds(number, outcomes(3), days[:3])
    assert not editions.holds(number, replace(outcomes(4), experts=("a", "other")), days)
    assert not editions.holds(0, outcomes(4), days)


def test_a_copy_beside_editions_is_passed_over_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    editions = Editions(tmp_path)
    path = editions.path(add(editions, 3, [10, 20, 30]))
    for name in ("0001-backup.safetensors", "1.safetensors", "00002.safetensors", "4\u0661\u0661\u0661.safetensors"):
        (tmp_path / name).write_bytes(path.read_bytes())
        assert rows(editions) == [3]
        assert f"{tmp_path / name}: is not named as an edition is, like 0001.safetensors" in caplog.text
    assert editions.forget(15) == 1
    assert add(editions, 2) == 2


ODD = [b'{"edition": %s}' % value for value in (b"1e999", b"true", b'"1"', b"1.9", b"-1", b"[" * 100_000)]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 200])
def test_a_damaged_edition_is_refused_with_a_remedy(tmp_path: Path, damage: bytes) -> None:
    editions = Editions(tmp_path)
    editions.use(add(editions, 3))
    editions.path(1).write_bytes(damage)
    with pytest.raises(RegistryError, match=r"0001\.safetensors: no edition, or a damaged one.*Remedy.*rollback"):
        learnt(editions, 1, MAKER)
    editions.use(0)
    assert learnt(editions, serving(editions)[0], MAKER) == []


def test_a_damaged_edition_that_serves_is_none_and_another_can_be_made(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    editions = Editions(tmp_path)
    editions.use(add(editions, 3))
    editions.path(1).write_bytes(b"damaged")
    assert serving(editions)[0] == 0
    assert "nothing learnt is in use: " in caplog.text
    assert "let another serve: shoal learn rollback NUMBER, 0 for nothing learnt" in caplog.text
    with pytest.raises(RegistryError, match=r"0001\.safetensors: no edition, or a damaged one"):
        serving(editions, strict=True)
    editions.use(add(editions, 4))
    assert serving(editions, strict=True) == (2, None)


def test_not_one_bit_of_an_edition_may_flip(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    path = editions.path(add(editions, 3))
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        try:
            editions.outcomes(1, MAKER)
        except EditionError as error:
            assert str(path) in str(error)
        else:
            pytest.fail(f"byte {at} of {len(whole)} was changed and nobody noticed")


def test_a_pointer_to_an_edition_that_was_deleted_is_none_and_is_mended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    editions = Editions(tmp_path)
    for _ in range(2):
        editions.use(add(editions, 3))
    editions.path(2).unlink()
    assert serving(editions)[0] == 0
    assert "names edition 2, which is not there. Remedy: restore" in caplog.text
    assert [back(editions, 1), serving(editions)] == [1, (1, None)]


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 200, b"[]", b'{"edition": "one"}', *ODD])
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_pointer_is_none_and_is_mended_as_it_says(
    tmp_path: Path, damage: bytes, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    editions = Editions(tmp_path)
    editions.use(add(editions, 3))
    editions.pointer.write_bytes(damage)
    remedy = r"current\.json: cannot be read.*Remedy: shoal learn rollback NUMBER"
    with pytest.raises(EditionError, match=remedy):
        editions.current()
    with pytest.raises(EditionError, match=remedy):
        back(editions, None)
    with pytest.raises(RegistryError, match=remedy):
        serving(editions, strict=True)
    assert serving(editions)[0] == 0
    assert "nothing learnt is in use" in caplog.text
    assert [back(editions, number), editions.current()] == [number, number]


def test_a_pointer_with_another_number_in_it_is_damaged_and_brings_no_other_edition_into_service(
    tmp_path: Path,
) -> None:
    editions = Editions(tmp_path)
    for _ in range(2):
        editions.use(add(editions, 3))
    editions.pointer.write_bytes(editions.pointer.read_bytes().replace(b'"edition": 2', b'"edition": 1'))
    with pytest.raises(EditionError, match=r"current\.json: cannot be read \(its content does not have the sha256"):
        editions.current()
    assert [serving(editions)[0], back(editions, 2), editions.current()] == [0, 2, 2]


def test_back_is_to_what_was_replaced_not_to_what_was_taken_back(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    for _ in range(2):
        editions.use(add(editions, 3))
    back(editions, 1)
    editions.use(add(editions, 3))
    assert editions.current() == 3
    assert [back(editions, None), back(editions, None)] == [1, 0], "2 had been taken back"


def test_a_damaged_edition_stands_in_the_way_of_no_other(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    for days in ([19_000, 20_001], [19_000, 20_001], [19_000, 20_001]):
        editions.use(add(editions, 2, days))
    content = bytearray(editions.path(2).read_bytes())
    content[-1] ^= 1
    editions.path(2).write_bytes(content)
    assert rows(editions) == [2, 2]
    with pytest.raises(EditionError, match=r"0002\.safetensors: no edition, or a damaged one .*Remedy"):
        back(editions, 2)
    assert editions.current() == 3, "what cannot be used does not come to serve"
    with pytest.raises(EditionError, match=r"0002\.safetensors"):
        editions.forget(20_000)
    assert rows(editions) == [1, 1], "the others forget all the same"


def test_an_edition_of_another_encoder_is_refused_with_a_remedy(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    editions.use(add(editions, 3))
    with pytest.raises(RegistryError, match=r"made by encoder/surface, but other/surface is in use\. Remedy"):
        learnt(editions, 1, "other/surface")
    assert len(learnt(editions, 1, MAKER)[0]) == 3
    assert usable(editions, MAKER) == (1, None)
    number, refused = usable(editions, "other/surface")
    assert number == 0
    assert refused is not None
    assert "made by encoder/surface, but other/surface is in use. Remedy" in refused
    editions.use(0)
    with pytest.raises(EditionError, match="other/surface is in use"):
        back(editions, 1, "other/surface")
    assert editions.current() == 0, "what cannot be used does not come to serve"


@pytest.mark.parametrize("gone", [False, True])
def test_what_is_damaged_or_gone_is_taken_back_all_the_same(tmp_path: Path, gone: bool) -> None:
    editions = Editions(tmp_path)
    for _ in range(2):
        editions.use(add(editions, 3))
    editions.use(1)
    editions.use(add(editions, 3))  # replaces 1, not 2
    editions.path(3).unlink() if gone else editions.path(3).write_bytes(b"no edition")
    assert [back(editions, None), editions.current()] == [1, 1]


def test_an_older_pointer_does_not_tell_what_was_replaced_but_the_edition_does(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    for _ in range(2):
        editions.use(add(editions, 3))
    editions.pointer.write_text('{"edition": 2}')
    assert back(editions, None) == 1


def test_where_no_vectors_are_to_be_kept_all_of_traffic_leaves_every_edition_and_servers_are_told(
    tmp_path: Path,
) -> None:
    editions = Editions(tmp_path)
    editions.use(add(editions, 3, [0, 0, 0]))
    add(editions, 4, [19_000, 20_000, 99_999, 0])
    seen = editions.pointer.stat().st_ino
    assert editions.forget(10, keep=False) == 3
    assert (rows(editions), editions.pointer.stat().st_ino) == ([3, 1], seen), "what serves held none"
    editions.use(add(editions, 2, [20_000, 0]))
    seen, said = editions.pointer.stat().st_ino, editions.pointer.read_bytes()
    assert editions.forget(10, keep=False) == 1
    assert (rows(editions), editions.pointer.read_bytes()) == ([3, 1, 1], said)
    assert editions.pointer.stat().st_ino != seen, "a server sees that it changed"


def test_requests_that_are_too_old_leave_every_edition(tmp_path: Path) -> None:
    editions = Editions(tmp_path)
    assert editions.forget(20_000) == 0
    add(editions, 4, [19_000, 20_000, 20_001, 0])
    add(editions, 2, [19_000, 19_001])
    before = editions.path(1).stat().st_ino
    assert editions.forget(19_000) == 0
    assert editions.path(1).stat().st_ino == before, "what need not change is not written again"
    assert editions.forget(20_000) == 3
    assert rows(editions) == [3, 0]
    kept, given = editions.outcomes(1, MAKER), outcomes(4)
    assert kept is not None
    assert np.array_equal(kept.scores, given.scores[1:], equal_nan=True)
    nothing = editions.outcomes(2, MAKER)
    assert nothing is not None
    assert joined([nothing]) is None


def test_sources_are_joined_by_expert() -> None:
    one, other = outcomes(3, ("a", "b"), 1), outcomes(2, ("b", "c"), 2, tasks=True)
    whole = joined([one, other])
    assert whole is not None
    assert whole.experts == ("a", "b", "c")
    assert np.array_equal(whole.scores[:3, :2], one.scores, equal_nan=True)
    assert np.array_equal(whole.scores[3:, 1:], other.scores, equal_nan=True)
    assert np.isnan(whole.scores[:3, 2]).all()
    assert np.isnan(whole.scores[3:, 0]).all()
    assert whole.tasks is None, "not every source tells them"
    tasks = joined([other])
    assert tasks is not None
    assert tasks.tasks is not None
