"""The sentence encoder all-MiniLM-L6-v2 as an ONNX graph for one text: token ids in, a vector of length 1 out.

Written node by node rather than exported, because the order of the nodes is where the time goes on a CPU:

    no mask, no padding     one text a call, so every token counts and attention needs no mask
    Add + LayerNormalization   onnxruntime's fused SkipLayerNormalization is not vectorised: ten times slower
    q, k, v apart           FusedMatMul reads [tokens, heads, 32] in place, so nothing is split or transposed before it
    mean and length inside  the answer is 384 numbers, not 384 per token

How a dense layer computes is a `Dense`: in float32, or in one of the two int8 ways of `int8.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]

LAYERS: Final = 6
HEADS: Final = 12
SIZE: Final = 384
"""Numbers per token between layers, and in the vector."""
POSITIONS: Final = 512
EPSILON: Final = 1e-12
CONTRIB: Final = "com.microsoft"
"""onnxruntime's own operators; all used here run in its plain CPU package."""


class Graph:
    """Nodes and constants, collected in order; every value has a name."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: dict[str, Array] = {}
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def constant(self, name: str, value: Array) -> str:
        """Keep `value` under `name`, which is returned; the same name twice means the same value."""
        self._constants.setdefault(name, np.ascontiguousarray(value))
        return name

    def nodes(self, operator: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> tuple[str, ...]:
        """The named results of `operator`; asked again for the same inputs, the node that is there already."""
        key = (operator, *inputs, repr(sorted(attributes.items())))
        if key not in self._known:
            name = f"{operator}_{len(self._nodes)}"
            names = tuple(f"{name}_{i}" for i in range(outputs))
            self._nodes.append(helper.make_node(operator, inputs, names, name, **attributes))
            self._known[key] = names
        return self._known[key]

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The name of the single result of `operator`."""
        return self.nodes(operator, list(inputs), **attributes)[0]

    def model(self, results: Mapping[str, str]) -> ModelProto:
        """The model `ids` int64 [tokens] -> float32 results, each named value under its public name."""
        for public, inner in results.items():
            self._nodes.append(helper.make_node("Identity", [inner], [public], public))
        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens"])
        answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
        constants = [numpy_helper.from_array(value, name) for name, value in self._constants.items()]
        graph = helper.make_graph(self._nodes, "all-MiniLM-L6-v2", [ids], answers, constants)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="shoal")


Dense = Callable[[Graph, str, str, str, Floats, Floats], str]
"""(graph, x, name, site, weight [in, out], bias [out]) -> x @ weight + bias. The site names where x is taken from."""


def float_dense(graph: Graph, x: str, name: str, site: str, weight: Floats, bias: Floats) -> str:
    """A dense layer in float32: what the int8 ways are measured against."""
    product = graph.node("MatMul", x, graph.constant(f"{name}.weight", weight))
    return graph.node("Add", product, graph.constant(f"{name}.bias", bias))


def float_table(graph: Graph, table: Floats) -> str:
    """The rows of `table` that the token ids name, in float32."""
    return graph.node("Gather", graph.constant("words", table), "ids", axis=0)


def int8_table(graph: Graph, table: Floats) -> str:
    """The same rows from a table in int8 with one scale a row: a quarter of the bytes, cosine 0.99999."""
    scale = np.abs(table).max(axis=1, keepdims=True) / np.float32(127)
    rows = graph.node("Gather", graph.constant("words", np.rint(table / scale).astype(np.int8)), "ids", axis=0)
    scales = graph.node("Gather", graph.constant("words.scale", scale), "ids", axis=0)
    return graph.node("Mul", graph.node("Cast", rows, to=TensorProto.FLOAT), scales)


def build(
    weights: Weights, dense: Dense = float_dense, table: Callable[[Graph, Floats], str] = float_table
) -> ModelProto:
    """The encoder with its dense layers and its word table made by `dense` and `table`; output `vector` [1, 384]."""
    return _encoder(Graph(), weights, dense, table, {})


def build_tapped(weights: Weights) -> ModelProto:
    """The float32 encoder that also gives out, under the site's name, what goes into each dense layer."""
    taps: dict[str, str] = {}

    def tapping(graph: Graph, x: str, name: str, site: str, weight: Floats, bias: Floats) -> str:
        taps[site] = x
        return float_dense(graph, x, name, site, weight, bias)

    return _encoder(Graph(), weights, tapping, float_table, taps)


def _encoder(
    graph: Graph, weights: Weights, dense: Dense, table: Callable[[Graph, Floats], str], taps: dict[str, str]
) -> ModelProto:
    x = _embed(graph, weights, table)
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        x = _layer(graph, x, f"l{layer}", own, dense)
    mean = graph.node("ReduceMean", x, graph.constant("first_axis", np.array([0], np.int64)), keepdims=1)
    return graph.model({"vector": graph.node("LpNormalization", mean, axis=-1, p=2), **taps})


def _embed(graph: Graph, weights: Weights, table: Callable[[Graph, Floats], str]) -> str:
    """Words plus positions; the token type is always the first, so it lies in the table of positions."""
    words = table(graph, weights["embeddings.word_embeddings.weight"])
    kind = weights["embeddings.token_type_embeddings.weight"][0]
    places = graph.constant("positions", weights["embeddings.position_embeddings.weight"] + kind)
    start = graph.constant("start", np.array([0], np.int64))
    positions = graph.node("Slice", places, start, graph.node("Shape", "ids"))
    return _norm(graph, words, positions, "embeddings.LayerNorm", weights)


def _norm(graph: Graph, x: str, residual: str, name: str, weights: Weights, prefix: str = "") -> str:
    scale = graph.constant(f"{prefix}{name}.weight", weights[f"{name}.weight"])
    bias = graph.constant(f"{prefix}{name}.bias", weights[f"{name}.bias"])
    return graph.node("LayerNormalization", graph.node("Add", x, residual), scale, bias, epsilon=EPSILON)


def _layer(graph: Graph, x: str, name: str, own: Weights, dense: Dense) -> str:
    """One transformer layer. Sites: x into attention, c its context, y into the feed-forward part, u inside it."""

    def linear(x: str, part: str, site: str, source: str, factor: float = 1.0) -> str:
        weight, bias = own[f"{source}.weight"].T * np.float32(factor), own[f"{source}.bias"] * np.float32(factor)
        return dense(graph, x, f"{name}.{part}", f"{name}.{site}", weight, bias)

    by_head = graph.constant("by_head", np.array([-1, HEADS, SIZE // HEADS], np.int64))
    whole = graph.constant("whole", np.array([-1, SIZE], np.int64))
    # The 1/sqrt(32) of attention is carried by the query's weights.
    query = linear(x, "query", "x", "attention.self.query", (SIZE // HEADS) ** -0.5)
    key, value = (linear(x, part, "x", f"attention.self.{part}") for part in ("key", "value"))
    q, k, v = (graph.node("Reshape", part, by_head) for part in (query, key, value))
    scores = graph.node("FusedMatMul", q, k, domain=CONTRIB, transBatchA=1, transBatchB=1, transB=1)
    heads = graph.node("FusedMatMul", graph.node("Softmax", scores, axis=-1), v, domain=CONTRIB, transBatchB=1)
    context = graph.node("Reshape", graph.node("Transpose", heads, perm=[1, 0, 2]), whole)
    attended = linear(context, "out", "c", "attention.output.dense")
    y = _norm(graph, attended, x, "attention.output.LayerNorm", own, f"{name}.")
    up = graph.node("Gelu", linear(y, "up", "y", "intermediate.dense"))
    return _norm(graph, linear(up, "down", "u", "output.dense"), y, "output.LayerNorm", own, f"{name}.")
