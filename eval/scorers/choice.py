"""The answer picks the right one of several choices, by its letter or by its text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import Final

from eval.scorers.words import folded, words

_NO_LETTER: Final = (
    r"(?<![\w'\u2019])(?<!not )(?<!n't )(?<!n\u2019t )(?<!not be )(?<!n't be )(?<!n\u2019t be )"
    r"(?!(?-i:[ai]\s+\w|I\s+[a-z])|\w['\u2019])"
)
"""The end of a word is no choice, nor is an article, "I", and what is said not to be one."""
_NO_LETTER_ABROAD: Final = (
    r"(?<![\w'\u2019])(?<!nicht )(?<!pas )(?<!no )(?<!non )(?<!não )(?!(?-i:[AEI]\s+[a-zà-ÿ])|\w['\u2019])"
)
"""There "A", "E" and "I" are words too, also as small letters, so that a letter must be a capital and none of these."""
_DENIED: Final = (
    r"(?!\)?\**\s*(?:\([^()\n]*\)\s*)?(?:is|are|was|ist|est|es|è|é)(?:n['\u2019]t|\s+(?:clearly\s+|also\s+)?"
    r"(?:not|nicht|pas|no|non|não|in?correct|wrong|false|falsch|faux|fausse|fals[ao]|errat[ao]|errad[ao]|incorrect[ao])\b))"
)
"""Behind a letter: it is said to be wrong."""
_SAID = re.compile(
    rf"(?:answer\b[^\n]{{0,20}}?(?:\bis\b|:|=)?|(?:choice|option)\b[^\n]{{0,20}}?(?:\bis\b|:|=))"
    rf"\s*\(?\**{_NO_LETTER}([A-J])\b{_DENIED}"
    r"|\\boxed\{\s*(?:\\(?:text(?:bf)?|mathrm|mathbf)\{)?\s*\(?([A-J])\)?\s*\}"
    r"|(?:antwort|lösung|réponse|respuesta|risposta|resposta)\b[^\n]{0,20}?\(?\**"
    rf"{_NO_LETTER_ABROAD}((?-i:[A-J]))\b{_DENIED}"
    rf"|(?:\bit(?:\s+is|['\u2019]s)|\bgo\s+with|\b(?:choose|chose|pick|select))\s+(?:(?:answer|choice|option)\s+)?"
    rf"\(?\**{_NO_LETTER_ABROAD}((?-i:[A-J]))\b{_DENIED}"
    r"|答案\s*[是为為:\uff1a]\s*\(?\**((?-i:[A-J]))(?![A-Za-z])"
    rf"|{_NO_LETTER}((?-i:[A-J]))\)?\**\s+is\s+(?:the\s+)?(?:correct|right|best)\b",
    re.IGNORECASE,
)
"""The letter that words announce, in a box, or that is said to be right."""
_OPTION = re.compile(
    rf"\b(?:option|choice)\s+\(?\**{_NO_LETTER}([A-J])\b{_DENIED}"
    rf"|\b(?:choix|opción|opzione|opção)\s+\(?\**{_NO_LETTER_ABROAD}((?-i:[A-J]))\b{_DENIED}",
    re.IGNORECASE,
)
"""A letter that is called an option and not said to be wrong. Who explains an answer names the other options too."""
_ALONE: Final = re.compile(r"^[^\w\n]*([A-J])(?:[^\w\n]*$|[).:]\s|\s*[-\u2013]\s)", re.MULTILINE)
"""A letter that opens a line as a choice does: "C", "(C)", "C. Cambodia". "A dog is" opens with an article."""

_WHOLE = re.compile(r"\s*\(?([a-j])\)?\.?\s*")
"""A small letter is a choice where nothing else is said; elsewhere it is as likely a list's or a variable's."""


def choice(answer: str, target: str, choices: Sequence[str] = ()) -> float:
    """1 when the answer picks `target`: a letter, or one of `choices`, which are lettered from A."""
    wanted = letter_of(target, choices)
    return float(wanted is not None and picked(answer, choices) == wanted)


def picked(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The letter an answer picks, None when unclear.

    It is the choice that is all of the answer, else the last letter that is announced, else the one that stands alone,
    else the first that is called an option, else the first of those that stand alone, else the one choice whose text is
    in the answer.
    """
    choices = choices[: len(ascii_uppercase)]
    known = ascii_uppercase[: len(choices)] or ascii_uppercase
    texts = [folded(each) for each in choices]
    if len(said := folded(answer)) > 1 and texts.count(said) == 1:
        return known[texts.index(said)]
    if announced := _letters(_SAID, answer, known):
        return announced[-1]
    if whole := _WHOLE.fullmatch(answer):
        return whole.group(1).upper()
    alone, options = _letters(_ALONE, answer, known), _letters(_OPTION, answer, known)
    if alone and (len(set(alone)) == 1 or not options):
        return alone[0]
    if options:
        return options[0]
    named = _named(answer, choices)
    return known[named[0]] if len(named) == 1 else None


def _letters(pattern: re.Pattern[str], answer: str, known: str) -> list[str]:
    """The choices among what a pattern finds, in order."""
    found = ("".join(filter(None, each.groups())).upper() for each in pattern.finditer(answer))
    return [letter for letter in found if letter in known]


def _named(answer: str, choices: Sequence[str]) -> list[int]:
    """Which choices the answer has the words of, and not only within a longer one (blue in dark blue)."""
    said, texts = _spaced(answer), [_spaced(each) for each in choices]
    named = [at for at, text in enumerate(texts) if text and text in said]
    found = []
    for at in named:
        rest = said
        for longer in (texts[other] for other in named if texts[at] in texts[other] != texts[at]):
            rest = rest.replace(longer, "")
        if texts[at] in rest:
            found.append(at)
    return found


def _spaced(text: str) -> str:
    return "".join(f" {word} " for word in words(text))


def letter_of(target: str, choices: Sequence[str]) -> str | None:
    """The letter of a target that is a letter itself or the text of a choice; None when it is neither."""
    known = [folded(each) for each in choices[: len(ascii_uppercase)]]
    if folded(target) in known:
        return ascii_uppercase[known.index(folded(target))]
    return target.strip().upper() if re.fullmatch(r"\s*[A-Ja-j]\s*", target) else None
