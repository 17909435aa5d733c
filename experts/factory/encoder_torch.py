"""The encoder of `encoder_graph.py` in sentence-transformers, so that it can be trained: same weights, same names.

Only training runs this; what it leaves is written as the int8 file that everything else uses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import torch
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import Tokenizer
from transformers import BertConfig
from transformers.utils.logging import disable_progress_bar

from experts.factory.encoder_graph import EPSILON, HEADS, LAYERS, POSITIONS, SIZE, Floats, Weights

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
        disable_progress_bar()  # loading takes a third of a second
        self._names = [name for name, value in weights.items() if np.issubdtype(value.dtype, np.floating)]
        with TemporaryDirectory() as folder:
            _write({name: weights[name] for name in self._names}, tokenizer, Path(folder))
            transformer = Transformer(folder, max_seq_length=max_tokens)
        modules = [transformer, Pooling(SIZE, "mean"), Normalize()]
        self._model = SentenceTransformer(modules=modules, device=str(device()))
        self._bert = transformer.model
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens

    def trainable(self) -> list[torch.nn.Parameter]:
        """The tensors to train; the rest, which is `FROZEN`, gets no gradients from now on."""
        for name, value in self._bert.named_parameters():
            value.requires_grad_(not name.startswith(FROZEN))
        return [value for value in self._bert.parameters() if value.requires_grad]

    def weights(self) -> dict[str, Floats]:
        """A copy of all weights as they are now, under the names of the float32 file."""
        now = self._bert.state_dict()
        return {name: now[name].cpu().numpy().copy() for name in self._names}

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, 384) of length 1, no gradients."""
        with torch.no_grad():
            vectors: Floats = self.forward(self.tokens(texts)).cpu().numpy()
        return vectors

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """The numbers of each text's tokens, the two special ones among them, no more than `max_tokens`.

        Cut as `router/encode.py` cuts them, without the last special token, which the library would keep.
        """
        return [each.ids[: self._max_tokens] for each in self._tokenizer.encode_batch(list(texts))]

    def forward(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """Vectors (n, 384) of length 1 in the order of the texts, with gradients where asked for."""
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        passes = [order[start : start + PER_PASS] for start in range(0, len(order), PER_PASS)]
        vectors = torch.cat([self._pass([tokens[row] for row in rows]) for rows in passes])
        return vectors[torch.from_numpy(np.argsort(order)).to(vectors.device)]

    def _pass(self, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        padded = self._model.tokenizer.pad({"input_ids": list(tokens)}, return_tensors="pt").to(self._model.device)
        vectors: torch.Tensor = self._model(dict(padded))["sentence_embedding"]
        return vectors


def between(plain: Weights, tuned: Weights, share: float) -> dict[str, Floats]:
    """Weights a `share` of the way from `plain` to `tuned`.

    What was learned stays, for the most part, and what was known is forgotten far less (Wortsman et al., Robust
    fine-tuning of zero-shot models, 2022).
    """
    return {name: (plain[name] + np.float32(share) * (value - plain[name])) for name, value in tuned.items()}


def _write(weights: Weights, tokenizer: Tokenizer, folder: Path) -> None:
    """The folder that sentence-transformers opens: shape, weights and tokenizer. Nothing is dropped in training."""
    BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * SIZE,
        max_position_embeddings=POSITIONS,
        layer_norm_eps=EPSILON,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ).save_pretrained(folder)
    whole = {name: np.ascontiguousarray(value, np.float32) for name, value in weights.items()}
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(described), encoding="utf-8")
