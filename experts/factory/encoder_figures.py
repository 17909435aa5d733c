"""What an encoder file is worth: how near its vectors are to float32, how fast it is, whether its bits ever change."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from experts.onnx_runtime import onnxruntime, session

Floats = NDArray[np.float32]
Encode = Callable[[str], Floats]

TURNS: Final = 12
WARM_S: Final = 0.1
TURN_S: Final = 0.3
THREADS: Final = 4


def encoder(model: bytes, tokenizer: Tokenizer, max_tokens: int) -> Encode:
    """Text to vector, shape (384,), with the first `max_tokens` tokens of the text, in a session as it serves in."""
    run = session(model).run

    def encode(text: str) -> Floats:
        ids = np.array(tokenizer.encode(text).ids[:max_tokens], np.int64)
        vector: Floats = run(None, {"ids": ids})[0][0]
        return vector

    return encode


def nearness(vectors: Floats, reference: Floats) -> dict[str, float]:
    """Cosine of every vector to its float32 one, and how often both have the same nearest other text."""
    cosines = (vectors.astype(np.float64) * reference).sum(axis=1)
    return {
        "cosine_mean": round(float(cosines.mean()), 5),
        "cosine_min": round(float(cosines.min()), 5),
        "same_nearest_neighbour": round(float((_nearest(vectors) == _nearest(reference)).mean()), 4),
    }


def latencies_ms(encodes: Mapping[str, Encode], text: str) -> dict[str, dict[str, float]]:
    """Milliseconds from text to vector, tokenising included, by the names of `encodes`.

    Wall time at the median and the 99th percentile, and the median of the thread's own CPU time, which a busy machine
    disturbs least. The ways take turns, so that what disturbs one disturbs all.
    """
    taken: dict[str, list[tuple[int, int]]] = {name: [] for name in encodes}
    for _ in range(TURNS):
        for name, encode in encodes.items():
            _repeat(encode, text, WARM_S)  # or it finds the weights of another way in the cache
            taken[name] += _repeat(encode, text, TURN_S)
    return {name: _summary(np.array(times) / 1e6) for name, times in taken.items()}


def text_of(tokenizer: Tokenizer, tokens: int) -> str:
    """A text that is exactly `tokens` tokens, the two special ones included. Raises ValueError when it is not."""
    words = ("the", "small", "river", "runs", "past", "old", "stone", "houses", "and", "green", "fields")
    text = " ".join(words[i % len(words)] for i in range(tokens - 2))
    if len(tokenizer.encode(text).ids) != tokens:
        raise ValueError(f"a word of the latency text is not one token of this tokenizer, so {tokens} are not reached")
    return text


def same_bits(encode: Encode, again: Encode, texts: Sequence[str]) -> bool:
    """True when every text gets the same bits in order, shuffled, from many threads at once, and from `again`."""
    first = {text: encode(text).tobytes() for text in texts}
    shuffled = [list(first)[i] for i in np.random.default_rng(1).permutation(len(first))]
    with ThreadPoolExecutor(THREADS) as pool:
        crowd = dict(zip(shuffled * 2, pool.map(encode, shuffled * 2), strict=True))
    others = [{text: other(text) for text in shuffled} for other in (encode, again)]
    return all(vectors[text].tobytes() == bits for vectors in (crowd, *others) for text, bits in first.items())


def machine() -> dict[str, Any]:
    """The processor and the versions that figures were measured with."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    int8 = [flag for flag in ("avx512_vnni", "avx_vnni", "amx_int8") if flag in facts.get("flags", "").split()]
    return {
        "cpu": facts.get("model name", platform.processor()),
        "cores": os.cpu_count(),
        "int8_instructions": int8,
        "python": platform.python_version(),
        "onnxruntime": onnxruntime().__version__,
    }


def _repeat(encode: Encode, text: str, seconds: float) -> list[tuple[int, int]]:
    """Wall and CPU nanoseconds of every call within `seconds`."""
    taken = []
    until = time.perf_counter_ns() + seconds * 1e9
    while (wall := time.perf_counter_ns()) < until:
        cpu = time.thread_time_ns()
        encode(text)
        taken.append((time.perf_counter_ns() - wall, time.thread_time_ns() - cpu))
    return taken


def _summary(times: NDArray[np.float64]) -> dict[str, float]:
    p50, p99 = np.percentile(times[:, 0], [50, 99])
    return {
        "p50": round(p50.item(), 3),
        "p99": round(p99.item(), 3),
        "cpu_p50": round(np.median(times[:, 1]).item(), 3),
    }


def _nearest(vectors: Floats) -> NDArray[np.intp]:
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -1)
    nearest: NDArray[np.intp] = likeness.argmax(axis=1)
    return nearest
