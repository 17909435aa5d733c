from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from experts.errors import RegistryError, WeightsError
from experts.fitted import load_fitted
from experts.registry import load_registry
from router.encode import Encoder
from router.judge import Judge
from router.learn.fit import KIND, examples_of, fit_judge
from router.learn.surface import surface
from router.learn.vectors import CHUNK, DAY_S, UNREAD_DAYS, prune, vectors_of
from tests.service.server import rows, write_registry


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    spec = load_registry(write_registry(tmp_path_factory.mktemp("encoder")), {}).registry.encoder
    return Encoder.open(spec.path, spec.sha256)


def test_what_was_encoded_once_is_read_back_bit_by_bit(encoder: Encoder, tmp_path: Path) -> None:
    texts = ["the sea", "a tax form"]
    fresh = vectors_of(texts, encoder, tmp_path)
    (kept,) = tmp_path.glob("*.safetensors")
    written = kept.stat().st_ino
    assert (vectors_of(texts, encoder, tmp_path) == fresh).all()
    assert kept.stat().st_ino == written
    vectors_of(["the sea"], encoder, tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_texts_are_kept_apart_whatever_is_in_them(encoder: Encoder, tmp_path: Path) -> None:
    assert vectors_of(["alpha", "beta"], encoder, tmp_path).shape == (2, encoder.dimensions)
    assert (vectors_of(["alpha\0beta"], encoder, tmp_path) == encoder.encode("alpha\0beta")).all()


def test_a_judge_is_fitted_anew_only_when_its_examples_changed(encoder: Encoder, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    first = fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors")
    path.write_text(path.read_text().replace("threshold: 0.7", "threshold: 0.6"))
    same = fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors", first)
    assert same is first
    rows(tmp_path / "poems.jsonl", [{"input": "a poem about fog"}, {"input": "an ode to bread"}])
    other = fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors", first)
    assert other.key != first.key
    assert other.judge.nearest(encoder.encode("a poem about fog"), 1)[0].text == "a poem about fog"


def test_every_kind_of_expert_gives_its_examples(tmp_path: Path) -> None:
    registry = load_registry(Path(__file__).parents[3] / "registry.yaml", {}).registry
    counts = {spec.id: len(examples_of(spec)) for spec in registry.experts}
    assert min(counts.values()) >= 200
    broken = write_registry(tmp_path)
    spec = load_registry(broken, {}).registry.expert("poet")
    (tmp_path / "poems.jsonl").write_text('{"inptu": "x"}\n')
    with pytest.raises(RegistryError, match=r"poems\.jsonl:1: input is missing"):
        examples_of(spec)


def test_outcomes_of_the_registry_move_the_judge_and_a_change_of_them_refits(encoder: Encoder, tmp_path: Path) -> None:
    path, cache = write_registry(tmp_path), tmp_path / "vectors"
    alone = fit_judge(load_registry(path, {}).registry, encoder, cache)
    wrong = [{"input": f"a poem about {thing}", "outcomes": {"poet": {"score": 0}}} for thing in range(40)]
    with gzip.open(tmp_path / "outcomes.jsonl.gz", "wt") as file:
        file.write(
            "".join(json.dumps(row) + "\n" for row in [*wrong, {"input": "x", "outcomes": {"gone": {"score": 1}}}])
        )
    path.write_text(path.read_text() + "\noutcomes: outcomes.jsonl.gz\n")
    told = fit_judge(load_registry(path, {}).registry, encoder, cache, alone)
    text = "a poem about the wind"
    before, after = (fit.judge.judge(encoder.encode(text), surface(text)).probability for fit in (alone, told))
    assert after["poet"] < before["poet"] - 0.3
    assert after["cook"] == pytest.approx(before["cook"], rel=1e-5)
    assert "gone" not in after
    same = fit_judge(load_registry(path, {}).registry, encoder, cache, told)
    assert same is told
    with gzip.open(tmp_path / "outcomes.jsonl.gz", "wt") as file:
        file.write(json.dumps(wrong[0]) + "\n")
    assert fit_judge(load_registry(path, {}).registry, encoder, cache, told).key != told.key


def test_what_nobody_should_answer_is_learnt_and_a_change_of_it_refits(encoder: Encoder, tmp_path: Path) -> None:
    path, cache = write_registry(tmp_path), tmp_path / "vectors"
    alone = fit_judge(load_registry(path, {}).registry, encoder, cache)
    wars = [
        "a poem about the Thirty Years' War",
        "a poem about the Hundred Years' War",
        "verses on the siege of Vienna",
    ]
    rows(tmp_path / "outside.jsonl", [{"input": text} for text in wars])
    path.write_text(path.read_text() + "\noutside: outside.jsonl\n")
    loaded = load_registry(path, {})
    assert tmp_path / "outside.jsonl" in loaded.files
    told = fit_judge(loaded.registry, encoder, cache, alone)
    assert told.key != alone.key
    text = "a poem about the Seven Years' War"
    before, after = (fit.judge.judge(encoder.encode(text), surface(text)) for fit in (alone, told))
    assert before.label == "poet"
    assert after.probability["poet"] < before.probability["poet"] - 0.2
    near = told.judge.nearest(encoder.encode(text), 1)[0]
    assert (near.text in wars, near.label) == (True, None)
    assert fit_judge(load_registry(path, {}).registry, encoder, cache, told) is told
    rows(tmp_path / "outside.jsonl", [{"input": text} for text in wars[:2]])
    again = load_registry(path, {})
    assert again.version != loaded.version
    assert fit_judge(again.registry, encoder, cache, told).key != told.key


def test_a_wrong_row_of_what_nobody_should_answer_is_named(encoder: Encoder, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "\noutside: outside.jsonl\n")
    with pytest.raises(RegistryError, match=r"registry\.yaml:\d+: outside: there is no file .*outside\.jsonl"):
        load_registry(path, {})
    (tmp_path / "outside.jsonl").write_text('{"input": "y"}\n{"inptu": "x"}\n')
    with pytest.raises(RegistryError, match=r"outside\.jsonl:2: input is missing"):
        fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ('{"input": "x"}', "outcomes must name an expert"),
        ('{"input": "x", "outcomes": {"poet": {"score": 2}}}', r"outcomes\.poet\.score must be a number from 0 to 1"),
        ('{"input": "x", "outcomes": {"poet": {"score": true}}}', r"outcomes\.poet\.score must be"),
        ('{"input": "x", "task": 3, "outcomes": {"poet": {"score": 1}}}', "task must be a text"),
        ('{"outcomes": {"poet": {"score": 1}}}', "input is missing"),
    ],
)
def test_a_wrong_row_of_outcomes_is_named_by_its_line(encoder: Encoder, tmp_path: Path, row: str, problem: str) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "\noutcomes: outcomes.jsonl\n")
    (tmp_path / "outcomes.jsonl").write_text('{"input": "y", "outcomes": {"poet": {"score": 0.5}}}\n' + row + "\n")
    with pytest.raises(RegistryError, match=rf"outcomes\.jsonl:2: {problem}"):
        fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors")


def test_outcomes_that_are_not_there_are_a_problem_of_the_registry(tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    path.write_text(path.read_text() + "\noutcomes: nowhere.jsonl\n")
    with pytest.raises(RegistryError, match=r"registry\.yaml:\d+: outcomes: there is no file .*nowhere\.jsonl"):
        load_registry(path, {})


def test_a_longer_list_encodes_its_end_only(encoder: Encoder, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(CHUNK + 3)]
    vectors = vectors_of(texts, encoder, tmp_path)
    first = set(tmp_path.glob("*.safetensors"))
    assert len(first) == 2
    told: list[tuple[int, int]] = []
    again = vectors_of([*texts, "one more"], encoder, tmp_path, lambda done, of: told.append((done, of)))
    assert (again[:-1] == vectors).all()
    assert told == [(CHUNK, CHUNK + 4), (CHUNK + 4, CHUNK + 4)]
    assert len(set(tmp_path.glob("*.safetensors")) - first) == 1


@pytest.mark.parametrize("left", [0, 40, -4])
def test_a_file_of_vectors_that_was_cut_is_made_again(
    encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    texts = ["a poem about fog", "recipe for bread"]
    vectors = vectors_of(texts, encoder, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:left])
    assert (vectors_of(texts, encoder, tmp_path) == vectors).all()
    assert f"they are made again: {path}" in caplog.text
    caplog.clear()
    assert (vectors_of(texts, encoder, tmp_path) == vectors).all()
    assert not caplog.text


def test_vectors_of_which_a_bit_has_flipped_are_made_again(
    encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = vectors_of(["the sea"], encoder, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for at in (len(whole) - 1, len(whole) - 700, 20):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        caplog.clear()
        assert (vectors_of(["the sea"], encoder, tmp_path) == vectors).all()
        assert f"they are made again: {path}" in caplog.text


def test_vectors_that_nobody_asks_for_are_deleted_when_others_are_kept(encoder: Encoder, tmp_path: Path) -> None:
    vectors_of(["the sea"], encoder, tmp_path)
    vectors_of(["a tax form"], encoder, tmp_path)
    long_ago = time.time() - (UNREAD_DAYS + 1) * DAY_S
    for path in tmp_path.iterdir():
        os.utime(path, (long_ago, long_ago))
    vectors_of(["the sea"], encoder, tmp_path)  # asked for, so it stays
    vectors_of(["a poem about fog"], encoder, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_beyond_the_most_that_is_kept_those_longest_not_asked_for_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.learn.vectors.MOST_BYTES", 250)
    for name, unread_s in (("now", 0), ("today", DAY_S // 2), ("lately", 2 * DAY_S), ("before", 3 * DAY_S)):
        (tmp_path / name).write_bytes(b"." * 100)
        os.utime(tmp_path / name, (1e9 - unread_s, 1e9 - unread_s))
    prune(tmp_path, 1e9)
    assert {path.name for path in tmp_path.iterdir()} == {"now", "today"}
    monkeypatch.setattr("router.learn.vectors.MOST_BYTES", 0)
    prune(tmp_path, 1e9)
    assert {path.name for path in tmp_path.iterdir()} == {"now", "today"}  # somebody works with them


def test_a_start_without_changes_fits_nothing(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load_registry(write_registry(tmp_path), {}).registry
    first = fit_judge(registry, encoder, tmp_path / "vectors", heads=tmp_path / "heads")
    monkeypatch.delattr(Judge, "fit")
    again = fit_judge(registry, encoder, tmp_path / "vectors", heads=tmp_path / "heads")
    text = "write a poem about fog"
    vector, features = encoder.encode(text), surface(text)
    assert again.key == first.key
    assert again.judge.judge(vector, features) == first.judge.judge(vector, features)
    assert again.judge.nearest(vector, 3) == first.judge.nearest(vector, 3)


def test_one_head_is_kept(encoder: Encoder, tmp_path: Path) -> None:
    path = write_registry(tmp_path)
    for text in ("a poem about fog", "an ode to bread"):
        rows(tmp_path / "poems.jsonl", [{"input": text}])
        fit_judge(load_registry(path, {}).registry, encoder, tmp_path / "vectors", heads=tmp_path / "heads")
    assert len(list((tmp_path / "heads").iterdir())) == 1


def test_a_kept_judge_with_a_flipped_bit_is_fitted_again(
    encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load_registry(write_registry(tmp_path), {}).registry
    cache, heads = tmp_path / "vectors", tmp_path / "heads"
    first = fit_judge(registry, encoder, cache, heads=heads)
    (head,) = heads.iterdir()
    damaged = bytearray(head.read_bytes())
    damaged[-64] ^= 0x40  # of a number
    head.write_bytes(damaged)
    again = fit_judge(registry, encoder, cache, heads=heads)
    assert f"a new one is fitted: {head}: not a fitted judge-2 (it is damaged" in caplog.text
    assert caplog.messages[-1].endswith("). Nothing is to be done.")
    assert "Remedy" not in caplog.text, "what is needed is done"
    text = "write a poem about fog"
    vector, features = encoder.encode(text), surface(text)
    assert again.judge.judge(vector, features) == first.judge.judge(vector, features)
    load_fitted(head, KIND, encoder=encoder.fingerprint, data=head.stem.removeprefix(f"{KIND}-"))


def test_a_card_that_says_another_sureness_and_every_head_is_fitted_again(
    encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load_registry(write_registry(tmp_path), {}).registry
    cache, heads, other = tmp_path / "vectors", tmp_path / "heads", tmp_path / "encoder"
    shutil.copytree(registry.encoder.path, other)
    plain = fit_judge(registry, encoder, cache, heads=heads)
    found = []
    for times in (0.8, 0.5):
        caplog.clear()
        (other / "card.yaml").write_text(f"trained: {{sureness: {{times: {times}}}}}\n")
        tuned = Encoder.open(other, registry.encoder.sha256)
        found.append(fit_judge(registry, tuned, cache, heads=heads))
        assert "a kept judge is not used, a new one is fitted" in caplog.text and "fitted on encoder" in caplog.text
        kept = fit_judge(registry, tuned, cache, heads=heads)
        text = "write a poem about fog"
        vector, features = encoder.encode(text), surface(text)
        assert kept.judge.judge(vector, features) == found[-1].judge.judge(vector, features), "read from the head kept"
    judges = [each.judge for each in (plain, *found)]
    odds = [np.diff(np.log(sorted(each.judge(vector, features).probability.values())[-2:])).item() for each in judges]
    np.testing.assert_allclose(odds, odds[0] * np.array([1, 0.8, 0.5]), rtol=1e-4)
    assert len({each.key for each in (plain, *found)}) == 3


def test_one_byte_of_the_encoder_and_every_head_is_refused(
    encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load_registry(write_registry(tmp_path), {}).registry
    cache, heads = tmp_path / "vectors", tmp_path / "heads"
    fit_judge(registry, encoder, cache, heads=heads)
    (head,) = heads.iterdir()
    other = tmp_path / "encoder"
    shutil.copytree(registry.encoder.path, other)
    data = bytearray((other / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1  # amid the weights
    (other / "model.onnx").write_bytes(data)
    with pytest.raises(WeightsError, match=r"model\.onnx: sha256 is .*, the registry says .*Remedy: restore the file"):
        Encoder.open(other, registry.encoder.sha256)
    changed = Encoder.open(other, hashlib.sha256(data).hexdigest())
    with pytest.raises(
        WeightsError, match=r"fitted on encoder .*Remedy: restore the encoder .*delete the file and fit"
    ):
        load_fitted(head, KIND, encoder=changed.fingerprint, data=head.stem.removeprefix("judge-"))
    fit_judge(registry, changed, cache, heads=heads)
    assert "a kept judge is not used, a new one is fitted" in caplog.text
    assert "fitted on encoder" in caplog.text
    said = [each for each in caplog.messages if "fitted on encoder" in each]
    assert all(each.endswith(f", but {changed.fingerprint!r} is in use. Nothing is to be done.") for each in said)
    assert "Remedy" not in caplog.text, "what is needed is done"
