"""Request text -> a few numbers about its surface: length, numbers, code, what kind of question. Pure.

What a sentence encoder blurs, and what decides whether a small model can do sums, read a table or write code. With the
vector they are all the judge keeps of a request: no word can be read back from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

END_CHARS: Final = 1000
"""Characters looked at from either end; only the length is that of the whole text. Bounds the time taken."""

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_WORD = re.compile(r"[a-z]+(?:n't)?")
_CHOICE = re.compile(r"^[ \t]*\(?[A-J1-9][.)]\s", re.MULTILINE)

_QUESTIONS: Final = frozenset({"who", "whom", "whose", "what", "when", "where", "which", "why", "how"})
_NEGATIONS: Final = frozenset({"not", "no", "never", "none", "without", "except", "least", "false", "incorrect"})

_SIGNS: Final = {
    "upper": b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "line": b"\n",
    "stop": b".!?",
    "question": b"?",
    "maths": b"=+*/^<>%$\\",
    "code": b"{}[]();_`#|&",
    "foreign": bytes(range(128, 256)),
}

NAMES: Final = (
    "log_length", "log_lines", "log_sentences", "upper_share", "maths_share", "code_share", "foreign_share",
    "log_numbers", "log_largest_number", "log_question_words", "log_question_marks", "log_negations", "log_choices",
)  # fmt: skip
"""What the numbers mean, in their order; shares are of the UTF-8 bytes looked at, logs are of one more than a count."""


def surface(text: str) -> Floats:
    """The numbers of one text, shape (len(NAMES),). Every text has them, also an empty one."""
    read = text if len(text) <= 2 * END_CHARS else f"{text[:END_CHARS]}\n{text[-END_CHARS:]}"
    data = np.frombuffer(read.encode("utf-8", "replace"), np.uint8)
    upper, line, stop, question, maths, code, foreign = (np.bincount(data, minlength=256) @ _TABLE).tolist()
    size = max(len(data), 1)
    numbers, words = _NUMBER.findall(read), _WORD.findall(read.lower())
    return np.array(
        [
            math.log1p(len(text)),
            math.log1p(line),
            math.log1p(stop),
            upper / size,
            maths / size,
            code / size,
            foreign / size,
            math.log1p(len(numbers)),
            math.log1p(max(map(_value, numbers), default=0.0)),
            math.log1p(sum(map(_QUESTIONS.__contains__, words))),
            math.log1p(question),
            math.log1p(sum(word in _NEGATIONS or word.endswith("n't") for word in words)),
            math.log1p(len(_CHOICE.findall(read))),
        ],
        np.float32,
    )


def surfaces(texts: Sequence[str]) -> Floats:
    """The numbers of many texts, shape (len(texts), len(NAMES))."""
    found = np.empty((len(texts), len(NAMES)), np.float32)
    for row, text in zip(found, texts, strict=True):
        row[:] = surface(text)
    return found


def _value(number: str) -> float:
    """A number as written, commas taken for thousands; no more digits than change the logarithm."""
    whole = number.replace(",", "").partition(".")[0]
    return float(whole[:15]) * 10.0 ** max(min(len(whole), 40) - 15, 0)


def _table() -> NDArray[np.int64]:
    table = np.zeros((256, len(_SIGNS)), np.int64)
    for column, signs in enumerate(_SIGNS.values()):
        table[list(signs), column] = 1
    return table


_TABLE: Final = _table()
