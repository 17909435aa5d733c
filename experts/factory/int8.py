"""Dense layers in int8: activations smoothed, then quantised per text (dynamic) or by calibrated ranges (static).

A few channels of BERT's activations are ten times larger than the rest and would eat the 256 steps of int8.
SmoothQuant (Xiao et al. 2022, arXiv 2211.10438) divides each channel by a factor and multiplies the weights by it.
Here a factor is a power of two, so the division is exact and a rebuild on another machine gives the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from experts.factory.encoder_graph import CONTRIB, LAYERS, Dense, Floats, Graph, Weights

STRENGTH: Final = 0.9
"""SmoothQuant's alpha: how much of the difficulty moves from activations to weights. Best of 0.6, 0.7, ... 1.0 by mean
cosine over the calibration texts."""

READERS: Final = {
    "x": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "c": ("attention.output.dense",),
    "y": ("intermediate.dense",),
    "u": ("output.dense",),
}
"""The dense layers that read each site."""


@dataclass(frozen=True, slots=True)
class Range:
    """What was seen at a site over the calibration texts: least and greatest of each channel."""

    low: Floats
    high: Floats


Ranges = Mapping[str, Range]
Factors = Mapping[str, Floats]


def smoothing(weights: Weights, ranges: Ranges) -> dict[str, Floats]:
    """For every site the power of two that each channel is divided by: max|x|^a / max|w|^(1-a), geometric mean 1."""
    factors: dict[str, Floats] = {}
    for layer in range(LAYERS):
        for site, readers in READERS.items():
            seen = ranges[f"l{layer}.{site}"]
            rows = [weights[f"encoder.layer.{layer}.{reader}.weight"] for reader in readers]
            activation = np.log2(np.maximum(np.abs(seen.low), np.abs(seen.high)))
            weight = np.log2(np.abs(np.concatenate(rows)).max(axis=0))
            exponent = STRENGTH * activation - (1 - STRENGTH) * weight
            factors[f"l{layer}.{site}"] = np.exp2(np.rint(exponent - exponent.mean())).astype(np.float32)
    return factors


def fold_context(weights: Weights, ranges: Ranges, factors: Factors) -> tuple[Weights, Ranges, Factors]:
    """The same with the factors of sites `c` carried by the value layers, where dividing costs nothing at run time."""
    weights, ranges = dict(weights), dict(ranges)
    for layer in range(LAYERS):
        factor, attention = factors[f"l{layer}.c"], f"encoder.layer.{layer}.attention"
        for name in (f"{attention}.self.value.weight", f"{attention}.self.value.bias"):
            weights[name] = (weights[name].T / factor).T
        weights[f"{attention}.output.dense.weight"] = weights[f"{attention}.output.dense.weight"] * factor
        seen = ranges[f"l{layer}.c"]
        ranges[f"l{layer}.c"] = Range(seen.low / factor, seen.high / factor)
    return weights, ranges, {site: factor for site, factor in factors.items() if not site.endswith(".c")}


def dynamic(factors: Factors) -> Dense:
    """Dense layers whose activations get scale and zero point from the text at hand."""

    def dense(graph: Graph, x: str, name: str, site: str, weight: Floats, bias: Floats) -> str:
        x, weight = _smooth(graph, x, name, site, weight, factors)
        value, scale, zero = graph.nodes("DynamicQuantizeLinear", [x], outputs=3)
        weights = _quantised(graph, name, weight)
        inputs = (value, weights[0], scale, weights[1], zero, weights[2], graph.constant(f"{name}.bias", bias))
        return graph.node("MatMulIntegerToFloat", *inputs, domain=CONTRIB)

    return dense


def static(factors: Factors, ranges: Ranges) -> Dense:
    """Dense layers whose activations have the scale and zero point that calibration saw; beyond them they saturate."""

    def dense(graph: Graph, x: str, name: str, site: str, weight: Floats, bias: Floats) -> str:
        factor = factors.get(site, np.ones(len(weight), np.float32))
        low, high = min(0.0, (ranges[site].low / factor).min()), (ranges[site].high / factor).max()
        step = np.array((high - low) / 255, np.float32)
        x, weight = _smooth(graph, x, name, site, weight, factors)
        scale = graph.constant(f"{site}.step", step)
        zero = graph.constant(f"{site}.zero", np.array(np.rint(-low / step), np.uint8))
        weights = _quantised(graph, name, weight)
        counts = np.rint(bias / (step * _column_scale(weight))).astype(np.int32)
        value = graph.node("QuantizeLinear", x, scale, zero)
        inputs = (value, scale, zero, *weights, graph.constant(f"{name}.counts", counts))
        return graph.node("QGemm", *inputs, domain=CONTRIB)

    return dense


def _smooth(graph: Graph, x: str, name: str, site: str, weight: Floats, factors: Factors) -> tuple[str, Floats]:
    if site not in factors:
        return x, weight
    inverse = graph.constant(f"{site}.inverse", 1 / factors[site])
    return graph.node("Mul", x, inverse), weight * factors[site][:, None]


def _column_scale(weight: Floats) -> Floats:
    scale: Floats = np.abs(weight).max(axis=0) / np.float32(127)
    return scale


def _quantised(graph: Graph, name: str, weight: Floats) -> tuple[str, str, str]:
    """Weights in int8, one scale a column, no zero point."""
    scale = _column_scale(weight)
    return (
        graph.constant(f"{name}.weight", np.rint(weight / scale).astype(np.int8)),
        graph.constant(f"{name}.scale", scale),
        graph.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
    )
