"""What an encoder is trained on, whether it pays, and, where torch is installed, that training does what it says."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from experts.extras import install
from experts.factory.encoder_check import Checked, check, gain
from experts.factory.lessons import Lessons, LessonsError, auroc, batches, read_inputs, read_lessons, shots
from shoal.experts_commands import app
from shoal.train import TrainingUnavailable

TORCH = importlib.util.find_spec("torch") is not None and importlib.util.find_spec("onnx") is not None
needs_torch = pytest.mark.skipif(not TORCH, reason="training needs the packages of the extra train: torch, onnx")

TOKENIZER = Path(__file__).parents[3] / "router/encoder/tokenizer.json"
TOPICS = {"weather": "rain", "music": "song", "money": "card", "food": "soup"}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def topical(each: int) -> list[dict[str, object]]:
    return [{"input": f"{word} {n}", "label": topic} for topic, word in TOPICS.items() for n in range(each)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_only_training_rows_are_trained_on(tmp_path: Path, name: str) -> None:
    rows = topical(6)
    rows += [{"input": "checked", "label": "music", "split": "validation"}, {"input": "odd", "label": None}]
    rows += [{"input": "stranger", "label": None, "split": "validation"}]
    rows += [{"input": "never seen", "label": "music", "split": "test"}]
    lessons = read_lessons(write(tmp_path / name, rows))
    assert lessons.texts == [row["input"] for row in topical(6)]
    assert (lessons.check_texts, lessons.outside) == (["checked"], ["stranger"])


def test_without_validation_rows_some_of_every_label_are_kept_aside(tmp_path: Path) -> None:
    lessons = read_lessons(write(tmp_path / "a.jsonl", topical(20)))
    assert not set(lessons.texts) & set(lessons.check_texts)
    assert len(lessons.texts) == 4 * 16 and sorted(lessons.check_labels) == sorted(list(TOPICS) * 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "two labels"),
        ('{"input": "a", "label": "x"}\n', "two labels"),
        ('{"input": "a", "label": "x"}\n{"input": "b", "label": "y"}\n', "rows to train on and to check with"),
        ('{"input": "a", "label": "x"}\nnonsense\n', "a.jsonl:2: cannot be read"),
        ('{"input": 7, "label": "x"}\n', "a.jsonl:1: has no text 'input'"),
        ('{"input": "a"}\n', "'a': 'label' must be a text"),
    ],
)
def test_a_useless_file_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(LessonsError, match=said):
        read_lessons(path)
    with pytest.raises(LessonsError, match=r"missing\.jsonl: cannot be read"):
        read_inputs(tmp_path / "missing.jsonl")


def test_the_questions_of_an_answers_file_are_lessons(tmp_path: Path) -> None:
    rows = [{"id": at, "questions": [f"{at} {n}" for n in range(8)], "answer": "."} for at in ("one", "two")]
    lessons = read_lessons(write(tmp_path / "answers.jsonl", rows))
    assert len(lessons.texts) == 14 and lessons.texts[0] == "one 0"
    assert set(lessons.labels) == {"one", "two"} and lessons.check_texts == ["one 4", "two 4"]


def lessons_of(name: str, each: dict[str, int]) -> Lessons:
    labels = np.array([label for label, count in each.items() for _ in range(count)])
    texts = [f"{name}/{label}/{n}" for n, label in enumerate(labels)]
    return Lessons(name, "0", texts, labels, texts, labels, [])


def test_a_batch_is_of_one_file_and_balanced() -> None:
    files = [lessons_of("one", {"a": 90, "b": 30, "c": 20}), lessons_of("two", {"a": 6, "b": 5, "rare": 4})]
    drawn = list(batches(files, steps=60, labels=2, each=4, seed=1))
    assert len(drawn) == 60
    for texts, labels in drawn:
        assert len({text.split("/")[0] for text in texts}) == 1
        assert len(texts) == len(set(texts)) == 8 and np.bincount(labels).max() == 4
        assert len({(text.split("/")[1], label) for text, label in zip(texts, labels, strict=True)}) == 2
    everything = {text for texts, _ in drawn for text in texts}
    assert not any("rare" in text for text in everything), "a label of four cannot be learned from"
    assert {text.split("/")[0] for text in everything} == {"one", "two"}
    assert drawn[0][0] == next(batches(files, 60, 2, 4, seed=1))[0] != next(batches(files, 60, 2, 4, seed=2))[0]


def test_shots_are_so_many_of_each_label() -> None:
    labels = np.array(["a"] * 9 + ["b"] * 2)
    assert sorted(labels[shots(labels, 4, 0)]) == ["a"] * 4 + ["b"] * 2


@pytest.mark.parametrize(
    ("inside", "outside", "wanted"), [([3, 4], [1, 2], 1), ([1], [2], 0), ([1, 2], [1, 2], 0.5), ([2, 0], [1], 0.5)]
)
def test_auroc_is_the_chance_that_inside_scores_higher(inside: list[int], outside: list[int], wanted: float) -> None:
    assert auroc(np.array(inside, np.float32), np.array(outside, np.float32)) == wanted


def test_gain_is_the_mean_unless_something_was_harmed() -> None:
    plain = Checked({"a": 0.90}, {"a": 0.95}, {"g": 0.80}, 1.0)
    assert gain(plain, Checked({"a": 0.92}, {"a": 0.96}, {"g": 0.80}, 0.9)) == pytest.approx(0.01)
    assert gain(plain, Checked({"a": 0.99}, {"a": 0.99}, {"g": 0.79}, 0.9)) is None


def spell(texts: list[str]) -> np.ndarray:
    """Vectors by the letters of a text: an encoder that needs no weights."""
    counts = np.array([[text.count(chr(97 + n)) + 0.01 for n in range(26)] for text in texts], np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def test_an_encoder_that_tells_labels_apart_checks_better() -> None:
    labels = np.repeat(list(TOPICS), 12)
    texts = [f"{TOPICS[label]} {n}" for n, label in enumerate(labels)]
    one = Lessons("one", "0", texts, labels, texts, labels, ["zzzz", "qqqq", "jjjj"])
    general = ["all sorts", "of things"]
    good = check(spell, [one], [one], general, spell(general))
    blind = check(lambda texts: spell(["same"] * len(texts)), [one], [one], general, spell(general))
    assert good.in_domain == good.guards == {"one": 1.0} and good.outside["one"] > 0.9
    assert good.general_cosine == pytest.approx(1) and blind.general_cosine < 0.9
    assert blind.in_domain["one"] == pytest.approx(0.25) and blind.outside["one"] == 0.5
    assert gain(good, blind) is None and gain(blind, good)


@pytest.mark.skipif(TORCH, reason="torch is installed, so nothing is missing")
def test_without_torch_the_command_says_what_to_install(tmp_path: Path) -> None:
    data = write(tmp_path / "a.jsonl", topical(6))
    done = CliRunner().invoke(app, ["train", "encoder", "--data", str(data), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, TrainingUnavailable) and install("train") in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_as_many_licences_as_files_or_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["train", "encoder", "--data", "a", "--licence", "MIT", "--licence", "MIT", "--out", str(tmp_path)]
    )
    assert done.exit_code == 2 and "2 licences for 1 files" in done.output


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
    train(encoder, [one], anchors, course, lambda step, loss: losses.append(loss))
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


@needs_torch
def test_what_pays_is_written_with_its_card_and_what_does_not_is_not(tmp_path: Path) -> None:
    import yaml
    from safetensors.numpy import save_file

    from experts.factory.contrastive import Course
    from experts.factory.quantise_encoder import open_tokenizer
    from experts.factory.train_encoder import Base, NoGain, export, train_encoder

    tokenizer = open_tokenizer(TOKENIZER)
    weights = random_weights(tokenizer.get_vocab_size())
    save_file(weights, tmp_path / "model.safetensors")
    base, lessons = Base(tmp_path / "model.safetensors", TOKENIZER), read_lessons(write(tmp_path / "a", topical(10)))
    still = Course(steps=1, labels=4, each=2, rate=0.0)
    with pytest.raises(NoGain, match="nothing was written"):
        train_encoder(base, [lessons], [], [], tmp_path / "out", still, {}, lambda line: None)
    assert not (tmp_path / "out").exists()
    data = [{"file": "a", "licence": "MIT"}]
    sha256 = export(weights, tokenizer, TOKENIZER, tmp_path / "out", {"data": data, "course": still.steps})
    card = yaml.safe_load((tmp_path / "out/card.yaml").read_text())
    assert card["files"]["model.onnx"]["sha256"] == sha256 and "a MIT" in card["licence"]
    assert card["trained"]["data"] == data and card["measured"]["ways"]["float32"]["cosine_mean"] == 1.0


def contrast_of(vectors: np.ndarray, labels: np.ndarray) -> float:
    """How much more alike texts of one label are than texts of two."""
    cosines, same = vectors @ vectors.T, labels[:, None] == labels
    return float(cosines[same].mean() - cosines[~same].mean())


def random_weights(words: int) -> dict[str, np.ndarray]:
    """The encoder's shape with weights drawn at random, the norms as they begin."""
    from experts.factory.encoder_graph import LAYERS, POSITIONS, SIZE

    random = np.random.default_rng(0)
    shapes = {
        "embeddings.word_embeddings.weight": (words, SIZE),
        "embeddings.position_embeddings.weight": (POSITIONS, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
    }
    dense = {f"attention.{part}": (SIZE, SIZE) for part in ("self.query", "self.key", "self.value", "output.dense")}
    dense |= {"intermediate.dense": (4 * SIZE, SIZE), "output.dense": (SIZE, 4 * SIZE)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        shapes |= {f"{at}{part}.weight": shape for part, shape in dense.items()}
        shapes |= {f"{at}{part}.bias": shape[:1] for part, shape in dense.items()}
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    weights = {name: random.normal(0, 0.05, shape).astype(np.float32) for name, shape in shapes.items()}
    for norm in norms:
        weights |= {f"{norm}.weight": np.ones(SIZE, np.float32), f"{norm}.bias": np.zeros(SIZE, np.float32)}
    return weights
