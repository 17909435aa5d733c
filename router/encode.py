"""Text -> request vector: all-MiniLM-L6-v2 in int8 on onnxruntime, one text a call.

One text a call, always: the file quantises activations by the text at hand, so texts run together would change each
other's vectors, and batching gains nothing on one thread. So a text has the same bits however it arrives.

A text longer than `max_tokens` keeps both ends, for a request often says what it wants before or after what it pastes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from experts.errors import WeightsError
from experts.spec import Encoder as EncoderSpec
from experts.wire import Vector
from router.learn.surface import END_CHARS, surface
from router.session import pinned, read, session, sha256_of, sureness_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from experts.onnx_runtime import InferenceSession

MODEL: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
CARD: Final = "card.yaml"

CHARS_PER_TOKEN: Final = 16
"""Characters read for each token kept, at either end; English has about five a token. Bounds the tokenizer's time."""

WINDOW_CHARS: Final = 32_768
"""Characters given to the tokenizer at once where all of a text counts: it holds the interpreter for some 15 ms."""

INLINE_CHARS: Final = 512
"""Longer texts go to a thread without a look at their tokens."""

INLINE_TOKENS: Final = 32
"""Longer texts would hold the event loop for more than about 1.5 ms."""

THREADS: Final = 2
"""For longer texts: one for who has much to encode, one for requests that wait to be judged."""

Tokens = NDArray[np.int64]
T = TypeVar("T")


class Encoder:
    """The encoder in one folder. Every method may be called from many threads at once, and none refuses a text."""

    def __init__(
        self, session: InferenceSession, tokenizer: Tokenizer, max_tokens: int, fingerprint: str, sureness: float
    ) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._first, self._last = (tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        self._head, self._tail = max_tokens // 2 - 1, max_tokens - max_tokens // 2 - 1
        self._end_chars = max_tokens // 2 * CHARS_PER_TOKEN
        self.max_tokens, self.sureness = max_tokens, sureness
        self._fingerprint = fingerprint
        self._dimensions = len(self.encode(""))

    @classmethod
    def of(cls, spec: EncoderSpec) -> Encoder:
        """The encoder that a registry names. Raises WeightsError as `open` does."""
        return cls.open(spec.path, spec.sha256, spec.max_tokens, spec.tokenizer_sha256)

    @classmethod
    def open(cls, path: Path, sha256: str, max_tokens: int = 256, tokenizer_sha256: str | None = None) -> Encoder:
        """The encoder in folder `path`. Raises WeightsError when a file is missing, broken or not the one pinned."""
        from tokenizers import Tokenizer

        found, vocabulary = sha256_of(path / MODEL), read(path / TOKENIZER)
        words = hashlib.sha256(vocabulary).hexdigest()
        pinned(path / MODEL, found, sha256, "sha256")
        pinned(path / TOKENIZER, words, tokenizer_sha256 or words, "tokenizer_sha256")
        try:
            tokenizer = Tokenizer.from_str(vocabulary.decode())
        except Exception as error:  # it names no narrower one
            raise WeightsError(f"{path / TOKENIZER}: not a tokenizer ({error}). Remedy: restore the file.") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        sureness = sureness_of(path / CARD)
        all_of_it = f"{found} {words} {max_tokens}" + (f" {sureness}" if sureness != 1 else "")
        known = hashlib.sha256(all_of_it.encode()).hexdigest()
        return cls(session(path / MODEL), tokenizer, max_tokens, known, sureness)

    @property
    def fingerprint(self) -> str:
        """sha256 over the model, the tokenizer, `max_tokens`, and `sureness` where it is not 1.

        Heads fitted under another one are worthless here.
        """
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self._dimensions

    @property
    def vocabulary_size(self) -> int:
        """Token ids are smaller than this."""
        size: int = self._tokenizer.get_vocab_size()
        return size

    def encode(self, text: str) -> Vector:
        """The vector of `text`: read-only, shape (dimensions,), length 1."""
        return self.embed(self.tokens(text))

    def encode_all(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of `texts`, shape (len(texts), dimensions), each with the bits it has alone."""
        vectors = np.empty((len(texts), self._dimensions), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[:] = self.encode(text)
        return vectors

    def count_tokens(self, text: str) -> int:
        """Tokens the encoder reads of `text`, its two special ones included; never more than `max_tokens`."""
        return len(self.tokens(text))

    def ends(self, text: str) -> tuple[str, str]:
        """The characters of `text` that can matter, as head and tail; the tail is empty when all of them can."""
        if len(text) <= 2 * self._end_chars:
            return text, ""
        return text[: self._end_chars], text[-self._end_chars :]

    def tokens(self, text: str) -> Tokens:
        """The ids the encoder reads of `text`, shape (n,) with 2 <= n <= max_tokens."""
        head, tail = self.ends(text)
        ids = self._ids(head)
        return self._framed(ids[: self._head], self._ids(tail) if tail else ids[self._head :])

    def whole(self, text: str) -> tuple[list[int], bool]:
        """The ids of `text` without the two special ones, and whether it was read to its end, or until too many."""
        ids: list[int] = []
        start = 0
        while start < len(text) and len(ids) + 2 <= self.max_tokens:
            end = _window(text, start)
            ids += self._ids(text[start:end])
            start = end
        return ids, start >= len(text)

    def framed(self, ids: Sequence[int]) -> Tokens:
        """The same of a text that comes as ids of this vocabulary, without the two special ones."""
        return self._framed(ids[: self._head], ids[self._head :])

    def _framed(self, ids: Sequence[int], last: Sequence[int]) -> Tokens:
        return np.array([self._first, *ids, *last[-self._tail :], self._last], np.int64)

    def embed(self, tokens: Tokens) -> Vector:
        """The vector of what `tokens` returned: read-only, shape (dimensions,), length 1."""
        vector: Vector = self._session.run(None, {"ids": tokens})[0][0]
        vector.setflags(write=False)
        return vector

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(_characters(text), add_special_tokens=False).ids
        return ids


class AsyncEncoder:
    """The encoder on an event loop: short texts at once, long ones in a thread, repeated ones from memory.

    A vector has the same bits on every one of these ways. Texts are not kept, only 16 bytes of their hash.
    """

    def __init__(self, encoder: Encoder, remembered: int = 1024, on_thread: Callable[[], None] | None = None) -> None:
        self.encoder = encoder
        self._remembered = remembered
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self._surfaces: OrderedDict[bytes, Vector] = OrderedDict()
        self._pool = ThreadPoolExecutor(THREADS, "encode", initializer=on_thread)
        self._turn = asyncio.Lock()

    async def vector(self, text: str) -> Vector:
        """The vector of `text`: read-only, shape (dimensions,), length 1."""
        key = self._key(text)
        known = self._vectors.get(key)
        if known is not None:
            self._vectors.move_to_end(key)
            return known
        vector = await self._fresh(text)
        self._vectors[key] = vector
        if len(self._vectors) > self._remembered:
            self._vectors.popitem(last=False)
        return vector

    def surface(self, text: str) -> Vector:
        """The surface numbers of `text`, shape (len(NAMES),)."""
        key = _surface_key(text)
        known = self._surfaces.get(key)
        if known is None:
            known = self._surfaces[key] = surface(text)
            if len(self._surfaces) > self._remembered:
                self._surfaces.popitem(last=False)
        return known

    async def in_turn(self, work: Callable[..., T], *arguments: object) -> T:
        """What `work` returns, done in a thread once whoever asked before has been served, one at a time.

        Who has much to encode asks again for every piece of it: others come between, and a thread stays free for
        requests that wait to be judged.
        """
        await self._turn.acquire()
        piece = asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        piece.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(piece)  # one who leaves does not end the thread's piece, nor its turn

    def close(self) -> None:
        """End the threads once what they compute is done; a second call does nothing."""
        self._pool.shutdown(wait=False)

    async def _fresh(self, text: str) -> Vector:
        if len(text) <= INLINE_CHARS:
            tokens = self.encoder.tokens(text)
            if len(tokens) <= INLINE_TOKENS:
                return self.encoder.embed(tokens)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.encoder.encode, text)

    def _key(self, text: str) -> bytes:
        head, tail = self.encoder.ends(text)
        # What lies between is never read, so it needs no hashing; NUL keeps the two ends apart.
        read = f"{head}\0{tail}" if tail else head
        return hashlib.blake2b(read.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _surface_key(text: str) -> bytes:
    read = text if len(text) <= 2 * END_CHARS else f"{len(text)}\0{text[:END_CHARS]}\0{text[-END_CHARS:]}"
    return hashlib.blake2b(read.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _window(text: str, start: int) -> int:
    """Where a window from `start` ends: between words where there is a blank, for there no token is cut."""
    if (end := start + WINDOW_CHARS) >= len(text):
        return len(text)
    blank = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
    return end if blank < 0 else blank


def _characters(text: str) -> str:
    """`text` with paired surrogates joined and lone ones, which are no characters, left out."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "ignore")
    return text
