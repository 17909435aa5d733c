"""How much of the target's words the answer has. Pure."""

from __future__ import annotations

from collections import Counter

from eval.scorers.words import Target, targets, telling, words


def f1(answer: str, target: Target) -> float:
    """Harmonic mean of precision and recall over words, as for SQuAD (Rajpurkar et al., 2016); the best target's."""
    return max((_f1(telling(answer), telling(each)) for each in targets(target)), default=0.0)


def coverage(answer: str, target: Target) -> float:
    """The share of the wanted words that the answer uses, as it stands or with an ending: "walk" in "walking"."""
    wanted = [word for each in targets(target) for word in words(each)]
    said = set(words(answer))
    used = [word for word in wanted if any(_forms(word, each) for each in said)]
    return len(used) / len(wanted) if wanted else 0.0


def _f1(said: list[str], wanted: list[str]) -> float:
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def _forms(word: str, said: str) -> bool:
    stem = word[:-1] if len(word) > 3 and word[-1] in "ey" else word
    return said == word or (said.startswith(stem) and len(said) - len(stem) <= 4 and len(stem) > 2)
