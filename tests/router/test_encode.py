"""The encoder, with the weights Shoal ships."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from experts.errors import WeightsError
from experts.registry import load_registry
from router.encode import INLINE_CHARS, AsyncEncoder, Encoder

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "router" / "encoder"
CARD = yaml.safe_load((FOLDER / "card.yaml").read_text())
SHA256 = CARD["files"]["model.onnx"]["sha256"]
TOKENIZER_SHA256 = CARD["files"]["tokenizer.json"]["sha256"]
MAX_TOKENS = 64

TEXTS = [
    "How do I reset my password?",
    "I was charged twice, please refund one of them.",
    "Write a function that merges two sorted lists.",
    "a",
    "The quarterly report is due on Friday, yet half of the figures are missing. " * 3,
    "¿Dónde está la estación de tren más cercana? 今天天气怎么样? 🙂",
]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.open(FOLDER, SHA256, MAX_TOKENS)


@pytest.fixture
def on_loop(encoder: Encoder) -> Iterator[AsyncEncoder]:
    asynchronous = AsyncEncoder(encoder, remembered=2)
    yield asynchronous
    asynchronous.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the encoder that a test may spoil."""
    return Path(shutil.copytree(FOLDER, tmp_path / "encoder"))


def words(n: int, seed: int) -> str:
    """`n` words of one token each."""
    vocabulary = ["river", "stone", "green", "house", "old", "sea", "bread", "clock"]
    return " ".join(np.random.default_rng(seed).choice(vocabulary, n).tolist())


def float32() -> tuple[list[str], NDArray[np.float32]]:
    """Texts and what the model says of them in float32, as stored by the factory."""
    with np.load(Path(__file__).parent / "data" / "encoder_fp32.npz", allow_pickle=False) as stored:
        return stored["texts"].tolist(), stored["vectors"]


def test_vectors_are_near_the_float32_ones() -> None:
    texts, exact = float32()
    cosines = (Encoder.open(FOLDER, SHA256).encode_all(texts) * exact).sum(axis=1)
    assert len(texts) == 40
    assert cosines.mean() >= 0.994
    assert cosines.min() >= 0.95


def test_meaning_is_in_the_angle(encoder: Encoder) -> None:
    question, near, far = encoder.encode_all(
        ["How can I get my money back?", "I would like a refund.", "The recipe needs two eggs and some flour."]
    )
    assert question @ near > 0.4 > 0.2 > question @ far


def test_a_vector_is_float32_and_has_length_1(encoder: Encoder) -> None:
    for text in TEXTS:
        vector = encoder.encode(text)
        assert vector.shape == (encoder.dimensions,) == (384,)
        assert vector.dtype == np.float32
        assert vector.flags.c_contiguous
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_vector_cannot_be_changed_by_who_gets_it(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="read-only"):
        encoder.encode("hello")[0] = 0


def test_bits_do_not_depend_on_company_order_or_thread(encoder: Encoder) -> None:
    alone = {text: encoder.encode(text).tobytes() for text in TEXTS}
    backwards = TEXTS[::-1]
    assert [row.tobytes() for row in encoder.encode_all(backwards)] == [alone[text] for text in backwards]
    crowd = [TEXTS[i * 7 % len(TEXTS)] for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        assert [vector.tobytes() for vector in pool.map(encoder.encode, crowd)] == [alone[text] for text in crowd]
    other = Encoder.open(FOLDER, SHA256, MAX_TOKENS)
    assert {text: other.encode(text).tobytes() for text in TEXTS} == alone


def test_encode_all_of_nothing_is_empty(encoder: Encoder) -> None:
    assert encoder.encode_all([]).shape == (0, 384)


def test_a_long_text_keeps_both_ends(encoder: Encoder) -> None:
    head, middle, tail = words(200, 1), words(5000, 2), words(200, 3)
    vector = encoder.encode(f"{head} {middle} {tail}")
    assert np.array_equal(vector, encoder.encode(f"{head} {words(4000, 4)} {tail}"))
    assert not np.array_equal(vector, encoder.encode(f"{head} {middle} {words(200, 5)}"))
    assert not np.array_equal(vector, encoder.encode(f"{words(200, 6)} {middle} {tail}"))


def test_cutting_by_characters_changes_nothing(encoder: Encoder) -> None:
    """A text read whole, and a longer one of which only the ends are read, with the same tokens at its ends."""
    head, tail = words(40, 1), words(40, 2)
    whole, cut = f"{head} {words(30, 3)} {tail}", f"{head} {words(900, 4)} {tail}"
    assert encoder.ends(whole) == (whole, "")
    assert encoder.ends(cut)[1] != ""
    assert encoder.tokens(whole).tolist() == encoder.tokens(cut).tolist()


def test_every_token_up_to_the_limit_counts_and_none_beyond(encoder: Encoder) -> None:
    assert encoder.count_tokens("") == 2
    assert encoder.count_tokens(words(9, 1)) == 11
    assert encoder.count_tokens(words(MAX_TOKENS - 2, 1)) == MAX_TOKENS
    assert encoder.count_tokens(words(MAX_TOKENS - 1, 1)) == MAX_TOKENS
    ids = encoder.tokens(words(MAX_TOKENS - 2, 1)).tolist()
    # One word too many: exactly one word, in the middle, is left out.
    longer = encoder.tokens(words(MAX_TOKENS - 2, 1) + " moon").tolist()
    half = MAX_TOKENS // 2
    assert longer[:half] == ids[:half]
    assert longer[half:-2] == ids[half + 1 : -1]


@pytest.mark.parametrize("max_tokens", [16, 17, 255, 512])
def test_any_limit_the_registry_allows_works(max_tokens: int) -> None:
    encoder = Encoder.open(FOLDER, SHA256, max_tokens)
    assert encoder.count_tokens(words(2000, 1)) == max_tokens
    assert np.linalg.norm(encoder.encode(words(2000, 1))) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n\t", "\0", "a\0b", "\ud83d", "\udfff\ud800", "🙂" * 50, "\ufffd", "\u200b", "e\u0301" * 20_000),
        *("x" * 100_000, "字" * 100_000, " " * 100_000, "[CLS][SEP][PAD]", "\u202eabc", "word " * 1_000_000),
    ],
    ids=lambda text: ascii(text[:12]),
)
async def test_no_text_is_refused(on_loop: AsyncEncoder, text: str) -> None:
    vector = await on_loop.vector(text)
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_a_lone_surrogate_is_left_out_and_a_pair_is_its_character(encoder: Encoder) -> None:
    assert encoder.tokens("café\ud800 table").tolist() == encoder.tokens("café table").tolist()
    assert encoder.tokens("thanks \ud83d\ude42").tolist() == encoder.tokens("thanks 🙂").tolist()


def test_another_file_is_refused_with_a_remedy(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(
        WeightsError, match=r"model\.onnx: sha256 is \w{64}, the registry says \w{64}\. Remedy: restore"
    ) as caught:
        Encoder.open(folder, SHA256)
    assert "\n" not in str(caught.value)


def test_one_changed_word_of_the_tokenizer_is_refused_where_it_is_pinned(folder: Path) -> None:
    pinned = [
        load_registry(ROOT / name, {}).registry.encoder for name in ("registry.yaml", "examples/registry.hub.yaml")
    ]
    assert {spec.tokenizer_sha256 for spec in pinned} == {TOKENIZER_SHA256}
    spec = pinned[0].model_copy(update={"path": folder})
    assert Encoder.of(spec).encode("an order").shape == (384,)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"order":', '"orderx":'))
    said = rf"the registry says {TOKENIZER_SHA256}\. Remedy: restore .*tokenizer_sha256"
    refusal = rf"tokenizer\.json: sha256 is \w{{64}}, {said}"
    with pytest.raises(WeightsError, match=refusal):
        Encoder.of(spec)
    assert Encoder.of(spec.model_copy(update={"tokenizer_sha256": None})).fingerprint


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_missing_file_is_named_with_a_remedy(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name}: cannot be read \(No such file.*encoder\.path"):
        Encoder.open(folder, SHA256)


def test_a_file_that_is_no_model_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(WeightsError, match=r"model\.onnx: onnxruntime cannot load it"):
        Encoder.open(folder, hashlib.sha256(b"not a graph").hexdigest())


@pytest.mark.parametrize("content", [b"{}", b"\xff\xfe", b"not json"])
def test_a_file_that_is_no_tokenizer_is_refused(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(WeightsError, match=r"tokenizer\.json: not a tokenizer"):
        Encoder.open(folder, SHA256)


def test_the_fingerprint_knows_model_tokenizer_and_limit(encoder: Encoder, folder: Path) -> None:
    assert Encoder.open(folder, SHA256, MAX_TOKENS).fingerprint == encoder.fingerprint
    assert Encoder.open(folder, SHA256, MAX_TOKENS + 1).fingerprint != encoder.fingerprint
    with (folder / "tokenizer.json").open("a") as file:
        file.write("\n")
    assert Encoder.open(folder, SHA256, MAX_TOKENS).fingerprint != encoder.fingerprint


def test_what_a_card_says_of_sureness_is_read_and_another_number_is_another_encoder(
    encoder: Encoder, folder: Path
) -> None:
    (folder / "card.yaml").unlink(missing_ok=True)
    assert Encoder.open(folder, SHA256, MAX_TOKENS).fingerprint == encoder.fingerprint and encoder.sureness == 1
    found = []
    for times in (0.85, 0.86):
        (folder / "card.yaml").write_text(f"trained: {{sureness: {{times: {times}, rows: 257}}}}\n")
        found.append(Encoder.open(folder, SHA256, MAX_TOKENS))
    assert [each.sureness for each in found] == [0.85, 0.86]
    assert len({encoder.fingerprint, *(each.fingerprint for each in found)}) == 3
    assert found[0].encode("an order").tobytes() == encoder.encode("an order").tobytes()


@pytest.mark.parametrize(
    "card",
    [
        *(f"trained: {{sureness: {{times: {times}}}}}" for times in ("0", "-1", ".inf", ".nan", "much", "[1]")),
        *("trained: [", "just text", "trained: {sureness: 0.8}", "\0"),
    ],
)
def test_a_card_whose_sureness_cannot_be_used_is_refused_in_one_line(folder: Path, card: str) -> None:
    (folder / "card.yaml").write_text(card)
    with pytest.raises(WeightsError, match=r"card\.yaml: cannot be used \(.*Remedy: restore the file") as caught:
        Encoder.open(folder, SHA256)
    assert "\n" not in str(caught.value)


def test_a_card_that_is_broken_yaml_is_refused_with_the_place(folder: Path) -> None:
    """A promise that is refused tells to write a number there by hand."""
    (folder / "card.yaml").write_text("name: x\ntrained: {sureness: {times: 0.8}\n")
    said = (
        r"card\.yaml: cannot be used \(line 2, column 10: a { opens here and never closes\)\. Remedy: restore the file"
    )
    with pytest.raises(WeightsError, match=said):
        Encoder.open(folder, SHA256)


async def test_inline_thread_and_memory_give_the_same_bits(on_loop: AsyncEncoder) -> None:
    for text in ("short", words(50, 1), words(500, 2)):
        expected = on_loop.encoder.encode(text).tobytes()
        fresh, again = await on_loop.vector(text), await on_loop.vector(text)
        assert fresh.tobytes() == again.tobytes() == expected
        assert again is fresh


async def test_the_loop_goes_on_while_a_long_text_is_encoded(on_loop: AsyncEncoder) -> None:
    turns = 0
    task = asyncio.create_task(on_loop.vector(words(INLINE_CHARS, 1)))
    while not task.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 2


async def test_only_the_latest_vectors_are_remembered(on_loop: AsyncEncoder) -> None:
    first = await on_loop.vector("first")
    second = await on_loop.vector("second")
    assert await on_loop.vector("first") is first
    await on_loop.vector("third")
    assert await on_loop.vector("first") is first
    assert await on_loop.vector("second") is not second


async def test_texts_that_differ_only_where_nothing_is_read_are_one_in_memory(on_loop: AsyncEncoder) -> None:
    head, tail = words(400, 1), words(400, 2)
    vector = await on_loop.vector(f"{head} {words(900, 3)} {tail}")
    assert await on_loop.vector(f"{head} {words(900, 4)} {tail}") is vector
    assert await on_loop.vector(f"{head} {words(900, 3)} {words(400, 5)}") is not vector


async def test_many_requests_at_once_get_their_own_vectors(on_loop: AsyncEncoder) -> None:
    texts = [words(n, n) for n in range(1, 60, 3)]
    vectors = await asyncio.gather(*(on_loop.vector(text) for text in texts))
    assert np.array_equal(np.stack(vectors), on_loop.encoder.encode_all(texts))


def test_the_card_tells_the_truth_about_the_files() -> None:
    for name, facts in CARD["files"].items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == facts["sha256"]
    assert CARD["licence"] == "Apache-2.0"
    assert CARD["measured"]["texts"] == 200


def test_the_registry_pins_the_file_shipped() -> None:
    registry = yaml.safe_load((FOLDER.parents[1] / "registry.yaml").read_text())
    assert registry["encoder"]["sha256"] == SHA256


def test_importing_it_loads_no_runtime() -> None:
    heavy = "{'torch', 'transformers', 'onnxruntime', 'tokenizers', 'onnx'}"
    code = f"import sys, router.encode; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=FOLDER.parents[1])


async def test_those_with_much_to_encode_take_turns(on_loop: AsyncEncoder) -> None:
    done: list[str] = []

    async def ask(name: str, pieces: int) -> None:
        for _ in range(pieces):
            await on_loop.in_turn(done.append, name)

    await asyncio.gather(ask("long", 4), ask("short", 2), ask("one", 1))
    assert done == ["long", "short", "one", "long", "short", "long", "long"]


async def test_one_piece_at_a_time_leaves_a_thread_for_judgements(on_loop: AsyncEncoder) -> None:
    held, waiting = threading.Event(), threading.Event()
    first = asyncio.create_task(on_loop.in_turn(held.wait))
    second = asyncio.create_task(on_loop.in_turn(waiting.set))
    assert len(await on_loop.vector(words(60, 1))) == on_loop.encoder.dimensions
    assert not waiting.is_set()
    held.set()
    await asyncio.gather(first, second)


async def test_who_leaves_is_worked_for_no_more(on_loop: AsyncEncoder) -> None:
    held, done = threading.Event(), list[int]()

    async def ask() -> None:
        await on_loop.in_turn(held.wait)
        await on_loop.in_turn(done.append, 1)

    leaving = asyncio.create_task(ask())
    waiting = asyncio.create_task(on_loop.in_turn(done.append, 2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    await on_loop.vector(words(60, 2))
    assert done == []  # the thread still works on the piece, so its turn is not over
    held.set()
    await waiting
    assert done == [2]
