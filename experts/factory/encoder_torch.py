"""The encoder of `encoder_graph.py` in torch, so that it can be trained: same weights, same names, many texts at once.

Only training runs this; what it leaves is written as the int8 file that everything else uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch.nn import functional

from experts.factory.encoder_graph import EPSILON, HEADS, LAYERS, SIZE, Floats, Weights

FROZEN: Final = ("embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight", "pooler.")
"""What training leaves alone: most words are in no training text, and those that are must not drift away from them."""

PER_PASS: Final = 64
"""Texts encoded at once; they are sorted by length, so that little is padded."""


def device() -> torch.device:
    """The first NVIDIA card where torch can use one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class TorchEncoder:
    """The encoder's weights as tensors on `device()`, and the way through them."""

    def __init__(self, weights: Weights, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._device = device()
        self._weights = {
            name: torch.from_numpy(np.array(value, np.float32)).to(self._device)
            for name, value in weights.items()
            if np.issubdtype(value.dtype, np.floating)
        }
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    def trainable(self) -> list[torch.Tensor]:
        """The tensors to train, from now on with gradients; the rest is `FROZEN`."""
        return [value.requires_grad_() for name, value in self._weights.items() if not name.startswith(FROZEN)]

    def weights(self) -> dict[str, Floats]:
        """A copy of all weights as they are now, under the names of the float32 file."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self._weights.items()}

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, 384) of length 1, no gradients."""
        with torch.no_grad():
            vectors: Floats = self.forward(self.tokens(texts)).cpu().numpy()
        return vectors

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's tokens, the two special ones among them, no more than `max_tokens`."""
        return [each.ids[: self._max_tokens] for each in self._tokenizer.encode_batch(list(texts))]

    def forward(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Vectors (n, 384) of length 1 in the order of the texts, with gradients where asked for."""
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        passes = [order[start : start + PER_PASS] for start in range(0, len(order), PER_PASS)]
        vectors = torch.cat([self._pass([tokens[row] for row in rows]) for rows in passes])
        return vectors[torch.from_numpy(np.argsort(order)).to(self._device)]

    def _pass(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        ids, there = self._padded(tokens)
        w = self._weights
        places = w["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kind = w["embeddings.token_type_embeddings.weight"][0]
        x = functional.embedding(ids, w["embeddings.word_embeddings.weight"]) + (places + kind)
        x = _norm(x, w, "embeddings.LayerNorm")
        seen = there[:, None, None, :]
        for layer in range(LAYERS):
            x = _layer(x, seen, w, f"encoder.layer.{layer}")
        share = there[:, :, None].float()
        return functional.normalize((x * share).sum(dim=1) / share.sum(dim=1), dim=1)

    def _padded(self, tokens: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(len(each) for each in tokens)
        table = np.zeros((len(tokens), longest), np.int64)
        there = np.zeros((len(tokens), longest), bool)
        for row, each in enumerate(tokens):
            table[row, : len(each)] = each
            there[row, : len(each)] = True
        return torch.from_numpy(table).to(self._device), torch.from_numpy(there).to(self._device)


def between(plain: Weights, tuned: Weights, share: float) -> dict[str, Floats]:
    """Weights a `share` of the way from `plain` to `tuned`.

    What was learned stays, for the most part, and what was known is forgotten far less (Wortsman et al., Robust
    fine-tuning of zero-shot models, 2022).
    """
    return {name: (plain[name] + np.float32(share) * (value - plain[name])) for name, value in tuned.items()}


def _layer(x: torch.Tensor, seen: torch.Tensor, w: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    texts, tokens, _ = x.shape

    def linear(x: torch.Tensor, part: str) -> torch.Tensor:
        return functional.linear(x, w[f"{name}.{part}.weight"], w[f"{name}.{part}.bias"])

    def heads() -> Iterator[torch.Tensor]:
        for part in ("query", "key", "value"):
            whole = linear(x, f"attention.self.{part}")
            yield whole.view(texts, tokens, HEADS, SIZE // HEADS).transpose(1, 2)

    context = functional.scaled_dot_product_attention(*heads(), attn_mask=seen)
    attended = linear(context.transpose(1, 2).reshape(texts, tokens, SIZE), "attention.output.dense")
    y = _norm(attended + x, w, f"{name}.attention.output.LayerNorm")
    up = functional.gelu(linear(y, "intermediate.dense"))
    return _norm(linear(up, "output.dense") + y, w, f"{name}.output.LayerNorm")


def _norm(x: torch.Tensor, w: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    return functional.layer_norm(x, (SIZE,), w[f"{name}.weight"], w[f"{name}.bias"], EPSILON)
