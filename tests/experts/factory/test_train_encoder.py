"""Where torch is installed, that training does what it says; without it, that the command says what is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from experts.errors import WrongUsage
from experts.extras import install
from experts.factory.lessons import Lessons, LessonsError, read_lessons
from experts.factory.packages import PACKAGES, TrainingUnavailable
from experts.registry import load_registry
from router.encode import Encoder
from shoal.experts_commands import app
from tests.experts.factory.toys import TOPICS, disguised, random_weights, topical, write

if TYPE_CHECKING:
    from experts.factory.train_encoder import Trained

TORCH = all(importlib.util.find_spec(name) for name in PACKAGES)
needs_torch = pytest.mark.skipif(
    not TORCH, reason="training needs the packages of the extra train: torch, sentence-transformers, onnx"
)
long = pytest.mark.timeout(900)

TOKENIZER = Path(__file__).parents[3] / "router/encoder/tokenizer.json"


@pytest.mark.skipif(TORCH, reason="torch is installed, so nothing is missing")
def test_without_torch_the_command_says_what_to_install(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", topical(8))
    done = CliRunner().invoke(app, ["train", "encoder", "--data", str(data), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, TrainingUnavailable) and install("train") in str(done.exception)
    assert not (tmp_path / "out").exists()


def train_encoder_with(*words: str) -> str:
    """What the command says to wrong words, before anything is trained."""
    done = CliRunner().invoke(app, ["train", "encoder", *words])
    assert done.exit_code == 2 or isinstance(done.exception, WrongUsage)
    return " ".join(f"{done.output.replace('│', ' ')} {done.exception}".split())


def test_as_many_licences_as_files_or_none(tmp_path: Path) -> None:
    data = str(write(tmp_path / "a.jsonl", topical(6)))
    said = train_encoder_with("--data", data, "--licence", "MIT", "--licence", "MIT", "--out", str(tmp_path / "out"))
    assert "2 licences for 1 files" in said


def test_a_seed_that_numpy_has_not_is_refused(tmp_path: Path) -> None:
    data = str(write(tmp_path / "a.jsonl", topical(9)))
    said = train_encoder_with("--data", data, "--out", str(tmp_path / "out"), "--seed", "-1")
    assert "greater than or equal to 0" in said


def test_an_encoder_is_never_written_over_another(tmp_path: Path) -> None:
    data = str(write(tmp_path / "a.jsonl", topical(6)))
    for there in (TOKENIZER.parent, tmp_path, tmp_path / "a.jsonl"):
        before = sorted(tmp_path.iterdir()), (TOKENIZER.parent / "model.onnx").stat().st_mtime_ns
        said = train_encoder_with("--data", data, "--out", str(there))
        assert "is there already. Remedy: a new folder" in said
        assert (sorted(tmp_path.iterdir()), (TOKENIZER.parent / "model.onnx").stat().st_mtime_ns) == before


def test_what_files_hold_is_told_before_torch_is_asked_for(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", [{**row, "split": "training"} for row in topical(6)])
    words = ["train", "encoder", "--data", str(data), "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, words).exception
    assert isinstance(told, LessonsError) and "one of train, validation, test" in str(told)
    write(data, topical(7))
    told = CliRunner().invoke(app, words).exception
    assert isinstance(told, LessonsError) and "once one of 3 parts is left out" in str(told)
    assert "a.jsonl: is given twice" in train_encoder_with(*words[2:], "--guard", str(data))


@needs_torch
def test_training_draws_a_label_together_and_holds_the_anchors() -> None:
    from experts.factory.contrastive import Course, train
    from experts.factory.encoder_torch import TorchEncoder, between
    from experts.factory.quantise_encoder import open_tokenizer

    tokenizer = open_tokenizer(TOKENIZER)
    plain = random_weights(tokenizer.get_vocab_size())
    encoder = TorchEncoder(plain, tokenizer, 32)
    labels = np.repeat(list(TOPICS), 6)
    one = Lessons("one", "0", [f"{TOPICS[label]} {n % 6}" for n, label in enumerate(labels)], labels, [], labels, [])
    anchors = ["a text about nothing", "and another"]
    before, held = encoder.encode(one.texts), encoder.encode(anchors)
    losses: list[float] = []
    course = Course(steps=12, labels=4, each=4, rate=2e-4, anchors=2)
    train(encoder, [one], anchors, held, course, lambda step, loss: losses.append(loss))
    assert losses[-1] < losses[0]
    assert (encoder.encode(anchors) * held).sum(axis=1).min() > 0.95
    after = encoder.weights()
    assert contrast_of(encoder.encode(one.texts), labels) > contrast_of(before, labels)
    frozen = "embeddings.word_embeddings.weight"
    assert np.array_equal(after[frozen], plain[frozen])
    halfway = between(plain, after, 0.5)["encoder.layer.0.output.dense.weight"]
    ends = plain["encoder.layer.0.output.dense.weight"], after["encoder.layer.0.output.dense.weight"]
    np.testing.assert_allclose(halfway, (ends[0] + ends[1]) / 2, atol=1e-6)


@needs_torch
def test_the_torch_encoder_is_the_graph() -> None:
    from experts.factory.encoder_figures import encoder as graph_encoder
    from experts.factory.encoder_graph import build
    from experts.factory.encoder_torch import TorchEncoder
    from experts.factory.quantise_encoder import open_tokenizer

    tokenizer = open_tokenizer(TOKENIZER)
    weights = random_weights(tokenizer.get_vocab_size())
    encode = graph_encoder(build(weights).SerializeToString(), tokenizer, 32)
    texts = ["hello", "", "a somewhat longer text, so that the batch is padded", "x " * 60]
    torch_vectors = TorchEncoder(weights, tokenizer, 32).encode(texts)
    np.testing.assert_allclose(torch_vectors, np.stack([encode(text) for text in texts]), atol=2e-5)


@long
@needs_torch
def test_what_pays_is_written_with_its_card_and_serves(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from experts.factory.contrastive import Course
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.train_encoder import train_encoder
    from experts.factory.trial import NoGain
    from experts.factory.tuning import Base

    weights = random_weights(open_tokenizer(TOKENIZER).get_vocab_size())
    save_file(weights, tmp_path / "model.safetensors")
    base, out = Base(tmp_path / "model.safetensors", TOKENIZER), tmp_path / "out"
    lessons = read_lessons(write(tmp_path / "a", disguised(12, own=6)), "MIT")
    still = Course(steps=1, labels=4, each=2, rate=0.0)
    with pytest.raises(NoGain, match=r"gained 0\.00% at best"):
        train_encoder(base, [lessons], [], [], out, still, no_note, no_progress)
    assert not out.exists()
    seen: list[tuple[str, int, int]] = []
    course = Course(steps=40, labels=4, each=6, rate=2e-4, anchors=0)
    made = train_encoder(base, [lessons], [], [], out, course, no_note, lambda *at: seen.append(at))
    assert {(what, 40, 40) for what in ("training", *(f"training without third {n}" for n in (1, 2, 3)))} <= set(seen)
    assert made.tuned[made.share].in_domain["a"] > made.plain.in_domain["a"]
    card = yaml.safe_load((out / "card.yaml").read_text())
    assert card["files"]["tokenizer.json"]["sha256"] == made.tokenizer_sha256
    assert card["files"]["model.onnx"]["sha256"] == made.sha256 and "a MIT" in card["licence"]
    assert card["trained"]["data"][0]["licence"] == "MIT" and card["trained"]["share_of_the_way"] == made.share
    assert (card["trained"]["data"][0]["rows"], card["trained"]["data"][0]["labels"]) == (48, 4), "on all of them"
    told = card["trained"]["gains"][f"share {made.share:g}"]
    sure = card["trained"]["sureness"]
    assert sure["rows"] == 48 and 0 < sure["times"] != 1
    assert told["rows"] == 48 and told["own_label"] > 2.2 * told["standard_error"] > 0
    assert card["measured"]["ways"]["float32"]["cosine_mean"] == 1.0
    serves(out, made.sha256)


@needs_torch
def test_rows_too_few_for_parts_are_refused_with_a_remedy_that_helps(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from experts.factory.contrastive import Course
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.train_encoder import train_encoder
    from experts.factory.tuning import Base

    save_file(random_weights(open_tokenizer(TOKENIZER).get_vocab_size()), tmp_path / "model.safetensors")
    base, course = Base(tmp_path / "model.safetensors", TOKENIZER), Course(steps=1, anchors=0)
    few = [row for row in topical(9) if row["label"] in list(TOPICS)[:2]]
    lessons = read_lessons(write(tmp_path / "a", few))
    said = r"a: \d+ rows to check .* fewer than 30 show nothing\. Remedy: more rows of each label$"
    with pytest.raises(LessonsError, match=said):
        train_encoder(base, [lessons], [], [], tmp_path / "out", course, no_note, no_progress)


@long
@needs_torch
@pytest.mark.parametrize("kind", ["labels by chance", "told apart already"])
def test_what_does_not_pay_is_not_written(tmp_path: Path, kind: str) -> None:
    from safetensors.numpy import save_file

    from experts.factory.contrastive import Course
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.train_encoder import train_encoder
    from experts.factory.trial import NoGain
    from experts.factory.tuning import Base

    save_file(random_weights(open_tokenizer(TOKENIZER).get_vocab_size()), tmp_path / "model.safetensors")
    rows = disguised(36) if kind == "labels by chance" else topical(36)
    if kind == "labels by chance":
        drawn = np.random.default_rng(0).permutation(len(rows))
        rows = [{**row, "label": rows[other]["label"]} for row, other in zip(rows, drawn, strict=True)]
    lessons = read_lessons(write(tmp_path / "a", rows))
    notes: list[str] = []
    course = Course(steps=10, labels=4, each=6, rate=2e-4, anchors=0)
    with pytest.raises(NoGain, match=r"over \d+ rows each judged by an encoder that had not seen it; .*Remedy"):
        train_encoder(
            Base(tmp_path / "model.safetensors", TOKENIZER), [lessons], [], [], tmp_path / "out", course,
            notes.append, no_progress,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
    assert "too few rows to keep some aside" in notes[0] and "rows judged: " in notes[1]


@long
@needs_torch
def test_rows_for_validation_decide_only_where_they_are_new_and_enough(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from experts.factory.contrastive import Course
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.train_encoder import train_encoder
    from experts.factory.trial import NoGain
    from experts.factory.tuning import Base

    save_file(random_weights(open_tokenizer(TOKENIZER).get_vocab_size()), tmp_path / "model.safetensors")
    base, out = Base(tmp_path / "model.safetensors", TOKENIZER), tmp_path / "out"
    rows, notes = disguised(24), list[str]()
    judging = [row for at, row in enumerate(rows) if at % 2]
    taught = [row for at, row in enumerate(rows) if not at % 2]
    course = Course(steps=40, labels=4, each=6, rate=2e-4, anchors=0)

    def train(kept: list[dict[str, object]], course: Course) -> Trained:
        given = [*taught, *({**row, "split": "validation"} for row in kept)]
        lessons = read_lessons(write(tmp_path / "a", given))
        return train_encoder(base, [lessons], [], [], out, course, notes.append, no_progress)

    with pytest.raises(LessonsError, match="fewer than 30 show nothing"):
        train(judging[:4], course)
    still = Course(steps=1, labels=4, each=2, rate=0.0)
    with pytest.raises(NoGain, match=r"gained 0\.00% at best .* over 48 rows"):
        train(judging, still)
    assert not out.exists()
    made = train(judging, course)
    gains = yaml.safe_load((out / "card.yaml").read_text())["trained"]["gains"][f"share {made.share:g}"]
    assert gains["rows"] == 48 and gains["own_label"] > 2.2 * gains["standard_error"] > 0


def serves(folder: Path, sha256: str) -> None:
    """A registry with the encoder in `folder` opens it, and a text has the same bits however it arrives."""
    registry = folder.parent / "registry.yaml"
    (folder.parent / "script.jsonl").write_text('{"match": ".*", "reply": "yes"}\n')
    registry.write_text(
        f'version: 1\nencoder: {{path: {folder}, sha256: "{sha256}"}}\nfallback: big\ndefault_policy: only\n'
        "policies: {only: {threshold: 0.7}}\n"
        "power: {dynamic_w_per_core: 2, source: a guess, as_of: 2026-01-01}\nexperts:\n"
        "  - {id: big, kind: scripted, description: All, script: script.jsonl, params_b: 1, context: 9}\n"
    )
    spec = load_registry(registry).registry.encoder
    encoder, again = Encoder.of(spec), Encoder.of(spec)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    assert encoder.sureness == card["trained"]["sureness"]["times"]
    with np.load(folder / "vectors.npz", allow_pickle=False) as kept:
        texts, float32 = [str(text) for text in kept["texts"]], kept["vectors"]
    alone = {text: encoder.encode(text).tobytes() for text in texts}
    assert ((encoder.encode_all(texts) * float32).sum(axis=1)).mean() > 0.98
    for order in (texts[::-1], texts[7:] + texts[:7], texts[:1], texts[3:5]):
        assert [vector.tobytes() for vector in again.encode_all(order)] == [alone[text] for text in order]


def no_note(line: str) -> None:
    """Nobody listens."""


def no_progress(what: str, done: int, total: int) -> None:
    """Nobody looks."""


def contrast_of(vectors: np.ndarray, labels: np.ndarray) -> float:
    """How much more alike texts of one label are than texts of two."""
    cosines, same = vectors @ vectors.T, labels[:, None] == labels
    return float(cosines[same].mean() - cosines[~same].mean())
